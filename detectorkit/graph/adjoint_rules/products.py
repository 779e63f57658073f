"""Rules for products of matrices."""

from __future__ import annotations

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import refuse, register_rule


def _turned(b: AdjointBuilder, tensor: str) -> str:
    """Exchange the last two axes."""
    value = b.value(tensor)
    if value is not None:
        return b.constant(np.ascontiguousarray(np.swapaxes(value, -1, -2)))
    rank = len(b.shape(tensor))
    return b.add("Transpose", tensor, perm=[*range(rank - 2), rank - 1, rank - 2])


@register_rule("MatMul")
def _matmul(b: AdjointBuilder, at: Step) -> Parts:
    first, second = at.node.input
    if min(len(b.shape(first)), len(b.shape(second))) < 2:
        return _product_of_vector(b, at)

    def undone(product: str, operand: str) -> str:
        # The leading axes may have been broadcast.
        full = (*b.shape(at.y)[:-2], *b.shape(operand)[-2:])
        return b.reduced_from(product, full, operand)

    parts: Parts = [None, None]
    if at.wanted[0]:
        parts[0] = undone(b.add("MatMul", at.dy, _turned(b, second)), first)
    if at.wanted[1]:
        parts[1] = undone(b.add("MatMul", _turned(b, first), at.dy), second)
    return parts


def _product_of_vector(b: AdjointBuilder, at: Step) -> Parts:
    """Reshape a vector to a matrix of one row or column."""
    first, second = at.node.input
    shapes = [b.shape(first), b.shape(second)]
    if len(shapes[0]) == 1:
        shapes[0] = (1, *shapes[0])
        first = b.add("Unsqueeze", first, b.constant([0], np.int64))
    if len(shapes[1]) == 1:
        shapes[1] = (*shapes[1], 1)
        second = b.add("Unsqueeze", second, b.constant([1], np.int64))
    lacking = [-2] * (len(b.shape(at.input(0))) == 1) + [-1] * (len(b.shape(at.input(1))) == 1)
    dy = b.add("Unsqueeze", at.dy, b.constant(lacking, np.int64))
    front = max(shapes, key=len)[:-2]

    def turned(tensor: str, shape: tuple[int, ...]) -> str:
        rank = len(shape)
        return b.add("Transpose", tensor, perm=[*range(rank - 2), rank - 1, rank - 2])

    parts: Parts = [None, None]
    if at.wanted[0]:
        product = b.add("MatMul", dy, turned(second, shapes[1]))
        parts[0] = b.reduced_from(product, (*front, *shapes[0][-2:]), at.input(0), shapes[0])
    if at.wanted[1]:
        product = b.add("MatMul", turned(first, shapes[0]), dy)
        parts[1] = b.reduced_from(product, (*front, *shapes[1][-2:]), at.input(1), shapes[1])
    return parts


@register_rule("Gemm")
def _gemm(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    turns = [attributes.get("transA", 0), attributes.get("transB", 0)]
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    parts: Parts = [None, None, None]
    if at.wants(0):
        parts[0] = _by_first(b, at, turns, alpha)
    if at.wants(1):
        # B of Y = A B, or of its transpose Bᵀ.
        pair = (at.dy, at.x) if turns[1] else (at.x, at.dy)
        flips = {"transA": 1, "transB": turns[0]} if turns[1] else {"transA": 1 - turns[0]}
        parts[1] = b.add("Gemm", *pair, alpha=alpha, **flips)
    if at.wants(2):
        scaled = at.dy if beta == 1 else b.add("Mul", at.dy, b.constant(beta))
        parts[2] = b.reduced_to(scaled, at.y, at.input(2))
    return parts


def _by_first(b: AdjointBuilder, at: Step, turns: list[int], alpha: float) -> str:
    weights = b.value(at.input(1))
    if weights is None or turns[0]:
        pair = (at.input(1), at.dy) if turns[0] else (at.dy, at.input(1))
        flips = {"transA": turns[1], "transB": 1} if turns[0] else {"transB": 1 - turns[1]}
        return b.add("Gemm", *pair, alpha=alpha, **flips)
    weights = weights if turns[1] else weights.T
    return b.add("MatMul", at.dy, b.constant(np.ascontiguousarray(weights * np.float32(alpha))))


@register_rule("Einsum")
def _einsum(b: AdjointBuilder, at: Step) -> Parts:
    equation = at.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if not arrow or "." in equation or any(len(set(term)) < len(term) for term in (*terms, right)):
        refuse(b, at, f"has equation={equation!r}")
    parts: Parts = []
    for k, own in enumerate(terms):
        if not at.wants(k):
            parts.append(None)
            continue
        others = [(term, at.input(i)) for i, term in enumerate(terms) if i != k]
        known = {*right, *(letter for term, _ in others for letter in term)}
        kept = "".join(letter for letter in own if letter in known)
        operands = ",".join([right, *(term for term, _ in others)])
        part = b.add("Einsum", at.dy, *(one for _, one in others), equation=f"{operands}->{kept}")
        if kept != own:  # axes that only this operand has were summed
            lacking = [i for i, letter in enumerate(own) if letter not in known]
            part = b.add("Unsqueeze", part, b.constant(lacking, np.int64))
            part = b.add("Expand", part, b.add("Shape", at.input(k)))
        parts.append(part)
    return parts
