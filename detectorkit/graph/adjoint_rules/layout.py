"""Rules for operators that move entries and compute nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import (
    apply_matrix,
    cut,
    pad,
    read_static,
    refuse,
    register_rule,
)

_BORDERS = ("reflect", "edge", "wrap")


@register_rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(b: AdjointBuilder, at: Step) -> Parts:
    return [b.shaped_like(at.dy, at.x)]


@register_rule("Identity")
def _identity(_: AdjointBuilder, at: Step) -> Parts:
    return [at.dy]


@register_rule("Cast", "CastLike")
def _cast(b: AdjointBuilder, at: Step) -> Parts:
    if b.dtype(at.y) != np.float32:  # all other floats of the model were converted before
        refuse(b, at, "rounds to a type of few bits")
    # `CastLike` uses only the type of its second input.
    return [at.dy, b.constant_like(at.input(1), 0.0) if at.wants(1) else None]


@register_rule("Dropout")
def _dropout(b: AdjointBuilder, at: Step) -> Parts:
    if at.input(2) and read_static(b, at, at.input(2)).any():
        refuse(b, at, "is in training mode, where it is random")
    return [at.dy, b.constant_like(at.input(1), 0.0) if at.wants(1) else None]


@register_rule("Transpose")
def _transpose(b: AdjointBuilder, at: Step) -> Parts:
    rank = len(b.shape(at.x))
    perm = at.attributes.get("perm", range(rank)[::-1])
    return [b.add("Transpose", at.dy, perm=np.argsort(perm).tolist())]


@register_rule("Expand")
def _expand(b: AdjointBuilder, at: Step) -> Parts:
    return [b.reduced_to(at.dy, at.y, at.x)]


@register_rule("Concat")
def _concat(b: AdjointBuilder, at: Step) -> Parts:
    axis = at.attributes["axis"]
    stops = np.cumsum([b.shape(one)[axis] for one in at.node.input])
    parts: Parts = []
    for k, one in enumerate(at.wanted):
        start = int(stops[k - 1]) if k else 0
        part = cut(b, at.dy, axis, start, int(stops[k])) if one else None
        parts.append(part)
    return parts


@register_rule("Split")
def _split(b: AdjointBuilder, at: Step) -> Parts:
    parts = [
        part or b.constant_like(output, 0.0)
        for part, output in zip(at.upstream, at.node.output, strict=True)
    ]
    return [b.add("Concat", *parts, axis=at.attributes.get("axis", 0))]


@register_rule("Pad")
def _pad(b: AdjointBuilder, at: Step) -> Parts:
    mode = at.text("mode", "constant")
    shape = b.shape(at.x)
    pads = read_static(b, at, at.input(1)).ravel().tolist()
    axes = list(range(len(shape)))
    if at.input(3):
        axes = [axis % len(shape) for axis in read_static(b, at, at.input(3)).ravel().tolist()]
    borders = dict(zip(axes, zip(pads, pads[len(axes) :], strict=False), strict=True))
    if mode == "constant":
        part = _without_border(b, at.dy, borders, shape)
        return [part, None, _of_border(b, at.dy, part) if at.wants(2) else None]
    if mode not in _BORDERS or min(pads) < 0:
        refuse(b, at, f"has mode={mode!r} with pads={pads}")
    part = at.dy
    for axis, (before, behind) in borders.items():
        if before or behind:
            matrix = _border_matrix(shape[axis], before, behind, mode)
            part = apply_matrix(b, part, axis, matrix.T, len(shape))
    return [part]


def _without_border(
    b: AdjointBuilder, dy: str, borders: dict[int, tuple[int, int]], shape: tuple[int, ...]
) -> str:
    """Remove a border; entries that a negative border removed get the gradient 0."""
    begin, end = [0] * len(shape), [0] * len(shape)
    for axis, (before, behind) in borders.items():
        begin[axis], end[axis] = max(-before, 0), max(-behind, 0)
        if before > 0 or behind > 0:
            stop = shape[axis] + before - end[axis]
            dy = cut(b, dy, axis, max(before, 0), stop)
    return pad(b, dy, begin, end)


def _of_border(b: AdjointBuilder, dy: str, part: str) -> str:
    """Return the gradient of the number that fills a border."""
    whole, inside = (b.add("ReduceSum", one, keepdims=0) for one in (dy, part))
    return b.add("Sub", whole, inside)


def _border_matrix(size: int, before: int, behind: int, mode: Any) -> Any:
    """Return the matrix that repeats entries as a border."""
    origin = np.pad(np.arange(size), (before, behind), mode=mode)
    return np.eye(size, dtype=np.float32)[origin]


@register_rule("DepthToSpace", "SpaceToDepth")
def _blocks(b: AdjointBuilder, at: Step) -> Parts:
    size, mode = at.attributes["blocksize"], at.text("mode", "DCR")
    if mode not in {"DCR", "CRD"}:
        refuse(b, at, f"has mode={mode!r}")
    if at.node.op_type == "SpaceToDepth":
        return [b.add("DepthToSpace", at.dy, blocksize=size, mode=mode)]
    if mode == "DCR":
        return [b.add("SpaceToDepth", at.dy, blocksize=size)]
    _, channels, height, width = b.shape(at.y)
    split = [-1, channels, height // size, size, width // size, size]
    blocks = b.add("Reshape", at.dy, b.constant(split, np.int64))
    return [b.shaped_like(b.add("Transpose", blocks, perm=[0, 1, 3, 5, 2, 4]), at.x)]


@register_rule("Trilu")
def _trilu(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("Trilu", at.dy, *at.node.input[1:], **at.attributes)]


@register_rule("ReverseSequence")
def _reverse(b: AdjointBuilder, at: Step) -> Parts:
    return [b.add("ReverseSequence", at.dy, at.input(1), **at.attributes)]
