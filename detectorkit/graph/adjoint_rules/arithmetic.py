"""Rules for arithmetic of several operands, with broadcasts."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import onnx

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import keep_where, refuse, register_rule


def _each(b: AdjointBuilder, at: Step, *makers: Callable[[], str]) -> Parts:
    """Return the gradients that are needed, with the broadcasts undone."""
    return [
        b.reduced_to(make(), at.y, operand) if one else None
        for make, operand, one in zip(makers, at.node.input, at.wanted, strict=True)
    ]


@register_rule("Add", "Sum")
def _add(b: AdjointBuilder, at: Step) -> Parts:
    return _each(b, at, *[lambda: at.dy] * len(at.wanted))


@register_rule("Mean")
def _mean(b: AdjointBuilder, at: Step) -> Parts:
    share = b.add("Mul", at.dy, b.constant(1 / len(at.wanted)))
    return _each(b, at, *[lambda: share] * len(at.wanted))


@register_rule("Sub")
def _sub(b: AdjointBuilder, at: Step) -> Parts:
    return _each(b, at, lambda: at.dy, lambda: b.add("Neg", at.dy))


@register_rule("Mul")
def _mul(b: AdjointBuilder, at: Step) -> Parts:
    first, second = at.node.input
    if first == second:
        return [b.add("Mul", b.add("Mul", at.dy, first), b.constant(2)), None]
    return _each(b, at, lambda: b.add("Mul", at.dy, second), lambda: b.add("Mul", at.dy, first))


@register_rule("Div")
def _div(b: AdjointBuilder, at: Step) -> Parts:
    _, below = at.node.input

    def by_below() -> str:
        return b.add("Neg", b.add("Div", b.add("Mul", at.dy, at.y), below))

    return _each(b, at, lambda: b.add("Div", at.dy, below), by_below)


@register_rule("Mod")
def _mod(b: AdjointBuilder, at: Step) -> Parts:
    if not at.attributes.get("fmod", 0):
        refuse(b, at, "has fmod=0")
    first, second = at.node.input

    def by_second() -> str:
        ratio = b.add("Div", first, second)
        whole = b.add("Mul", b.add("Floor", b.add("Abs", ratio)), b.add("Sign", ratio))
        return b.add("Neg", b.add("Mul", at.dy, whole))

    return _each(b, at, lambda: at.dy, by_second)


@register_rule("Pow")
def _pow(b: AdjointBuilder, at: Step) -> Parts:
    return _each(b, at, lambda: _by_base(b, at), lambda: _by_exponent(b, at))


def _by_base(b: AdjointBuilder, at: Step) -> str:
    value = b.value(at.input(1))
    if value is None:
        power = b.add("Cast", at.input(1), to=onnx.TensorProto.FLOAT)
        lower = b.add("Sub", power, b.constant(1))
        # x⁰ is constant, also where x⁻¹ is infinite.
        lower = b.add("Where", b.add("Equal", power, b.constant(0)), b.constant(0), lower)
    else:
        power = b.constant(value)
        lower = b.constant(np.where(value == 0, 0, value - np.ones_like(value)))
    is_square = value is not None and (value == 2).all()
    slope = at.x if is_square else b.add("Pow", at.x, lower)
    return b.add("Mul", b.add("Mul", at.dy, slope), power)


def _by_exponent(b: AdjointBuilder, at: Step) -> str:
    number = b.add("Cast", at.x, to=onnx.TensorProto.FLOAT)
    zero = b.constant(0)
    # 0 to any positive power is 0, so it does not change with the exponent.
    logarithm = b.add("Where", b.add("Equal", number, zero), zero, b.add("Log", number))
    return b.add("Mul", b.add("Mul", at.dy, at.y), logarithm)


@register_rule("Where")
def _where(b: AdjointBuilder, at: Step) -> Parts:
    zero = b.constant(0)
    chosen: list[Callable[[], str]] = [
        lambda: b.refuse(at.node, "is asked for the gradient of its condition"),
        lambda: b.add("Where", at.x, at.dy, zero),
        lambda: b.add("Where", at.x, zero, at.dy),
    ]
    return _each(b, at, *chosen)


@register_rule("Min", "Max")
def _extreme(b: AdjointBuilder, at: Step) -> Parts:
    operands = list(at.node.input)
    if len(set(operands)) == 1:
        return [at.dy, *[None] * (len(operands) - 1)]
    is_extreme = [
        b.add("Cast", b.add("Equal", operand, at.y), to=onnx.TensorProto.FLOAT)
        for operand in operands
    ]
    # Equal operands share the gradient evenly, as in torch.
    share = b.add("Div", at.dy, reduce(lambda one, other: b.add("Add", one, other), is_extreme))
    return _each(b, at, *[lambda one=one: b.add("Mul", share, one) for one in is_extreme])


@register_rule("Clip")
def _clip(b: AdjointBuilder, at: Step) -> Parts:
    low, high = at.input(1), at.input(2)
    inside = []
    if low:
        inside.append(b.add("Greater", at.y, low))
    if high:
        inside.append(b.add("Less", at.y, high))
    parts: Parts = [at.dy, None, None]
    if inside:
        chosen = b.add("And", *inside) if len(inside) == 2 else inside[0]
        parts[0] = keep_where(b, chosen, at.dy)
    if at.wants(1) or at.wants(2):
        parts[1:] = _by_limits(b, at, low, high)
    return parts


def _by_limits(b: AdjointBuilder, at: Step, low: str, high: str) -> Parts:
    """Return the gradients of the limits, from the entries that were clipped."""
    is_above = is_below = None
    if high:
        is_above = b.add("Greater", at.x, high)
        if low:  # limits in the wrong order always result in the upper one
            is_above = b.add("Or", is_above, b.add("Greater", low, high))
    if low:
        is_below = b.add("Less", at.x, low)
        if is_above is not None:
            is_below = b.add("And", is_below, b.add("Not", is_above))
    return [
        b.add("ReduceSum", keep_where(b, beyond, at.dy), keepdims=0)
        if beyond is not None and at.wants(k)
        else None
        for k, beyond in ((1, is_below), (2, is_above))
    ]
