"""Pixels on the scale of 8 bits, where white is 255."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_levels"]


def as_levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring pixels to the scale of 8 bits.

    Parameters
    ----------
    pixels : ndarray
        Of dtype uint8, or floats where white is 1.

    Returns
    -------
    levels : ndarray
        Where white is 255; floats are not rounded.
    """
    return pixels if pixels.dtype == np.uint8 else pixels * np.float32(255)
