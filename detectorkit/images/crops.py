"""Crops from fixed places of an image, at its own resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectorkit.images.preprocessing import Image, resize_image

__all__ = ["covering_size", "crop_places", "cut_crops", "enlarge_to_cover"]


def enlarge_to_cover(image: Image, size: tuple[int, int]) -> Image:
    """Enlarge an image, keeping its aspect ratio, until a window fits into it."""
    shape = image.shape[:2]
    covering = covering_size((shape[0], shape[1]), size)
    return image if covering == shape else resize_image(image, covering)


def covering_size(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Compute the size to which an image is enlarged so that a window fits into it."""
    factor = max(size[0] / shape[0], size[1] / shape[1])
    if factor <= 1:
        return shape
    wanted = [max(round(n * factor), m) for n, m in zip(shape, size, strict=True)]
    return wanted[0], wanted[1]


def cut_crops(image: Image, size: tuple[int, int], n_crops: int) -> Image:
    """Cut crops from fixed places of an image, at its own resolution."""
    _, places = crop_places((image.shape[0], image.shape[1]), size, n_crops)
    image = enlarge_to_cover(image, size)
    crops: Any = [image[top : top + size[0], left : left + size[1]] for top, left in places]
    stacked: Image = np.stack(crops)
    return stacked


def crop_places(
    shape: tuple[int, int], size: tuple[int, int], n_crops: int
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Compute where the crops of an image lie."""
    covered = covering_size(shape, size)
    spare = np.array(covered) - size
    side = int(np.sqrt(n_crops))
    shares = np.linspace(0, 1, 2 if n_crops == 5 else side) if n_crops > 1 else np.array([0.5])
    corners = [(a, b) for a in shares for b in shares]
    if n_crops == 5:
        corners.append((0.5, 0.5))
    places = dict.fromkeys(tuple((spare * corner).astype(int).tolist()) for corner in corners)
    return covered, [(row, column) for row, column in places]
