"""Parts of an aligned face, by place and by colour."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.features.skin import Masks, skin_mask

__all__ = ["Regions", "face_regions"]

Regions = dict[str, Masks]

EYES: Final = ((0.40, 0.54), (0.25, 0.75))
"""Rows and columns of the band of the eyes, as proportions of height and width.

The alignment of FFHQ puts the eyes at 0.47 of the height, and at 0.375 and 0.625 of the width.
"""

HAIR: Final = 0.40
"""Upper proportion of the height in which all that is not skin counts as hair."""

BORDER: Final = 0.10
"""Width of the border, as a proportion of height and width."""


def face_regions(images: NDArray[Any]) -> Regions:
    """Cut aligned faces into regions that do not overlap.

    Notes
    -----
    These are rules of colour and of place, not a parser of faces. The eyes are where the
    alignment of FFHQ puts them; in a face that is turned, cut in another way or not aligned, the
    band holds something else. Fair hair and beige walls are skin by their colour; a hat, a
    forehead in the shade, or a wall that shows beside the head, is hair by its place; hair at the
    edge, and below the eyes, is not. In a grey image, skin is not found.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.saliency.regions import face_regions
    >>> regions = face_regions(np.zeros((1, 100, 100, 3), np.uint8))
    >>> {name: int(mask.sum()) for name, mask in regions.items()}
    {'eyes': 700, 'skin': 0, 'background': 3600, 'hair': 2400, 'other': 3300}
    """
    skin = skin_mask(images)
    shape = skin.shape[1:]
    # Centres of pixels, so that a region is symmetric.
    down, across = np.ogrid[tuple(slice(0.5, side) for side in shape)]
    row, column = down / shape[0], across / shape[1]
    (top, bottom), (left, right) = EYES
    edge = np.minimum(np.minimum(row, 1 - row), np.minimum(column, 1 - column))
    found = {
        "eyes": (row > top) & (row < bottom) & (column > left) & (column < right),
        "skin": skin,
        "background": edge < BORDER,
        "hair": np.broadcast_to(row < HAIR, shape),
        "other": np.ones(shape, bool),
    }
    regions = {}
    free = np.ones_like(skin)
    for name, mask in found.items():
        regions[name] = free & mask
        free &= ~mask
    return regions
