"""Registry of the rules, and functions that several rules use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import onnx

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Rule, Step

__all__ = [
    "RULES",
    "apply_matrix",
    "cut",
    "keep_where",
    "pad",
    "read_static",
    "refuse",
    "register_rule",
    "register_slope",
    "select",
]

RULES: Final[dict[str, Rule]] = {}
"""The rule of each operator, by its name."""


def register_rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of operators."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, rule))
        return rule

    return register


def register_slope(*operators: str) -> Callable[[Callable[[AdjointBuilder, Step], str]], None]:
    """Register the slope of a function of one number."""

    def register(slope: Callable[[AdjointBuilder, Step], str]) -> None:
        def rule(b: AdjointBuilder, at: Step) -> Parts:
            return [b.add("Mul", at.dy, slope(b, at))]

        RULES.update(dict.fromkeys(operators, rule))

    return register


def refuse(b: AdjointBuilder, at: Step, reason: str) -> NoReturn:
    """Raise the error that names the reason why a node lacks a gradient."""
    b.refuse(at.node, reason)


def read_static(b: AdjointBuilder, at: Step, tensor: str) -> Any:
    """Return the value of an input that must be the same for all images."""
    value = b.value(tensor)
    if value is None:
        refuse(b, at, f"has an input, {tensor!r}, that changes from image to image")
    return value


def keep_where(b: AdjointBuilder, condition: str, dy: str) -> str:
    """Keep a gradient where a condition holds; a product is faster than `Where`."""
    return b.add("Mul", dy, b.add("Cast", condition, to=onnx.TensorProto.FLOAT))


def cut(b: AdjointBuilder, tensor: str, axis: int, start: int, stop: int) -> str:
    """Slice a tensor along one axis."""
    limits = [b.constant([value], np.int64) for value in (start, stop, axis)]
    return b.add("Slice", tensor, *limits)


def pad(b: AdjointBuilder, tensor: str, begin: Sequence[int], end: Sequence[int]) -> str:
    """Pad a tensor with zeros."""
    if not any(begin) and not any(end):
        return tensor
    return b.add("Pad", tensor, b.constant([*begin, *end], np.int64))


def select(b: AdjointBuilder, dy: str, axis: int, chosen: Any, rank: int, size: int) -> str:
    """Undo the choice of entries along an axis; no entry may have been chosen twice."""
    origin = np.full(size, len(chosen))  # place of each entry in the choice; the last is a zero
    origin[np.asarray(chosen)] = np.arange(len(chosen))
    end = [int(k == axis) for k in range(rank)]
    return b.add("Gather", pad(b, dy, [0] * rank, end), b.constant(origin, np.int64), axis=axis)


def apply_matrix(b: AdjointBuilder, tensor: str, axis: int, matrix: Any, rank: int) -> str:
    """Multiply a tensor along one axis by a matrix."""
    if rank > 1 and axis == rank - 2:
        return b.add("MatMul", b.constant(np.ascontiguousarray(matrix)), tensor)
    turned = b.constant(np.ascontiguousarray(matrix.T))
    if axis == rank - 1:
        return b.add("MatMul", tensor, turned)
    perm = list(range(rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    product = b.add("MatMul", b.add("Transpose", tensor, perm=perm), turned)
    return b.add("Transpose", product, perm=perm)
