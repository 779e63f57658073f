"""Rules for functions of one number."""

from __future__ import annotations

import math

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import (
    keep_where,
    refuse,
    register_rule,
    register_slope,
)

_HUGE = 1e35  # lifts all positive numbers but the very smallest above 1
_TINY = 1e-12  # roots are kept above it where they are divided by


@register_slope("Relu")
def _relu(b: AdjointBuilder, at: Step) -> str:
    # 1 where the output is positive, for half of what `Sign` costs.
    raised = b.add("Mul", at.y, b.constant(_HUGE))
    return b.add("Clip", raised, b.constant(0), b.constant(1))


@register_slope("Abs")
def _abs(b: AdjointBuilder, at: Step) -> str:
    return b.add("Sign", at.x)


@register_slope("Sqrt")
def _root(b: AdjointBuilder, at: Step) -> str:
    return b.add("Div", b.constant(0.5), b.add("Max", at.y, b.constant(_TINY)))


@register_slope("Log")
def _log(b: AdjointBuilder, at: Step) -> str:
    return b.add("Reciprocal", at.x)


@register_slope("Reciprocal")
def _reciprocal(b: AdjointBuilder, at: Step) -> str:
    return b.add("Neg", b.add("Mul", at.y, at.y))


@register_rule("Exp")
def _exp(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Mul", at.dy, at.y)]


@register_rule("Neg")
def _neg(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Neg", at.dy)]


# Bells and sigmoids


@register_slope("Sigmoid")
def _sigmoid(b: AdjointBuilder, at: Step) -> str:
    return b.add("Mul", at.y, _rest(b, at.y))


@register_slope("Tanh")
def _tanh(b: AdjointBuilder, at: Step) -> str:
    return _rest(b, b.add("Mul", at.y, at.y))


@register_slope("Erf")
def _erf(b: AdjointBuilder, at: Step) -> str:
    bell = b.add("Exp", b.add("Neg", b.add("Mul", at.x, at.x)))
    return b.add("Mul", bell, b.constant(2 / math.sqrt(math.pi)))


@register_slope("Gelu")
def _gelu(b: AdjointBuilder, at: Step) -> str:
    approximate = at.text("approximate", "none")
    if approximate == "tanh":
        return _gelu_by_tanh(b, at.x)
    if approximate != "none":
        refuse(b, at, f"has approximate={approximate!r}")
    share = b.add("Erf", b.add("Mul", at.x, b.constant(math.sqrt(0.5))))
    share = b.add("Mul", b.add("Add", share, b.constant(1)), b.constant(0.5))
    bell = b.add("Exp", b.add("Mul", b.add("Mul", at.x, at.x), b.constant(-0.5)))
    bell = b.add("Mul", b.add("Mul", bell, at.x), b.constant(1 / math.sqrt(2 * math.pi)))
    return b.add("Add", share, bell)


def _gelu_by_tanh(b: AdjointBuilder, x: str) -> str:
    """Return the slope of x (1 + tanh(c x (1 + a x²))) / 2."""
    a, c = 0.044715, math.sqrt(2 / math.pi)
    square = b.add("Mul", x, x)
    inner = b.add("Add", b.add("Mul", square, b.constant(a * c)), b.constant(c))
    height = b.add("Tanh", b.add("Mul", x, inner))
    steep = b.add("Add", b.add("Mul", square, b.constant(3 * a * c)), b.constant(c))
    steep = b.add("Mul", b.add("Mul", x, steep), _rest(b, b.add("Mul", height, height)))
    both = b.add("Add", b.add("Add", height, b.constant(1)), steep)
    return b.add("Mul", both, b.constant(0.5))


@register_slope("Softplus")
def _softplus(b: AdjointBuilder, at: Step) -> str:
    return b.add("Sigmoid", at.x)


@register_slope("Softsign")
def _softsign(b: AdjointBuilder, at: Step) -> str:
    rest = _rest(b, b.add("Abs", at.y))
    return b.add("Mul", rest, rest)


@register_slope("Mish")
def _mish(b: AdjointBuilder, at: Step) -> str:
    height = b.add("Tanh", b.add("Softplus", at.x))
    steep = b.add("Mul", _rest(b, b.add("Mul", height, height)), b.add("Sigmoid", at.x))
    return b.add("Add", height, b.add("Mul", at.x, steep))


def _rest(b: AdjointBuilder, tensor: str) -> str:
    """Return 1 minus a tensor."""
    return b.add("Sub", b.constant(1), tensor)


# Piecewise functions


@register_rule("LeakyRelu")
def _leaky(b: AdjointBuilder, at: Step) -> Parts:
    slope = b.constant(at.attributes.get("alpha", 0.01))
    return [b.add("Where", _above(b, at.x, 0), at.dy, b.add("Mul", at.dy, slope))]


@register_rule("PRelu")
def _prelu(b: AdjointBuilder, at: Step) -> Parts:
    is_up = _above(b, at.x, 0)
    parts: Parts = [None, None]
    if at.wants(0):
        parts[0] = b.add("Where", is_up, at.dy, b.add("Mul", at.dy, at.input(1)))
    if at.wants(1):
        part = b.add("Where", is_up, b.constant(0), b.add("Mul", at.dy, at.x))
        parts[1] = b.reduced_to(part, at.y, at.input(1))
    return parts


@register_slope("Elu")
def _elu(b: AdjointBuilder, at: Step) -> str:
    below = b.add("Add", at.y, b.constant(at.attributes.get("alpha", 1.0)))
    return b.add("Where", _above(b, at.x, 0), b.constant(1), below)


@register_slope("Celu")
def _celu(b: AdjointBuilder, at: Step) -> str:
    below = b.add("Exp", b.add("Mul", at.x, b.constant(1 / at.attributes.get("alpha", 1.0))))
    return b.add("Where", _above(b, at.x, 0), b.constant(1), below)


@register_slope("Selu")
def _selu(b: AdjointBuilder, at: Step) -> str:
    gamma = at.attributes.get("gamma", 1.0507009873554804934193349852946)
    alpha = at.attributes.get("alpha", 1.6732632423543772848170429916717)
    below = b.add("Mul", b.add("Exp", at.x), b.constant(gamma * alpha))
    return b.add("Where", _above(b, at.x, 0), b.constant(gamma), below)


@register_rule("ThresholdedRelu")
def _thresholded(b: AdjointBuilder, at: Step) -> Parts:
    return [keep_where(b, _above(b, at.x, at.attributes.get("alpha", 1.0)), at.dy)]


@register_rule("Shrink")
def _shrink(b: AdjointBuilder, at: Step) -> Parts:
    return [keep_where(b, _above(b, b.add("Abs", at.x), at.attributes.get("lambd", 0.5)), at.dy)]


@register_rule("HardSigmoid")
def _hard_sigmoid(b: AdjointBuilder, at: Step) -> Parts:
    slope = b.constant(at.attributes.get("alpha", 0.2))
    return [b.add("Mul", _between(b, at.dy, at.y, 0.0, 1.0), slope)]


@register_rule("HardSwish")
def _hard_swish(b: AdjointBuilder, at: Step) -> Parts:
    x = at.x
    limits = [b.constant(one) for one in (-0.5, 1.5)]  # the slope is x / 3 + 1/2 from -3 to 3
    slope = b.add("Add", b.add("Mul", x, b.constant(1 / 3)), b.constant(0.5))
    inside = _between(b, b.add("Mul", at.dy, b.add("Clip", slope, *limits)), x, -3.0, 3.0)
    above = b.add("GreaterOrEqual", x, b.constant(3))
    return [b.add("Where", above, at.dy, inside)]


def _above(b: AdjointBuilder, tensor: str, limit: float) -> str:
    return b.add("Greater", tensor, b.constant(limit))


def _between(b: AdjointBuilder, dy: str, tensor: str, low: float, high: float) -> str:
    """Keep a gradient where a tensor is between limits."""
    below = b.add("Less", tensor, b.constant(high))
    return keep_where(b, b.add("And", _above(b, tensor, low), below), dy)


# Trigonometry


@register_slope("Sin")
def _sin(b: AdjointBuilder, at: Step) -> str:
    return b.add("Cos", at.x)


@register_slope("Cos")
def _cos(b: AdjointBuilder, at: Step) -> str:
    return b.add("Neg", b.add("Sin", at.x))


@register_slope("Tan")
def _tan(b: AdjointBuilder, at: Step) -> str:
    return b.add("Add", b.add("Mul", at.y, at.y), b.constant(1))


@register_slope("Sinh")
def _sinh(b: AdjointBuilder, at: Step) -> str:
    return b.add("Cosh", at.x)


@register_slope("Cosh")
def _cosh(b: AdjointBuilder, at: Step) -> str:
    return b.add("Sinh", at.x)


@register_slope("Asin")
def _asin(b: AdjointBuilder, at: Step) -> str:
    return _one_by_root(b, at.x, -1, 1)


@register_slope("Acos")
def _acos(b: AdjointBuilder, at: Step) -> str:
    return b.add("Neg", _one_by_root(b, at.x, -1, 1))


@register_slope("Asinh")
def _asinh(b: AdjointBuilder, at: Step) -> str:
    return _one_by_root(b, at.x, 1, 1)


@register_slope("Acosh")
def _acosh(b: AdjointBuilder, at: Step) -> str:
    return _one_by_root(b, at.x, 1, -1)


@register_slope("Atan")
def _atan(b: AdjointBuilder, at: Step) -> str:
    return b.add("Reciprocal", _parabola(b, at.x, 1, 1))


@register_slope("Atanh")
def _atanh(b: AdjointBuilder, at: Step) -> str:
    return b.add("Reciprocal", _parabola(b, at.x, -1, 1))


def _parabola(b: AdjointBuilder, x: str, factor: float, offset: float) -> str:
    """Return factor x² + offset."""
    square = b.add("Mul", b.add("Mul", x, x), b.constant(factor))
    return b.add("Add", square, b.constant(np.float32(offset)))


def _one_by_root(b: AdjointBuilder, x: str, factor: float, offset: float) -> str:
    return b.add("Reciprocal", b.add("Sqrt", _parabola(b, x, factor, offset)))
