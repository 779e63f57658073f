"""Images that cannot be judged, whatever their score: too small, or of one colour."""

from __future__ import annotations

from typing import Final

import numpy as np

from detectorkit.images.preprocessing import Image, Preprocessing

__all__ = ["MIN_SIDE", "ONE_COLOR", "is_one_color", "smallest_side", "why_too_small"]

MIN_SIDE: Final = 96
"""Shorter side in pixels below which too little of an image is left to judge.

Of 40 generated images that were shrunk to a shorter side of 32, 48, 64 and 96 pixels and saved as
JPEG 90, the detector `clip` called 24, 9, 4 and 0 real.
"""

ONE_COLOR: Final = "cannot be judged: all of it has one colour"
"""Why an image of one colour has no verdict."""

_MAX_RANGE: Final = 2  # levels of 255, in each channel of an image of one colour


def smallest_side(preprocessing: Preprocessing) -> int:
    """Return the shorter side that images need: `MIN_SIDE`, or less if the detector uses less."""
    treatment = preprocessing.treatment
    treated = () if treatment is None else (treatment.side,)
    return min((MIN_SIDE, *treated, *(preprocessing.image_size or ())))


def why_too_small(shape: tuple[int, int], min_side: int) -> str | None:
    """Return why an image of this height and width cannot be judged; None if it is large enough."""
    side = min(shape)
    if side >= min_side:
        return None
    return f"cannot be judged: its shorter side is {side} px, and at least {min_side} are needed"


def is_one_color(image: Image) -> bool:
    """Return whether all pixels of an image are alike, but for an error of rounding."""
    limit = _MAX_RANGE if image.dtype == np.uint8 else _MAX_RANGE / 255
    low, high = (find(find(image, axis=0), axis=0) for find in (np.min, np.max))
    return bool((high.astype(float) - low <= limit).all())
