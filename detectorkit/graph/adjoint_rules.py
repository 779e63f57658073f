"""What each operator does to a gradient.

A rule takes the builder and the node with the gradient of its output; it gives the gradients of the
inputs, and None where none is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import onnx

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.adjoint import AdjointBuilder, Parts, Rule, Step

__all__ = ["RULES"]

RULES: dict[str, Rule] = {}
"""The rule of each operator, by its name."""

_HUGE = 1e35  # lifts all positive numbers but the very smallest above 1
_TINY = 1e-12  # roots are kept above it where they are divided by


def _rule(*operators: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, rule))
        return rule

    return register


def _static(b: AdjointBuilder, at: Step, tensor: str) -> Any:
    """Give an input that has to be the same for all images."""
    value = b.value(tensor)
    if value is None:
        raise ModelFileError(
            f"{at.node.op_type} {at.node.name!r} has an input that changes from image to image. "
            "There is no gradient for that. Use OcclusionSaliency, which needs predictions only."
        )
    return value


def _axes(b: AdjointBuilder, at: Step) -> list[int] | None:
    """Give the axes of a node, from its attribute or its second input."""
    found = at.attributes.get("axes")
    if found is None and len(at.node.input) > 1 and at.node.input[1]:
        found = _static(b, at, at.node.input[1]).tolist()
    return None if found is None else [int(axis) for axis in found]


# Shapes


@_rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(b: AdjointBuilder, at: Step) -> Parts:
    return [b.shaped_like(at.dy, at.x)]


@_rule("Identity", "Cast", "Dropout", "QuantizeLinear")
def _identity(b: AdjointBuilder, at: Step) -> Parts:
    if at.node.op_type != "QuantizeLinear":
        return [at.dy]
    scale = b.constant(_static(b, at, at.node.input[1]))
    return [b.add("Div", at.dy, scale)]


@_rule("Transpose")
def _transpose(b: AdjointBuilder, at: Step) -> Parts:
    rank = len(b.shape(at.x))
    perm = at.attributes.get("perm", range(rank)[::-1])
    return [b.add("Transpose", at.dy, perm=np.argsort(perm).tolist())]


@_rule("Expand")
def _expand(b: AdjointBuilder, at: Step) -> Parts:
    return [b.reduced_to(at.dy, at.y, at.x)]


@_rule("Concat")
def _concat(b: AdjointBuilder, at: Step) -> Parts:
    axis = at.attributes["axis"]
    stops = np.cumsum([b.shape(one)[axis] for one in at.node.input])
    parts: Parts = []
    for k, one in enumerate(at.wanted):
        start = int(stops[k - 1]) if k else 0
        part = _cut(b, at.dy, axis, start, int(stops[k])) if one else None
        parts.append(part)
    return parts


def _cut(b: AdjointBuilder, tensor: str, axis: int, start: int, stop: int) -> str:
    limits = [b.constant([value], np.int64) for value in (start, stop, axis)]
    return b.add("Slice", tensor, *limits)


@_rule("Split")
def _split(b: AdjointBuilder, at: Step) -> Parts:
    parts = [
        part or b.constant_like(output, 0.0)
        for part, output in zip(at.upstream, at.node.output, strict=True)
    ]
    return [b.add("Concat", *parts, axis=at.attributes.get("axis", 0))]


def _padded(b: AdjointBuilder, tensor: str, begin: list[int], end: list[int]) -> str:
    if not any(begin) and not any(end):
        return tensor
    return b.add("Pad", tensor, b.constant([*begin, *end], np.int64))


@_rule("Slice")
def _slice(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    starts, stops = (_static(b, at, one).tolist() for one in at.node.input[1:3])
    given = [_static(b, at, one).tolist() for one in at.node.input[3:] if one]
    axes = given[0] if given else range(len(starts))
    steps = given[1] if len(given) > 1 else [1] * len(starts)
    if any(step != 1 for step in steps):
        raise ModelFileError(f"Slice {at.node.name!r} has steps, and no gradient for that.")
    begin, end = [0] * len(shape), [0] * len(shape)
    for axis, start, stop in zip(axes, starts, stops, strict=True):
        first, last, _ = slice(start, stop).indices(shape[axis])
        begin[axis], end[axis] = first, shape[axis] - max(first, last)
    return [_padded(b, at.dy, begin, end)]


@_rule("Pad")
def _pad(b: AdjointBuilder, at: Step) -> Parts:
    if at.attributes.get("mode", b"constant") != b"constant":
        raise ModelFileError(
            f"Pad {at.node.name!r} repeats its border, and has no gradient for that."
        )
    pads = _static(b, at, at.node.input[1]).tolist()
    shape = b.shape(at.x)
    axes = range(len(shape))
    if len(at.node.input) > 3 and at.node.input[3]:
        axes = _static(b, at, at.node.input[3]).tolist()
    part = at.dy
    for k, axis in enumerate(axes):
        if pads[k] or pads[k + len(pads) // 2]:
            part = _cut(b, part, axis, pads[k], pads[k] + shape[axis])
    return [part]


@_rule("Gather")
def _gather(b: AdjointBuilder, at: Step) -> Parts:
    index = _static(b, at, at.node.input[1])
    shape = b.shape(at.x)
    axis = at.attributes.get("axis", 0) % len(shape)
    if index.size != 1:
        raise ModelFileError(
            f"Gather {at.node.name!r} takes several entries; no gradient for that."
        )
    part = at.dy
    if index.ndim == 0:
        part = b.add("Unsqueeze", part, b.constant([axis], np.int64))
    begin, end = [0] * len(shape), [0] * len(shape)
    begin[axis] = int(index.item()) % shape[axis]
    end[axis] = shape[axis] - 1 - begin[axis]
    return [_padded(b, part, begin, end)]


@_rule("GatherElements")
def _gather_elements(b: AdjointBuilder, at: Step) -> Parts:
    axis = at.attributes.get("axis", 0)
    nothing = b.constant_like(at.x, 0.0)
    added = b.add("ScatterElements", nothing, at.node.input[1], at.dy, axis=axis, reduction="add")
    return [added]


# Arithmetic, with broadcasts


def _both(b: AdjointBuilder, at: Step, *makers: Callable[[], str]) -> Parts:
    return [
        b.reduced_to(make(), at.y, operand) if one else None
        for make, operand, one in zip(makers, at.node.input, at.wanted, strict=True)
    ]


@_rule("Add", "Sum")
def _add(b: AdjointBuilder, at: Step) -> Parts:
    return _both(b, at, *[lambda: at.dy] * len(at.wanted))


@_rule("Sub")
def _sub(b: AdjointBuilder, at: Step) -> Parts:
    return _both(b, at, lambda: at.dy, lambda: b.add("Neg", at.dy))


@_rule("Mul")
def _mul(b: AdjointBuilder, at: Step) -> Parts:
    first, second = at.node.input
    if first == second:
        return [b.add("Mul", b.add("Mul", at.dy, first), b.constant(2)), None]
    return _both(b, at, lambda: b.add("Mul", at.dy, second), lambda: b.add("Mul", at.dy, first))


@_rule("Div")
def _div(b: AdjointBuilder, at: Step) -> Parts:
    _, below = at.node.input

    def by_below() -> str:
        return b.add("Neg", b.add("Div", b.add("Mul", at.dy, at.y), below))

    return _both(b, at, lambda: b.add("Div", at.dy, below), by_below)


@_rule("Pow")
def _pow(b: AdjointBuilder, at: Step) -> Parts:
    exponent = float(np.ravel(_static(b, at, at.node.input[1]))[0])
    slope = at.x if exponent == 2 else b.add("Pow", at.x, b.constant(exponent - 1))
    return [b.add("Mul", b.add("Mul", at.dy, slope), b.constant(exponent)), None]


@_rule("Where")
def _where(b: AdjointBuilder, at: Step) -> Parts:
    zero = b.constant(0)
    chosen: list[Callable[[], str]] = [
        lambda: at.dy,
        lambda: b.add("Where", at.x, at.dy, zero),
        lambda: b.add("Where", at.x, zero, at.dy),
    ]
    return _both(b, at, *chosen)


@_rule("Min", "Max")
def _extreme(b: AdjointBuilder, at: Step) -> Parts:
    def chosen(operand: str) -> str:
        return _where_true(b, b.add("Equal", operand, at.y), at.dy)

    makers = [lambda one=one: chosen(one) for one in at.node.input]
    return _both(b, at, *makers)


# Functions of one number


def _slope(*operators: str) -> Callable[[Callable[[AdjointBuilder, Step], str]], None]:
    """Make a rule of what gives the slope of a function of one number."""

    def register(slope: Callable[[AdjointBuilder, Step], str]) -> None:
        def rule(b: AdjointBuilder, at: Step) -> Parts:
            return [b.add("Mul", at.dy, slope(b, at))]

        RULES.update(dict.fromkeys(operators, rule))

    return register


@_slope("Relu")
def _relu(b: AdjointBuilder, at: Step) -> str:
    # 1 where the output is positive, for half of what `Sign` costs.
    raised = b.add("Mul", at.y, b.constant(_HUGE))
    return b.add("Clip", raised, b.constant(0), b.constant(1))


@_slope("Abs")
def _abs(b: AdjointBuilder, at: Step) -> str:
    return b.add("Sign", at.x)


@_slope("Sqrt")
def _root(b: AdjointBuilder, at: Step) -> str:
    return b.add("Div", b.constant(0.5), b.add("Max", at.y, b.constant(_TINY)))


@_slope("Log")
def _log(b: AdjointBuilder, at: Step) -> str:
    return b.add("Reciprocal", at.x)


@_slope("Reciprocal")
def _reciprocal(b: AdjointBuilder, at: Step) -> str:
    return b.add("Neg", b.add("Mul", at.y, at.y))


@_slope("Sigmoid")
def _sigmoid(b: AdjointBuilder, at: Step) -> str:
    return b.add("Mul", at.y, b.add("Sub", b.constant(1), at.y))


@_slope("Tanh")
def _tanh(b: AdjointBuilder, at: Step) -> str:
    return b.add("Sub", b.constant(1), b.add("Mul", at.y, at.y))


@_slope("Erf")
def _erf(b: AdjointBuilder, at: Step) -> str:
    bell = b.add("Exp", b.add("Neg", b.add("Mul", at.x, at.x)))
    return b.add("Mul", bell, b.constant(2 / math.sqrt(math.pi)))


@_slope("Gelu")
def _gelu(b: AdjointBuilder, at: Step) -> str:
    if at.attributes.get("approximate", b"none") != b"none":
        raise ModelFileError(f"Gelu {at.node.name!r} is an approximation without a gradient here.")
    share = b.add("Erf", b.add("Mul", at.x, b.constant(math.sqrt(0.5))))
    share = b.add("Mul", b.add("Add", share, b.constant(1)), b.constant(0.5))
    bell = b.add("Exp", b.add("Mul", b.add("Mul", at.x, at.x), b.constant(-0.5)))
    bell = b.add("Mul", b.add("Mul", bell, at.x), b.constant(1 / math.sqrt(2 * math.pi)))
    return b.add("Add", share, bell)


@_rule("Exp")
def _exp(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Mul", at.dy, at.y)]


@_rule("Neg")
def _neg(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Neg", at.dy)]


@_rule("LeakyRelu")
def _leaky(b: AdjointBuilder, at: Step) -> Parts:
    slope = b.constant(at.attributes.get("alpha", 0.01))
    is_up = b.add("Greater", at.x, b.constant(0))
    return [b.add("Where", is_up, at.dy, b.add("Mul", at.dy, slope))]


@_rule("HardSigmoid")
def _hard_sigmoid(b: AdjointBuilder, at: Step) -> Parts:
    slope = b.constant(at.attributes.get("alpha", 0.2))
    return [b.add("Mul", _between(b, at.dy, at.y, 0.0, 1.0), slope)]


@_rule("HardSwish")
def _hard_swish(b: AdjointBuilder, at: Step) -> Parts:
    x = at.x
    limits = [b.constant(one) for one in (-0.5, 1.5)]  # the slope is x / 3 + 1/2 from -3 to 3
    slope = b.add("Add", b.add("Mul", x, b.constant(1 / 3)), b.constant(0.5))
    inside = _between(b, b.add("Mul", at.dy, b.add("Clip", slope, *limits)), x, -3.0, 3.0)
    above = b.add("GreaterOrEqual", x, b.constant(3))
    return [b.add("Where", above, at.dy, inside)]


def _between(b: AdjointBuilder, dy: str, tensor: str, low: float | None, high: float | None) -> str:
    """Give a gradient where a tensor is between limits, and 0 elsewhere."""
    inside = [
        b.add(comparison, tensor, b.constant(limit))
        for limit, comparison in ((low, "Greater"), (high, "Less"))
        if limit is not None and np.isfinite(limit)
    ]
    if not inside:
        return dy
    chosen = b.add("And", *inside) if len(inside) == 2 else inside[0]
    return _where_true(b, chosen, dy)


def _where_true(b: AdjointBuilder, condition: str, dy: str) -> str:
    """Give a gradient where a condition holds; a product is faster than `Where`."""
    return b.add("Mul", dy, b.add("Cast", condition, to=onnx.TensorProto.FLOAT))


@_rule("Clip")
def _clip(b: AdjointBuilder, at: Step) -> Parts:
    limits = [float(_static(b, at, one)) if one else None for one in at.node.input[1:]]
    low, high = (*limits, None, None)[:2]
    return [_between(b, at.dy, at.y, low, high)]


@_rule("Softmax")
def _softmax(b: AdjointBuilder, at: Step) -> Parts:
    y = at.y
    axis = b.constant([at.attributes.get("axis", -1)], np.int64)
    total = b.add("ReduceSum", b.add("Mul", at.dy, y), axis, keepdims=1)
    return [b.add("Mul", b.add("Sub", at.dy, total), y)]


# Sums


def _kept(b: AdjointBuilder, at: Step, dy: str) -> str:
    """Give the gradient of a sum its axes of one entry again."""
    if at.attributes.get("keepdims", 1):
        return dy
    rank = len(b.shape(at.x))
    axes = _axes(b, at) or list(range(rank))
    return b.add("Unsqueeze", dy, b.constant([axis % rank for axis in axes], np.int64))


def _spread(b: AdjointBuilder, dy: str, tensor: str) -> str:
    return b.add("Expand", dy, b.add("Shape", tensor))


@_rule("ReduceSum")
def _reduce_sum(b: AdjointBuilder, at: Step) -> Parts:
    return [_spread(b, _kept(b, at, at.dy), at.x)]


@_rule("ReduceSumSquare")
def _reduce_sum_square(b: AdjointBuilder, at: Step) -> Parts:
    doubled = b.add("Mul", _kept(b, at, at.dy), b.constant(2))
    return [b.add("Mul", at.x, doubled)]


@_rule("ReduceMean", "GlobalAveragePool")
def _mean(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    share = b.constant(math.prod(b.shape(at.y)) / math.prod(shape))
    kept = at.dy if at.node.op_type == "GlobalAveragePool" else _kept(b, at, at.dy)
    return [_spread(b, b.add("Mul", kept, share), at.x)]


@_rule("LayerNormalization")
def _layer_norm(b: AdjointBuilder, at: Step) -> Parts:
    x, scale = at.node.input[:2]
    rank = len(b.shape(x))
    attributes = at.attributes
    axes = b.constant(range(attributes.get("axis", -1) % rank, rank), np.int64)
    eps = b.constant(attributes.get("epsilon", 1e-5))
    count = b.constant(1 / math.prod(b.shape(x)[attributes.get("axis", -1) % rank :]))

    def mean(tensor: str) -> str:
        return b.add("Mul", b.add("ReduceSum", tensor, axes, keepdims=1), count)

    centred = b.add("Sub", x, mean(x))
    length = b.add("Sqrt", b.add("Add", mean(b.add("Mul", centred, centred)), eps))
    normal = b.add("Div", centred, length)
    part = b.add("Mul", at.dy, scale)
    along = b.add("Mul", normal, mean(b.add("Mul", part, normal)))
    rest = b.add("Sub", b.add("Sub", part, mean(part)), along)
    return [b.add("Div", rest, length), None, None]


@_rule("BatchNormalization")
def _batch_norm(b: AdjointBuilder, at: Step) -> Parts:
    scale, _, _, variance = (_static(b, at, one) for one in at.node.input[1:])
    factor = scale / np.sqrt(variance + at.attributes.get("epsilon", 1e-5))
    ones = [1] * (len(b.shape(at.x)) - 2)
    return [b.add("Mul", at.dy, b.constant(factor.reshape(-1, *ones)))]


# Products


def _turned(b: AdjointBuilder, tensor: str) -> str:
    """Exchange the last two axes."""
    value = b.value(tensor)
    if value is not None:
        return b.constant(np.ascontiguousarray(np.swapaxes(value, -1, -2)))
    rank = len(b.shape(tensor))
    return b.add("Transpose", tensor, perm=[*range(rank - 2), rank - 1, rank - 2])


@_rule("MatMul")
def _matmul(b: AdjointBuilder, at: Step) -> Parts:
    first, second = at.node.input
    if min(len(b.shape(first)), len(b.shape(second))) < 2:
        raise ModelFileError(f"MatMul {at.node.name!r} of a vector has no gradient here.")

    def undone(product: str, operand: str) -> str:
        # The axes in front may have been broadcast.
        full = (*b.shape(at.y)[:-2], *b.shape(operand)[-2:])
        own = b.shape(operand)
        if full == own:
            return product
        axes = list(range(len(full) - len(own)))
        axes += [
            k + len(full) - len(own)
            for k, size in enumerate(own[:-2])
            if size != full[k + len(full) - len(own)]
        ]
        summed = b.add("ReduceSum", product, b.constant(axes, np.int64), keepdims=1)
        return b.shaped_like(summed, operand)

    parts: Parts = [None, None]
    if at.wanted[0]:
        parts[0] = undone(b.add("MatMul", at.dy, _turned(b, second)), first)
    if at.wanted[1]:
        parts[1] = undone(b.add("MatMul", _turned(b, first), at.dy), second)
    return parts


@_rule("Gemm")
def _gemm(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    if attributes.get("transA", 0) or any(at.wanted[1:]):
        raise ModelFileError(f"Gemm {at.node.name!r} has no gradient here but for its first input.")
    weights = _static(b, at, at.node.input[1])
    if not attributes.get("transB", 0):
        weights = weights.T
    weights = np.ascontiguousarray(weights * np.float32(attributes.get("alpha", 1.0)))
    return [b.add("MatMul", at.dy, b.constant(weights)), None, None]


# Convolutions and pooling


@_rule("Conv")
def _conv(b: AdjointBuilder, at: Step) -> Parts:
    weights = _static(b, at, at.node.input[1])
    attributes = at.attributes
    size = np.array(b.shape(at.x)[2:])
    return [_undo_conv(b, at.dy, weights, attributes, size), None, None]


def _undo_conv(
    b: AdjointBuilder, dy: str, weights: Any, attributes: dict[str, Any], size: Any
) -> str:
    """Give the gradient of a convolution's input, of that size."""
    kernel = np.array(weights.shape[2:])
    rank = len(kernel)
    strides = np.array(attributes.get("strides", [1] * rank))
    dilations = np.array(attributes.get("dilations", [1] * rank))
    reach = dilations * (kernel - 1)
    begin, end = _pads(attributes, size, reach, strides)
    group = attributes.get("group", 1)
    given, rest = np.divmod(size + begin + end - reach - 1 + strides, strides)
    before, behind = reach - begin, reach - end + rest + 1 - strides
    # A convolution again, which onnxruntime does faster than a transposed one; with strides only
    # where each channel is alone, as a convolution would multiply with the zeros between.
    if (group > 1 or (strides == 1).all()) and min(*before, *behind) >= 0:
        turned = weights[(slice(None), slice(None), *[slice(None, None, -1)] * rank)]
        parts = np.split(turned, group)
        turned = np.concatenate([np.swapaxes(part, 0, 1) for part in parts])
        return b.add(
            "Conv",
            _spaced(b, dy, given, strides),
            b.constant(np.ascontiguousarray(turned)),
            pads=[*before.tolist(), *behind.tolist()],
            dilations=dilations.tolist(),
            group=group,
        )
    return b.add(
        "ConvTranspose",
        dy,
        b.constant(weights),
        strides=strides.tolist(),
        dilations=dilations.tolist(),
        pads=[*begin.tolist(), *end.tolist()],
        output_padding=rest.tolist(),
        group=group,
    )


def _spaced(b: AdjointBuilder, tensor: str, size: Any, strides: Any) -> str:
    """Put zeros behind the entries of a map of that size, so that they lie as far apart as strides.

    Repeating all entries and keeping the first of each is the fastest way in onnxruntime.
    """
    if (strides == 1).all():
        return tensor
    is_first = [
        np.arange(length) % step == 0 for length, step in zip(size * strides, strides, strict=True)
    ]
    first = reduce(np.multiply.outer, is_first)
    return b.add("Mul", _repeated(b, tensor, strides), b.constant(first))


def _repeated(b: AdjointBuilder, tensor: str, strides: Any) -> str:
    """Repeat each entry of a map as often as strides say."""
    return b.add(
        "Resize",
        tensor,
        "",
        b.constant([1, 1, *strides]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _pads(attributes: dict[str, Any], size: Any, reach: Any, strides: Any) -> tuple[Any, Any]:
    """Give how far a convolution or pooling goes beyond the image, before and behind."""
    way = attributes.get("auto_pad", b"NOTSET")
    if way in {b"SAME_UPPER", b"SAME_LOWER"}:
        total = np.maximum((-(-size // strides) - 1) * strides + reach + 1 - size, 0)
        less, more = total // 2, total - total // 2
        return (less, more) if way == b"SAME_UPPER" else (more, less)
    pads = np.array(attributes.get("pads", [0] * (2 * len(size))))
    return pads[: len(size)], pads[len(size) :]


@_rule("MaxPool")
def _max_pool(b: AdjointBuilder, at: Step) -> Parts:
    if len(at.node.output) < 2:
        at.node.output.append(f"{at.y}/indices")
    attributes = at.attributes
    where, x = at.node.output[1], at.x
    kernel = attributes["kernel_shape"]
    # Each place is in one window at most, so there is nothing to add up.
    if list(attributes.get("strides", [1] * len(kernel))) == list(kernel):
        settings = {"kernel_shape": kernel, "strides": kernel}
        return [b.add("MaxUnpool", at.dy, where, b.add("Shape", x), **settings)]
    flat = b.constant([-1], np.int64)
    nothing = b.add("Reshape", b.constant_like(x, 0.0), flat)
    places, parts = (b.add("Reshape", one, flat) for one in (where, at.dy))
    found = b.add("ScatterElements", nothing, places, parts, axis=0, reduction="add")
    return [b.shaped_like(found, x)]


@_rule("AveragePool")
def _average_pool(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    kernel = attributes["kernel_shape"]
    is_uneven = any(attributes.get("pads", [])) and not attributes.get("count_include_pad", 0)
    if is_uneven or attributes.get("ceil_mode", 0):
        raise ModelFileError(f"AveragePool {at.node.name!r} with a border has no gradient here.")
    channels, *size = b.shape(at.x)[1:]
    if list(kernel) == list(attributes.get("strides", [])) and not any(attributes.get("pads", [])):
        share = b.add("Mul", at.dy, b.constant(1 / math.prod(kernel)))
        left = [n % step for n, step in zip(size, kernel, strict=True)]  # what is in no window
        return [_padded(b, _repeated(b, share, kernel), [0] * (len(size) + 2), [0, 0, *left])]
    weights = np.full((channels, 1, *kernel), 1 / math.prod(kernel), np.float32)
    settings = {"strides": [1] * len(kernel)} | attributes | {"group": channels}
    return [_undo_conv(b, at.dy, weights, settings, np.array(size))]


# Networks in whole numbers: rounding counts as the identity


@_rule("DequantizeLinear")
def _dequantize(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Mul", at.dy, b.constant(_static(b, at, at.node.input[1])))]


@_rule("DynamicQuantizeLinear")
def _quantize(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Div", at.dy, at.node.output[1])]


@_rule("MatMulInteger")
def _matmul_integer(b: AdjointBuilder, at: Step) -> Parts:
    weights = _static(b, at, at.node.input[1]).astype(np.float32)
    if len(at.node.input) > 3 and at.node.input[3]:
        weights -= _static(b, at, at.node.input[3]).astype(np.float32)
    turned = np.ascontiguousarray(np.swapaxes(weights, -1, -2))
    return [b.add("MatMul", at.dy, b.constant(turned)), None, None, None]
