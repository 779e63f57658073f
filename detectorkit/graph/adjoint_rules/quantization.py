"""Rules for quantised networks, where rounding counts as the identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.convolution import undo_convolution, window_of
from detectorkit.graph.adjoint_rules.registry import (
    keep_where,
    read_static,
    refuse,
    register_rule,
)
from detectorkit.graph.compact import read_packed


def _along(b: AdjointBuilder, at: Step, tensor: str) -> Any:
    """Return the scale or zero point of a node in a shape that broadcasts with its input."""
    value = read_static(b, at, tensor)
    if at.attributes.get("block_size", 0):
        refuse(b, at, f"has block_size={at.attributes['block_size']}")
    if value.size == 1:
        return value.reshape(())
    shape = [1] * len(b.shape(at.x))
    shape[at.attributes.get("axis", 1)] = -1
    return value.reshape(shape)


@register_rule("QuantizeLinear")
def _quantize(b: AdjointBuilder, at: Step) -> Parts:
    dtype = b.dtype(at.y)
    if dtype.kind not in "iu":
        refuse(b, at, "rounds to a type of few bits")
    scale = b.constant(_along(b, at, at.input(1)))
    level = b.add("Div", at.x, scale)
    if at.input(2):
        zero = _along(b, at, at.input(2)).astype(np.float32)
        level = b.add("Add", level, b.constant(zero))
    limits = np.iinfo(dtype)
    is_inside = b.add(
        "And",
        b.add("Greater", level, b.constant(limits.min - 0.5)),
        b.add("Less", level, b.constant(limits.max + 0.5)),
    )
    return [keep_where(b, is_inside, b.add("Div", at.dy, scale))]


@register_rule("DequantizeLinear")
def _dequantize(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Mul", at.dy, b.constant(_along(b, at, at.input(1))))]


@register_rule("MatMulNBits")
def _matmul_few_bits(b: AdjointBuilder, at: Step) -> Parts:
    # The levels are stored by outputs, so that they are the matrix of the way back.
    names = [at.input(place) for place in (1, 2, 3)]
    stored, scales, *zeros = (read_static(b, at, name) for name in names if name)
    size = at.attributes
    if size.get("bits", 4) != 4 or len(at.node.input) > 4:
        refuse(b, at, f"has bits={size.get('bits')} and {len(at.node.input)} inputs")
    parts = read_packed(stored, scales, zeros[0] if zeros else None)
    constants = [
        b.constant(one, kind)
        for one, kind in zip(parts, (np.uint8, np.float32, np.uint8), strict=True)
    ]
    weights = b.add("DequantizeLinear", *constants, axis=0)
    weights = b.add("Reshape", weights, b.constant([size["N"], size["K"]], np.int64))
    return [b.add("MatMul", at.dy, weights)]


@register_rule("DynamicQuantizeLinear")
def _quantize_dynamic(b: AdjointBuilder, at: Step) -> Parts:
    if not at.upstream[0]:
        refuse(b, at, "has a scale that is used without its levels")
    # The dependence of the scale on the largest number counts as part of the rounding.
    return [b.add("Div", at.dy, at.node.output[1])]


def _whole(b: AdjointBuilder, at: Step, place: int, zero: int) -> Any:
    """Return whole weights without their zero point, as floats."""
    weights = read_static(b, at, at.input(place)).astype(np.float32)
    if at.input(zero):
        if place == 0 and read_static(b, at, at.input(zero)).size > 1:
            refuse(b, at, "has a zero point for each row")
        weights = weights - read_static(b, at, at.input(zero)).astype(np.float32)
    return weights


@register_rule("MatMulInteger")
def _matmul_integer(b: AdjointBuilder, at: Step) -> Parts:
    parts: Parts = [None, None]
    for k in range(2):
        if not at.wants(k):
            continue
        other = 1 - k
        if len(b.shape(at.input(k))) < 2 or len(b.shape(at.input(other))) < 2:
            refuse(b, at, "multiplies a vector")
        factor = _factor(b, at, other)
        pair = (at.dy, factor) if k == 0 else (factor, at.dy)
        full = (*b.shape(at.y)[:-2], *b.shape(at.input(k))[-2:])
        parts[k] = b.reduced_from(b.add("MatMul", *pair), full, at.input(k))
    return parts


def _factor(b: AdjointBuilder, at: Step, place: int) -> str:
    """Return an operand without its zero point, as floats, with its last axes exchanged."""
    name, zero = at.input(place), at.input(place + 2)
    if b.value(name) is not None and (not zero or b.value(zero) is not None):
        value = _whole(b, at, place, place + 2)
        return b.constant(np.ascontiguousarray(np.swapaxes(value, -1, -2)))
    if zero and b.shape(zero) not in {(), (1,)}:
        refuse(b, at, "has a zero point for each row")
    levels = b.add("Cast", name, to=onnx.TensorProto.FLOAT)
    if zero:
        levels = b.add("Sub", levels, b.add("Cast", zero, to=onnx.TensorProto.FLOAT))
    rank = len(b.shape(name))
    return b.add("Transpose", levels, perm=[*range(rank - 2), rank - 1, rank - 2])


@register_rule("ConvInteger")
def _conv_integer(b: AdjointBuilder, at: Step) -> Parts:
    weights = _whole(b, at, 1, 3)
    if at.input(3) and read_static(b, at, at.input(3)).size > 1:
        refuse(b, at, "has a zero point for each channel")
    size = np.array(b.shape(at.x)[2:])
    window = window_of(b, at, weights.shape[2:], size)
    return [undo_convolution(b, at.dy, weights, window, size)]
