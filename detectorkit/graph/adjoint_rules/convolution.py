"""Rules for convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import cut, refuse, register_rule

__all__ = ["Window", "repeat", "undo_convolution"]

_MOST_GROUPS = 64  # groups of weights that depend on the pixels; each needs a node


@dataclass(frozen=True)
class Window:
    """The way in which a kernel moves over a map.

    Attributes
    ----------
    kernel, strides, dilations : ndarray of shape (rank,)
        Size, steps and gaps of the kernel along each axis of the map.
    begin, end : ndarray of shape (rank,)
        Width of the border before and after the map, along each axis.
    group : int
        Number of groups of channels.
    """

    kernel: NDArray[np.int64]
    strides: NDArray[np.int64]
    dilations: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    group: int

    @property
    def reach(self) -> NDArray[np.int64]:
        """Distance between the first and the last entry under the kernel."""
        return self.dilations * (self.kernel - 1)

    @property
    def settings(self) -> dict[str, Any]:
        """Attributes of a convolution node with this window."""
        return {
            "strides": self.strides.tolist(),
            "dilations": self.dilations.tolist(),
            "pads": [*self.begin.tolist(), *self.end.tolist()],
            "group": self.group,
        }


def window_of(b: AdjointBuilder, at: Step, kernel: Sequence[int], size: Any) -> Window:
    """Return the window of a convolution or pooling of a map of the given size."""
    attributes = at.attributes
    rank = len(kernel)
    kernel_, strides, dilations = (
        np.array(one)
        for one in (
            kernel,
            attributes.get("strides", [1] * rank),
            attributes.get("dilations", [1] * rank),
        )
    )
    way = at.text("auto_pad", "NOTSET")
    pads = np.array(attributes.get("pads", [0] * (2 * rank)))
    begin, end = pads[:rank], pads[rank:]
    if way in {"SAME_UPPER", "SAME_LOWER"}:
        reach = dilations * (kernel_ - 1)
        total = np.maximum((-(-size // strides) - 1) * strides + reach + 1 - size, 0)
        begin, end = total // 2, total - total // 2
        if way == "SAME_LOWER":
            begin, end = end, begin
    elif way == "VALID":
        begin, end = np.zeros_like(begin), np.zeros_like(end)
    elif way != "NOTSET":
        refuse(b, at, f"has auto_pad={way!r}")
    return Window(kernel_, strides, dilations, begin, end, attributes.get("group", 1))


@register_rule("Conv")
def _conv(b: AdjointBuilder, at: Step) -> Parts:
    kernel = b.shape(at.input(1))[2:]
    size = np.array(b.shape(at.x)[2:])
    window = window_of(b, at, kernel, size)
    parts: Parts = [None, None, None]
    if at.wants(0):
        weights = b.value(at.input(1))
        parts[0] = undo_convolution(
            b, at.dy, at.input(1) if weights is None else weights, window, size
        )
    if at.wants(1):
        sizes = b.shape(at.x)[1], b.shape(at.y)[1]
        parts[1] = _by_weights(b, at, (at.x, at.dy), sizes, window)
    if at.wants(2):
        parts[2] = _by_bias(b, at)
    return parts


def _by_bias(b: AdjointBuilder, at: Step) -> str:
    axes = [axis for axis in range(len(b.shape(at.y))) if axis != 1]
    return b.add("ReduceSum", at.dy, b.constant(axes, np.int64), keepdims=0)


def undo_convolution(b: AdjointBuilder, dy: str, weights: Any, window: Window, size: Any) -> str:
    """Add the gradient of a convolution's input."""
    reach, strides = window.reach, window.strides
    given, rest = np.divmod(size + window.begin + window.end - reach - 1 + strides, strides)
    before, behind = reach - window.begin, reach - window.end + rest + 1 - strides
    # onnxruntime computes a convolution faster than a transposed one. With strides, this holds only
    # for separate channels, because a convolution multiplies by the zeros between the entries, too.
    is_known = not isinstance(weights, str)
    if is_known and (window.group > 1 or (strides == 1).all()) and min(*before, *behind) >= 0:
        rank = len(strides)
        turned = weights[(slice(None), slice(None), *[slice(None, None, -1)] * rank)]
        parts = np.split(turned, window.group)
        turned = np.concatenate([np.swapaxes(part, 0, 1) for part in parts])
        return b.add(
            "Conv",
            _spaced(b, dy, given, strides),
            b.constant(np.ascontiguousarray(turned)),
            pads=[*before.tolist(), *behind.tolist()],
            dilations=window.dilations.tolist(),
            group=window.group,
        )
    kernels = b.constant(weights) if is_known else weights
    return b.add("ConvTranspose", dy, kernels, output_padding=rest.tolist(), **window.settings)


def _by_weights(
    b: AdjointBuilder, at: Step, maps: tuple[str, str], channels: tuple[int, int], window: Window
) -> str:
    """Add the gradient of a convolution's weights: a convolution of its input with its gradient."""
    if window.group > _MOST_GROUPS:
        refuse(b, at, "has weights of many groups that depend on the pixels")
    xs, dys = (_groups(b, one, window.group, n) for one, n in zip(maps, channels, strict=True))
    rank = len(window.kernel)
    turn = [1, 0, *range(2, rank + 2)]
    settings = window.settings | {
        "strides": window.settings["dilations"],
        "dilations": window.settings["strides"],
        "group": 1,
    }
    found = []
    for one, other in zip(xs, dys, strict=True):
        turned = (b.add("Transpose", part, perm=turn) for part in (one, other))
        whole = b.add("Conv", *turned, **settings)
        axes = b.constant(range(2, rank + 2), np.int64)
        stops = b.constant(window.kernel, np.int64)
        kept = b.add("Slice", whole, b.constant([0] * rank, np.int64), stops, axes)
        found.append(b.add("Transpose", kept, perm=turn))
    return found[0] if len(found) == 1 else b.add("Concat", *found, axis=0)


def _groups(b: AdjointBuilder, tensor: str, n_groups: int, n_channels: int) -> list[str]:
    if n_groups == 1:
        return [tensor]
    step = n_channels // n_groups
    return [cut(b, tensor, 1, start, start + step) for start in range(0, n_channels, step)]


@register_rule("ConvTranspose")
def _conv_transpose(b: AdjointBuilder, at: Step) -> Parts:
    kernel = b.shape(at.input(1))[2:]
    size, given = (np.array(b.shape(one)[2:]) for one in (at.x, at.y))
    window = _window_of_transposed(b, at, kernel, size, given)
    dy, window = _cut_to_window(b, at.dy, window, given)
    parts: Parts = [None, None, None]
    if at.wants(0):
        parts[0] = b.add("Conv", dy, at.input(1), **window.settings)
    if at.wants(1):
        sizes = b.shape(at.y)[1], b.shape(at.x)[1]
        parts[1] = _by_weights(b, at, (dy, at.x), sizes, window)
    if at.wants(2):
        parts[2] = _by_bias(b, at)
    return parts


def _cut_to_window(b: AdjointBuilder, dy: str, window: Window, size: Any) -> tuple[str, Window]:
    """Cut off the entries that no kernel reaches, where the border is negative."""
    for k, (before, behind, n) in enumerate(zip(window.begin, window.end, size, strict=True)):
        if before < 0 or behind < 0:
            dy = cut(b, dy, k + 2, int(max(-before, 0)), int(n - max(-behind, 0)))
    begin, end = (np.maximum(one, 0) for one in (window.begin, window.end))
    return dy, replace(window, begin=begin, end=end)


def _window_of_transposed(
    b: AdjointBuilder, at: Step, kernel: tuple[int, ...], size: Any, given: Any
) -> Window:
    """Return the window of the convolution that maps the output's size to the input's."""
    rank = len(kernel)
    attributes = at.attributes
    strides = np.array(attributes.get("strides", [1] * rank))
    dilations = np.array(attributes.get("dilations", [1] * rank))
    pads = np.array(attributes.get("pads", [0] * (2 * rank)))
    begin, end = pads[:rank], pads[rank:]
    way = at.text("auto_pad", "NOTSET")
    reach = dilations * (np.array(kernel) - 1)
    whole = strides * (size - 1) + reach + 1  # size without a border
    if way != "NOTSET" or "output_shape" in attributes:
        extra = np.array(attributes.get("output_padding", [0] * rank))
        total = np.maximum(whole + extra - given, 0)
        begin = total // 2 if way == "SAME_UPPER" else total - total // 2
        if way == "VALID":
            begin = np.zeros_like(total)
        elif way not in {"SAME_UPPER", "SAME_LOWER", "NOTSET"}:
            refuse(b, at, f"has auto_pad={way!r}")
    # The border at the end follows from the sizes; output padding makes it smaller.
    end = whole - begin - given
    return Window(np.array(kernel), strides, dilations, begin, end, attributes.get("group", 1))


def _spaced(b: AdjointBuilder, tensor: str, size: Any, strides: Any) -> str:
    """Put zeros after the entries of a map, so that their distances are the strides.

    Repeating all entries and keeping the first of each is the fastest way in onnxruntime.
    """
    if (strides == 1).all():
        return tensor
    is_first = [
        np.arange(length) % step == 0 for length, step in zip(size * strides, strides, strict=True)
    ]
    first = reduce(np.multiply.outer, is_first)
    return b.add("Mul", repeat(b, tensor, strides), b.constant(first))


def repeat(b: AdjointBuilder, tensor: str, strides: Any) -> str:
    """Repeat each entry of a map."""
    return b.add(
        "Resize",
        tensor,
        "",
        b.constant([1, 1, *strides]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
