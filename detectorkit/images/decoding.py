"""Decoding of an image file to an array.

This is the only place where OpenCV decodes. Its order of channels, BGR, exists here and in
`detectorkit.images.encoding`, and nowhere else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.images.headers import ImageHeader, read_header, read_orientation
from detectorkit.images.preprocessing import ColorSpace, convert_color

__all__ = ["MAX_PIXELS", "decode_image", "load_image", "load_shape"]

MAX_PIXELS: Final = 100_000_000
"""Greatest number of pixels of an image file; larger files are refused before decoding."""


# A JPEG is decoded at 1/2, 1/4 or 1/8 only where each side keeps at least this many decoded
# pixels per pixel wanted: there the area filter averages the difference away (at most one grey
# level in 3 % of the pixels; with 4 it would already be twice that).
_SHRINK_MARGIN: Final = 8


_READ_FLAGS: Final = {
    ("gray", 1): cv2.IMREAD_GRAYSCALE,
    ("gray", 2): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    ("gray", 4): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    ("gray", 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    ("rgb", 1): cv2.IMREAD_COLOR,
    ("rgb", 2): cv2.IMREAD_REDUCED_COLOR_2,
    ("rgb", 4): cv2.IMREAD_REDUCED_COLOR_4,
    ("rgb", 8): cv2.IMREAD_REDUCED_COLOR_8,
}


def load_image(
    path: str | os.PathLike[str],
    *,
    color_space: ColorSpace = "rgb",
    image_size: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    index: int | None = None,
) -> NDArray[np.uint8]:
    """Decode an image file.

    AVIF, BMP, GIF (the first frame), JPEG, PNG, TIFF and WebP are read by OpenCV. The EXIF
    orientation is applied (but not the rotation that an AVIF file may ask for), palettes are
    expanded, alpha is dropped (not blended; a TIFF with transparent pixels is an error), and of
    16 bits the upper 8 are kept.

    Parameters
    ----------
    path : str or Path
        Path of the image file to read.
    color_space : {"gray", "rgb"}, default="rgb"
        Colour space of the result. Grey of a JPEG is the luma that the file stores. It differs
        from the luma computed from the decoded colours by rounding, and more where those colours
        were clipped.
    image_size : tuple of (int, int), default=None
        Height and width to which the caller will resize the image. A JPEG that is much larger
        is then decoded at a half, a quarter or an eighth of its size, but never at less than
        eight times `image_size`. None decodes at full size.
    max_pixels : int, default=MAX_PIXELS
        Greatest number of pixels. A larger image is refused before it is decoded.
    index : int, default=None
        Position of the file in the user's input, for the error message. None leaves it out.

    Returns
    -------
    image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
        The decoded image, grey or RGB, with values from 0 to 255.

    Raises
    ------
    ImageReadError
        If the file is missing, empty, broken, truncated, too large or not an image.
    """
    return decode_image(
        _read_file(path, index),
        path=path,
        color_space=color_space,
        image_size=image_size,
        max_pixels=max_pixels,
        index=index,
    )


def load_shape(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, index: int | None = None
) -> tuple[int, int]:
    """Read height and width of an image file from its header."""
    data = _read_file(path, index)
    header = _checked_header(data, path, max_pixels, index)
    orientation = read_orientation(data, header.format)
    if orientation is None:
        image = decode_image(data, path=path, max_pixels=max_pixels, index=index)
        return image.shape[0], image.shape[1]
    shape = header.height, header.width
    return shape if orientation < 5 else shape[::-1]


def _read_file(path: str | os.PathLike[str], index: int | None) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ImageReadError(path, f"{error.strerror or error}.", index) from error


def decode_image(
    data: bytes,
    *,
    path: str | os.PathLike[str] = "(bytes)",
    color_space: ColorSpace = "rgb",
    image_size: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    index: int | None = None,
) -> NDArray[np.uint8]:
    """Decode the content of an image file.

    Parameters
    ----------
    data : bytes
        Content of an image file.
    path : str or Path, default="(bytes)"
        Name of the file in error messages.
    color_space : {"gray", "rgb"}, default="rgb"
        Colour space of the result; see `load_image` for the grey of a JPEG.
    image_size : tuple of (int, int), default=None
        Height and width to which the caller will resize the image. A JPEG that is much larger
        is then decoded at a smaller size, see `load_image`. None decodes at full size.
    max_pixels : int, default=MAX_PIXELS
        Greatest number of pixels. A larger image is refused before it is decoded.
    index : int, default=None
        Position of the image in the user's input, for the error message. None leaves it out.

    Returns
    -------
    image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
        The decoded image, grey or RGB, with values from 0 to 255.

    Raises
    ------
    ImageReadError
        If the data are empty, broken, truncated, too large or not an image.
    """
    header = _checked_header(data, path, max_pixels, index)
    flag = _read_flag(header, color_space, image_size)
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ImageReadError(path, f"the {header.format} data are broken.", index) from error
    if image is None:
        raise ImageReadError(path, f"the {header.format} data are broken or truncated.", index)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        reason = f"{image.dtype} pixels have no known range; save it with 8 or 16 bits."
        raise ImageReadError(path, reason, index)
    if image.ndim == 3:
        if image.shape[2] == 4 and image[..., 3].min() < 255:
            # Only TIFF gets here with its alpha, and libtiff has multiplied the colours by it.
            reason = "a TIFF with transparent pixels; save it without alpha, or as PNG."
            raise ImageReadError(path, reason, index)
        image = cv2.cvtColor(
            image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB
        )
    return convert_color(image, color_space)


def _checked_header(
    data: bytes, path: str | os.PathLike[str], max_pixels: int, index: int | None
) -> ImageHeader:
    if not data:
        raise ImageReadError(path, "the file is empty.", index)
    header = read_header(data)
    if header is None:
        raise ImageReadError(
            path, "not an AVIF, BMP, GIF, JPEG, PNG, TIFF or WebP image, whatever its name.", index
        )
    if header.height * header.width > max_pixels:
        raise ImageReadError(
            path,
            f"{header.height} x {header.width} pixels are more than max_pixels={max_pixels}. If "
            "you trust the file, pass `check_images(X, max_pixels=...)` as X.",
            index,
        )
    return header


def _read_flag(
    header: ImageHeader, color_space: ColorSpace, image_size: tuple[int, int] | None
) -> int:
    if header.format == "TIFF":
        # The colour mode would hide an alpha channel that has already changed the colours.
        return cv2.IMREAD_UNCHANGED
    if header.format != "JPEG":
        # Grey is computed from the colours, as for arrays, so that a lossless file gives the
        # same scores as the array it was made from.
        return cv2.IMREAD_COLOR
    return _READ_FLAGS[color_space, _shrink_factor(header, image_size)]


def _shrink_factor(header: ImageHeader, image_size: tuple[int, int] | None) -> int:
    if image_size is None:
        return 1
    # EXIF may swap the sides, so the shorter side of the file must suffice for the longer one
    # wanted.
    spare = min(header.height, header.width) / (max(image_size) * _SHRINK_MARGIN)
    return next((factor for factor in (8, 4, 2) if spare >= factor), 1)
