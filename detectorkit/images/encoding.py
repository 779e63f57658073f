"""One image: from an array to the bytes of a file. The twin of `detectorkit.images.decoding`."""

from __future__ import annotations

from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SUBSAMPLINGS", "encode_image"]

FileFormat = Literal["JPEG", "PNG", "WebP"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

SUBSAMPLINGS: Final[dict[str, int]] = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
"""How finely a JPEG stores colour: at full size, at half the width, or at half of both sides."""

_SUFFIXES: Final = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp"}


def encode_image(
    image: NDArray[np.uint8],
    file_format: FileFormat = "PNG",
    *,
    quality: int = 90,
    subsampling: Subsampling = "4:2:0",
) -> bytes:
    """Encode an image as a file would hold it.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
        Grey or RGB.
    file_format : {"JPEG", "PNG", "WebP"}, default="PNG"
        WebP is written with loss, as most programs do.
    quality : int, default=90
        From 1 to 100; not for PNG. For JPEG it is the scale of libjpeg.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}, default="4:2:0"
        How finely a JPEG stores colour.

    Returns
    -------
    data : bytes
        The content of a file, without EXIF and colour profile. The same image gives the same
        bytes with one version of OpenCV.

    Raises
    ------
    ValueError
        If an option is none of these, or the image is no 8-bit image.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.images.encoding import encode_image
    >>> encode_image(np.zeros((8, 8, 3), np.uint8), "PNG")[1:4]
    b'PNG'
    """
    suffix, flags = _SUFFIXES.get(file_format), []
    if suffix is None:
        raise ValueError(
            f"encode_image: file_format={file_format!r} must be one of {list(_SUFFIXES)}."
        )
    if not 1 <= quality <= 100:
        raise ValueError(f"encode_image: quality={quality!r} must be from 1 to 100.")
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(
            f"encode_image: subsampling={subsampling!r} must be one of {list(SUBSAMPLINGS)}."
        )
    if image.dtype != np.uint8:
        raise ValueError(f"encode_image: image has dtype {image.dtype}; it must be uint8.")
    if file_format == "JPEG":
        flags = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLINGS[subsampling]]
    elif file_format == "WebP":
        flags = [cv2.IMWRITE_WEBP_QUALITY, int(quality)]
    pixels: Any = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded: NDArray[np.uint8] = cv2.imencode(suffix, pixels, flags)[1]
    return encoded.tobytes()
