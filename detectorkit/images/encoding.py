"""Encoding of an image as a file; the inverse is in `detectorkit.images.decoding`."""

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
"""Chroma subsamplings of a JPEG: colour at full size, half the width, or half of both sides."""

_SUFFIXES: Final = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp"}


def encode_image(
    image: NDArray[np.uint8],
    file_format: FileFormat = "PNG",
    *,
    quality: int = 90,
    subsampling: Subsampling = "4:2:0",
) -> bytes:
    """Encode an image as the content of an image file.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
        Grey or RGB image to encode.
    file_format : {"JPEG", "PNG", "WebP"}, default="PNG"
        Format of the file. WebP is written with loss, as most programs do.
    quality : int, default=90
        Quality of JPEG (on the scale of libjpeg) and WebP, from 1 to 100. PNG ignores it.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}, default="4:2:0"
        Chroma subsampling of JPEG: colour at full size, at half the width, or at half of both
        sides. Other formats ignore it.

    Returns
    -------
    data : bytes
        Content of the file, without EXIF and colour profile. The same image gives the same
        bytes with one version of OpenCV.

    Raises
    ------
    ValueError
        If `file_format`, `quality` or `subsampling` is not allowed, or `image` is not uint8.

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
