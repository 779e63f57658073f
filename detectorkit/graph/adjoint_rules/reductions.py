"""Rules for reductions: sums, norms, extremes, softmax."""

from __future__ import annotations

import math

import numpy as np
import onnx

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import read_static, refuse, register_rule

_TINY = 1e-12  # norms are kept above it where they are divided by


def _axes(b: AdjointBuilder, at: Step) -> list[int]:
    """Return the axes that are reduced, from 0, by the attribute or the second input."""
    rank = len(b.shape(at.x))
    found = at.attributes.get("axes")
    if found is None and at.input(1):
        found = read_static(b, at, at.input(1)).ravel().tolist()
    if not found:
        return [] if at.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return [int(axis) % rank for axis in found]


def _kept(b: AdjointBuilder, at: Step, tensor: str) -> str:
    """Restore the reduced axes, with one entry each, in a tensor of the output's shape."""
    axes = _axes(b, at)
    if at.attributes.get("keepdims", 1) or not axes:
        return tensor
    return b.add("Unsqueeze", tensor, b.constant(axes, np.int64))


def _spread(b: AdjointBuilder, dy: str, tensor: str) -> str:
    return b.add("Expand", dy, b.add("Shape", tensor))


def _float(b: AdjointBuilder, condition: str) -> str:
    return b.add("Cast", condition, to=onnx.TensorProto.FLOAT)


def _summed(b: AdjointBuilder, at: Step, tensor: str) -> str:
    axes = _axes(b, at)
    return b.add("ReduceSum", tensor, b.constant(axes, np.int64), keepdims=1) if axes else tensor


@register_rule("ReduceSum")
def _reduce_sum(b: AdjointBuilder, at: Step) -> Parts:
    return [_spread(b, _kept(b, at, at.dy), at.x)]


@register_rule("ReduceSumSquare")
def _reduce_sum_square(b: AdjointBuilder, at: Step) -> Parts:
    doubled = b.add("Mul", _kept(b, at, at.dy), b.constant(2))
    return [b.add("Mul", at.x, doubled)]


@register_rule("ReduceMean", "GlobalAveragePool")
def _mean(b: AdjointBuilder, at: Step) -> Parts:
    share = b.constant(math.prod(b.shape(at.y)) / math.prod(b.shape(at.x)))
    kept = at.dy if at.node.op_type == "GlobalAveragePool" else _kept(b, at, at.dy)
    return [_spread(b, b.add("Mul", kept, share), at.x)]


@register_rule("ReduceL1")
def _reduce_l1(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Mul", b.add("Sign", at.x), _kept(b, at, at.dy))]


@register_rule("ReduceL2")
def _reduce_l2(b: AdjointBuilder, at: Step) -> Parts:
    share = b.add("Div", at.dy, b.add("Max", at.y, b.constant(_TINY)))
    return [b.add("Mul", at.x, _kept(b, at, share))]


@register_rule("ReduceLogSum")
def _reduce_log_sum(b: AdjointBuilder, at: Step) -> Parts:
    share = b.add("Mul", at.dy, b.add("Exp", b.add("Neg", at.y)))
    return [_spread(b, _kept(b, at, share), at.x)]


@register_rule("ReduceLogSumExp")
def _reduce_log_sum_exp(b: AdjointBuilder, at: Step) -> Parts:
    share = b.add("Exp", b.add("Sub", at.x, _kept(b, at, at.y)))
    return [b.add("Mul", share, _kept(b, at, at.dy))]


@register_rule("ReduceMax", "ReduceMin")
def _reduce_extreme(b: AdjointBuilder, at: Step) -> Parts:
    # Equal entries share the gradient, as in torch's `amax`.
    is_extreme = _float(b, b.add("Equal", at.x, _kept(b, at, at.y)))
    share = b.add("Div", _kept(b, at, at.dy), _summed(b, at, is_extreme))
    return [b.add("Mul", is_extreme, share)]


@register_rule("ReduceProd")
def _reduce_prod(b: AdjointBuilder, at: Step) -> Parts:
    # The product of the others: all of them where no entry is 0, and at a single 0 the rest.
    zero, one = b.constant(0), b.constant(1)
    is_zero = b.add("Equal", at.x, zero)
    number = _summed(b, at, _float(b, is_zero))
    others = b.add("Where", is_zero, one, at.x)
    axes = _axes(b, at)
    product = others
    if axes:
        kept = at.attributes | {"keepdims": 1}
        product = b.add("ReduceProd", others, *at.node.input[1:], **kept)
    counted = b.add("Sub", number, _float(b, is_zero))  # zeros among the others
    share = b.add("Where", b.add("Equal", counted, zero), b.add("Div", product, others), zero)
    return [b.add("Mul", share, _kept(b, at, at.dy))]


@register_rule("GlobalMaxPool")
def _global_max_pool(b: AdjointBuilder, at: Step) -> Parts:
    # The first of equal entries gets the gradient, as in every max-pooling.
    images, channels = b.constant([0, 0, -1], np.int64), b.constant([0, 0, 1], np.int64)
    rows = b.add("Reshape", at.x, images)
    place = b.add("ArgMax", rows, axis=2, keepdims=1)
    part = b.add("Reshape", at.dy, channels)
    found = b.add("ScatterElements", b.constant_like(rows, 0.0), place, part, axis=2)
    return [b.shaped_like(found, at.x)]


@register_rule("CumSum")
def _cum_sum(b: AdjointBuilder, at: Step) -> Parts:
    turned = {"reverse": 1 - at.attributes.get("reverse", 0)}
    return [b.add("CumSum", at.dy, at.input(1), **(at.attributes | turned))]


@register_rule("Softmax")
def _softmax(b: AdjointBuilder, at: Step) -> Parts:
    axis = b.constant([at.attributes.get("axis", -1)], np.int64)
    y = at.y
    if b.has_operator("Where"):  # then rows where all is masked, which are NaN, are replaced later
        y = b.add("Where", b.add("IsNaN", y), b.constant(0), y)
    total = b.add("ReduceSum", b.add("Mul", at.dy, y), axis, keepdims=1)
    return [b.add("Mul", b.add("Sub", at.dy, total), y)]


@register_rule("LogSoftmax")
def _log_softmax(b: AdjointBuilder, at: Step) -> Parts:
    axis = b.constant([at.attributes.get("axis", -1)], np.int64)
    total = b.add("ReduceSum", at.dy, axis, keepdims=1)
    return [b.add("Sub", at.dy, b.add("Mul", b.add("Exp", at.y), total))]


@register_rule("LpNormalization")
def _lp_norm(b: AdjointBuilder, at: Step) -> Parts:
    p, axis = at.attributes.get("p", 2), b.constant([at.attributes.get("axis", -1)], np.int64)
    if p not in {1, 2}:
        refuse(b, at, f"has p={p}")
    along = b.add("ReduceSum", b.add("Mul", at.dy, at.y), axis, keepdims=1)
    if p == 2:
        direction = at.y
        norm = b.add("Sqrt", b.add("ReduceSum", b.add("Mul", at.x, at.x), axis, keepdims=1))
    else:
        direction = b.add("Sign", at.x)
        norm = b.add("ReduceSum", b.add("Abs", at.x), axis, keepdims=1)
    rest = b.add("Sub", at.dy, b.add("Mul", direction, along))
    return [b.add("Div", rest, b.add("Max", norm, b.constant(_TINY)))]
