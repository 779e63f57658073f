"""Masks of the pixels that have the colour of skin, and a check of masks."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.levels import round_to_levels

__all__ = ["Masks", "check_mask", "skin_mask"]

Masks = NDArray[np.bool_]

LOWEST: Final = (0, 133, 77)
"""Minimum luma, red difference and blue difference of skin."""

HIGHEST: Final = (255, 173, 127)
"""Maximum luma, red difference and blue difference of skin; included."""

BLUR: Final = 5  # pixels; chroma of JPEG files is blocky, which would tear the mask


def skin_mask(images: NDArray[Any]) -> Masks:
    """Find the pixels that have the colour of skin.

    This is a rule about colours; it does not look for faces. Fair hair, wood, sand and beige walls
    have the same colours and are marked too; skin under coloured light is missed.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width, 3)
        RGB images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to
        8 bits.

    Returns
    -------
    mask : ndarray of shape (n_samples, height, width), dtype bool
        True where a pixel has the colour of skin, which no pixel in a shade of grey has.

    Raises
    ------
    ValueError
        If the images have a wrong form; grey images have no colour of skin.

    See Also
    --------
    SmoothnessTransformer : Describe the texture of skin.

    Notes
    -----
    The rule of the paper [1]_ is a blue difference from 77 to 127 and a red difference from 133
    to 173, whatever the luma. It differs from the paper in three ways. The colour differences are
    those of JPEG files, which use the whole range. The image is blurred by a square of 5 pixels
    first, which removes the specks that JPEG makes. The later stages of the paper, which drop
    small and too even regions, are left out: they would drop just what smooth skin looks like.

    References
    ----------
    .. [1] Chai, D. and Ngan, K. N. (1999). Face segmentation using skin-color map in videophone
       applications. IEEE Transactions on Circuits and Systems for Video Technology, 9(4),
       551-564. :doi:`10.1109/76.767122`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import skin_mask
    >>> image = np.zeros((16, 16, 3), dtype=np.uint8)
    >>> image[:, :8] = 224, 172, 138
    >>> skin_mask(image[np.newaxis])[0, 0, ::5]
    array([ True,  True, False, False])
    """
    images = np.asarray(images)
    is_known = images.dtype == np.uint8 or images.dtype.kind == "f"
    if images.ndim != 4 or images.shape[3] != 3 or not is_known:
        raise ValueError(
            f"skin_mask: images of shape {images.shape} and dtype {images.dtype}. Expected RGB "
            "images in an array of shape (n_samples, height, width, 3), uint8 from 0 to 255 or "
            "floats from 0 to 1. Grey images have no colour of skin."
        )
    levels = round_to_levels(images)
    mask = np.empty(images.shape[:3], bool)
    for image, found in zip(levels, mask, strict=True):
        smooth = cv2.blur(np.ascontiguousarray(image), (BLUR, BLUR))
        # OpenCV has the red difference before the blue one.
        found[:] = cv2.inRange(cv2.cvtColor(smooth, cv2.COLOR_RGB2YCrCb), LOWEST, HIGHEST)
    return mask


def check_mask(caller: str, mask: Any, shape: tuple[int, ...]) -> Masks | None:
    """Check the mask that was passed to a function of grey planes."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"{caller}: mask of shape {mask.shape} and dtype {mask.dtype}. Expected the shape of "
            f"the images, {shape}, and dtype bool."
        )
    return np.ascontiguousarray(mask)
