"""Rules for poolings."""

from __future__ import annotations

import math

import numpy as np

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.convolution import (
    Window,
    repeat,
    undo_convolution,
    window_of,
)
from detectorkit.graph.adjoint_rules.registry import pad, refuse, register_rule
from detectorkit.graph.adjoint_rules.resizing import undo_axis_by_axis


@register_rule("MaxPool")
def _max_pool(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    kernel = attributes["kernel_shape"]
    window = window_of(b, at, kernel, np.array(b.shape(at.x)[2:]))
    if attributes.get("storage_order", 0):  # the places count along columns
        settings = attributes | {"storage_order": 0}
        b.add("MaxPool", at.x, **settings)
        where = b.output(b.graph.nodes[-1], 1)
    else:
        where = b.output(at.node, 1)
    # If windows do not overlap, each place gets at most one gradient.
    if _is_side_by_side(window) and not attributes.get("ceil_mode", 0):
        settings = {"kernel_shape": kernel, "strides": kernel}
        return [b.add("MaxUnpool", at.dy, where, b.add("Shape", at.x), **settings)]
    flat = b.constant([-1], np.int64)
    nothing = b.add("Reshape", b.constant_like(at.x, 0.0), flat)
    places, parts = (b.add("Reshape", one, flat) for one in (where, at.dy))
    found = b.add("ScatterElements", nothing, places, parts, axis=0, reduction="add")
    return [b.shaped_like(found, at.x)]


def _is_side_by_side(window: Window) -> bool:
    """Return whether windows neither overlap nor reach beyond the map."""
    has_border = window.begin.any() or window.end.any()
    is_dense = (window.dilations == 1).all()
    return bool(is_dense and not has_border and (window.strides == window.kernel).all())


@register_rule("MaxUnpool")
def _max_unpool(b: AdjointBuilder, at: Step) -> Parts:
    if at.input(2):
        refuse(b, at, "has an output_shape")
    flat = b.add("Reshape", at.dy, b.constant([-1], np.int64))
    return [b.add("Gather", flat, at.input(1), axis=0)]


@register_rule("AveragePool")
def _average_pool(b: AdjointBuilder, at: Step) -> Parts:
    attributes = at.attributes
    kernel = attributes["kernel_shape"]
    channels, *size = b.shape(at.x)[1:]
    window = window_of(b, at, kernel, np.array(size))
    has_border = window.begin.any() or window.end.any()
    if has_border or attributes.get("ceil_mode", 0) or (window.dilations != 1).any():
        return [_average_pool_with_border(b, at)]
    if _is_side_by_side(window):
        share = b.add("Mul", at.dy, b.constant(1 / math.prod(kernel)))
        left = [n % step for n, step in zip(size, kernel, strict=True)]  # in no window
        return [pad(b, repeat(b, share, kernel), [0] * (len(size) + 2), [0, 0, *left])]
    weights = np.full((channels, 1, *kernel), 1 / math.prod(kernel), np.float32)
    alone = Window(
        window.kernel, window.strides, window.dilations, window.begin, window.end, channels
    )
    return [undo_convolution(b, at.dy, weights, alone, np.array(size))]


def _average_pool_with_border(b: AdjointBuilder, at: Step) -> str:
    """Undo the pooling axis by axis, because it divides by smaller numbers at the border."""
    attributes = at.attributes
    rank = len(attributes["kernel_shape"])

    def along(axis: int, size: int) -> np.ndarray:
        own = {
            key: [value[k] for k in range(axis - 2, len(value), rank)]
            for key, value in attributes.items()
            if key in {"kernel_shape", "strides", "pads", "dilations"}
        }
        images = np.eye(size, dtype=np.float32)[:, np.newaxis]
        return b.evaluate("AveragePool", images, **(attributes | own))[:, 0].T

    return undo_axis_by_axis(b, at, range(2, rank + 2), along)
