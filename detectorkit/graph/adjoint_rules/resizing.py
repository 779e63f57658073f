"""Rules for resizing and other linear operators that work on each axis separately."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.graph.adjoint import AdjointBuilder, Parts, Step
from detectorkit.graph.adjoint_rules.registry import (
    apply_matrix,
    read_static,
    refuse,
    register_rule,
)

__all__ = ["undo_axis_by_axis"]

_SAME = 1e-4  # tolerance of an entry


def undo_axis_by_axis(
    b: AdjointBuilder,
    at: Step,
    axes: Iterable[int],
    along: Callable[[int, int], NDArray[np.float32]],
) -> str:
    """Add the gradient of an operator that multiplies each axis by a matrix."""
    shape = b.shape(at.x)
    matrices = {axis: along(axis, shape[axis]) for axis in axes}
    numbers = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = b.evaluate_node(at.node, numbers) - b.evaluate_node(at.node, np.zeros_like(numbers))
    found = numbers
    for axis, matrix in matrices.items():
        found = np.moveaxis(np.tensordot(matrix, found, (1, axis)), 0, axis)
    if found.shape != expected.shape or not np.allclose(found, expected, atol=_SAME):
        refuse(b, at, f"does not work on each axis alone, with {_describe(at)}")
    part = at.dy
    for axis, matrix in matrices.items():
        part = apply_matrix(b, part, axis, matrix.T, len(shape))
    return part


def _describe(at: Step) -> str:
    return ", ".join(
        f"{key}={value.decode() if isinstance(value, bytes) else value!r}"
        for key, value in sorted(at.attributes.items())
    )


@register_rule("Resize")
def _resize(b: AdjointBuilder, at: Step) -> Parts:
    before, after = b.shape(at.x), b.shape(at.y)
    scales = _scales(b, at, len(before))
    regions = _regions(b, at, len(before))
    axes = [
        k
        for k in range(len(before))
        if before[k] != after[k] or scales.get(k, 1) != 1 or k in regions
    ]
    kept = {
        key: value
        for key, value in at.attributes.items()
        if key not in {"axes", "keep_aspect_ratio_policy"}
    }

    def along(axis: int, size: int) -> NDArray[np.float32]:
        region = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
        region[[2, 6]] = regions.get(axis, (0, 1))
        images = np.eye(size, dtype=np.float32).reshape(size, 1, size, 1)
        if axis in scales:
            ratio = np.array([1, 1, scales[axis], 1], np.float32)
            wanted: list[Any] = [region, ratio, None]
        else:
            wanted = [region, None, np.array([size, 1, after[axis], 1], np.int64)]
        made, nothing = (
            b.evaluate("Resize", one, *wanted, **kept)[:, 0, :, 0].T
            for one in (images, np.zeros_like(images))
        )
        return made - nothing

    return [undo_axis_by_axis(b, at, axes, along)]


def _axes(at: Step, rank: int) -> list[int]:
    return [axis % rank for axis in at.attributes.get("axes", range(rank))]


def _scales(b: AdjointBuilder, at: Step, rank: int) -> dict[int, float]:
    """Return the factor of each axis, if there are factors and not sizes."""
    policy = at.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        refuse(b, at, f"has keep_aspect_ratio_policy={policy!r}")
    if not at.input(2):
        return {}
    values = read_static(b, at, at.input(2)).ravel().tolist()
    return dict(zip(_axes(at, rank), values, strict=True)) if values else {}


def _regions(b: AdjointBuilder, at: Step, rank: int) -> dict[int, tuple[float, float]]:
    """Return the part of each axis that is resized."""
    if at.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return {}
    values = read_static(b, at, at.input(1)).ravel().tolist()
    half = len(values) // 2
    return dict(zip(_axes(at, rank), zip(values[:half], values[half:], strict=True), strict=True))
