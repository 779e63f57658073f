"""Replacements for pixels that are taken away.

A replacement may itself speak for "generated": blurred skin does, and so does a black square. So
there are several replacements, and only what holds with all of them is a property of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.levels import from_levels, round_to_levels
from detectorkit.images.preprocessing import Image

__all__ = [
    "REPLACEMENTS",
    "blurred_copy",
    "make_replacement",
    "mean_color",
    "moved_copy",
    "requantized_copy",
]

_JPEG_QUALITY: Final = 10
_FADE: Final = 8  # pixels over which the two sides of a seam are mixed


def blurred_copy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur an image until no texture is left."""
    sigma = max(image.shape[:2]) / 16
    # As whole numbers, the weights of a wide Gaussian would be a box.
    blurred: Any = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma)
    return np.rint(blurred).astype(np.uint8)


def moved_copy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shift an image cyclically by half of its height and width.

    So every place gets texture of the same image, from as far away as possible.
    """
    moved = image.astype(np.float32)
    for axis in (0, 1):
        moved = np.swapaxes(moved, 0, axis)
        seam = len(moved) // 2
        moved = np.roll(moved, seam, axis=0)
        width = min(_FADE, seam)
        share = (np.arange(width, dtype=np.float32) + 1) / (width + 1)
        share = share.reshape(-1, *[1] * (moved.ndim - 1))
        after, mirrored = moved[seam : seam + width], moved[seam - width : seam][::-1]
        moved[seam : seam + width] = share * after + (1 - share) * mirrored
        moved = np.swapaxes(moved, 0, axis)
    return np.rint(moved).astype(np.uint8)


def requantized_copy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Save an image as a JPEG of quality 10, and read it again."""
    data = encode_image(image, "JPEG", quality=_JPEG_QUALITY)
    return decode_image(data, color_space="gray" if image.ndim == 2 else "rgb")


def mean_color(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill an image with its mean colour."""
    mean = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    return np.broadcast_to(mean, image.shape).copy()


REPLACEMENTS: Final[dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    "blur": blurred_copy,
    "patch": moved_copy,
    "jpeg": requantized_copy,
    "mean": mean_color,
}
"""Functions that compute replacements, by the values of the parameter `replacement`."""


def make_replacement(image: Image, replacement: str) -> Image:
    """Compute the image whose pixels replace those of another."""
    return from_levels(REPLACEMENTS[replacement](round_to_levels(image)), image)
