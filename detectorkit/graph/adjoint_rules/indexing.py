"""Rules for operators that choose entries by their places."""

from __future__ import annotations

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import pad, refuse, register_rule, select


@register_rule("Tile", "GatherND", "Compress")
def _moved(b: AdjointBuilder, at: Step) -> Parts:
    """Apply the node to the places of the entries, and add the gradient to the places it chose."""
    size = b.add("Size", at.x)
    numbers = b.add("Range", b.constant(0, np.int64), size, b.constant(1, np.int64))
    places = b.add(
        at.node.op_type, b.shaped_like(numbers, at.x), *at.node.input[1:], **at.attributes
    )
    return [_scattered(b, places, at.dy, at.x)]


def _scattered(b: AdjointBuilder, places: str, dy: str, tensor: str) -> str:
    """Add a gradient to places of a tensor, which are counted through all of its axes."""
    flat = b.constant([-1], np.int64)
    nothing = b.add("Reshape", b.constant_like(tensor, 0.0), flat)
    places, parts = (b.add("Reshape", one, flat) for one in (places, dy))
    found = b.add("ScatterElements", nothing, places, parts, axis=0, reduction="add")
    return b.shaped_like(found, tensor)


@register_rule("Slice")
def _slice(b: AdjointBuilder, at: Step) -> Parts:
    shape = b.shape(at.x)
    given = [b.value(one) for one in at.node.input[1:] if one]
    limits = [value.tolist() for value in given if value is not None]
    if len(limits) < len(given):
        return _moved(b, at)
    starts, stops = limits[:2]
    axes = limits[2] if at.input(3) else range(len(starts))
    steps = limits[-1] if at.input(4) else [1] * len(starts)
    begin, end, part = [0] * len(shape), [0] * len(shape), at.dy
    for place, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        axis = place % len(shape)
        chosen = range(shape[axis])[slice(start, stop, step)]
        if step == 1:
            begin[axis], end[axis] = chosen.start, shape[axis] - max(chosen.start, chosen.stop)
        else:
            part = select(b, part, axis, chosen, len(shape), shape[axis])
    return [pad(b, part, begin, end)]


@register_rule("Gather")
def _gather(b: AdjointBuilder, at: Step) -> Parts:
    index = b.value(at.input(1))
    shape = b.shape(at.x)
    axis = at.attributes.get("axis", 0) % len(shape)
    if index is None or index.ndim > 1 or len(np.unique(index % shape[axis])) < index.size:
        return _moved(b, at)
    part = at.dy
    if index.ndim == 0:
        part = b.add("Unsqueeze", part, b.constant([axis], np.int64))
    if index.size != 1:
        return [select(b, part, axis, index % shape[axis], len(shape), shape[axis])]
    begin, end = [0] * len(shape), [0] * len(shape)
    begin[axis] = int(index.item()) % shape[axis]
    end[axis] = shape[axis] - 1 - begin[axis]
    return [pad(b, part, begin, end)]


@register_rule("GatherElements")
def _gather_elements(b: AdjointBuilder, at: Step) -> Parts:
    axis = at.attributes.get("axis", 0)
    nothing = b.constant_like(at.x, 0.0)
    return [b.add("ScatterElements", nothing, at.input(1), at.dy, axis=axis, reduction="add")]


@register_rule("ScatterElements", "ScatterND")
def _scatter(b: AdjointBuilder, at: Step) -> Parts:
    reduction = at.text("reduction", "none")
    if reduction not in {"none", "add"}:
        refuse(b, at, f"has reduction={reduction!r}")
    is_nd = at.node.op_type == "ScatterND"
    axis = {} if is_nd else {"axis": at.attributes.get("axis", 0)}
    parts: Parts = [None, None, None]
    if at.wants(0):
        nothing = b.constant_like(at.input(2), 0.0)
        parts[0] = (
            at.dy
            if reduction == "add"
            else b.add(at.node.op_type, at.dy, at.input(1), nothing, **axis)
        )
    if at.wants(2):
        parts[2] = b.add("GatherND" if is_nd else "GatherElements", at.dy, at.input(1), **axis)
    return parts


@register_rule("TopK")
def _top_k(b: AdjointBuilder, at: Step) -> Parts:
    axis = at.attributes.get("axis", -1)
    nothing = b.constant_like(at.x, 0.0)
    places = b.output(at.node, 1)
    return [b.add("ScatterElements", nothing, places, at.dy, axis=axis)]
