"""Pixels on the scale of 8 bits, where white is 255.

=====================  ==================================  ====================================
function               from                                to
=====================  ==================================  ====================================
`to_levels`            uint8, or floats from 0 to 1        numbers from 0 to 255, not rounded
`round_to_levels`      uint8, or floats from 0 to 1        uint8, as a file would hold them
`levels_as_uint8`      any numbers on the scale of levels  uint8
`from_levels`          any numbers on the scale of levels  uint8, or floats from 0 to 1
=====================  ==================================  ====================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_levels", "levels_as_uint8", "round_to_levels", "to_levels"]


def to_levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Scale pixels to levels, the input of the ONNX graphs."""
    return pixels if pixels.dtype == np.uint8 else pixels * np.float32(255)


def round_to_levels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round pixels to the whole levels that a file would hold."""
    return pixels if pixels.dtype == np.uint8 else levels_as_uint8(to_levels(pixels))


def levels_as_uint8(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round and clip numbers that are on the scale of levels already."""
    rounded = np.rint(levels)
    return np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)


def from_levels(levels: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Convert levels to pixels of the dtype of an image: the inverse of `to_levels`."""
    if like.dtype == np.uint8:
        return levels_as_uint8(levels)
    return np.clip(levels, 0, 255).astype(np.float32) / np.float32(255)
