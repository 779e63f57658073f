"""Decoding of an image file to an array: JPEG and PNG by OpenCV, all other formats by Pillow.

This is the only place where OpenCV decodes. Limits are checked before the decoder runs: of
bytes when the file is read, of pixels and of scans by what its header says, which is read by the
decoder's own rules.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.images.headers import FORMATS, ImageHeader, read_header, read_orientation
from detectorkit.images.pillow import UnreadableError, to_array, turn
from detectorkit.images.preprocessing import ColorSpace, convert_color
from detectorkit.utils.files import read_regular

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "TRUST_HINT",
    "check_size",
    "decode_image",
    "decode_pillow",
    "decode_shape",
    "load_image",
    "load_shape",
    "read_image_bytes",
]

MAX_BYTES: Final = 500_000_000
"""Greatest number of bytes of an image file; larger files are refused before they are read."""

MAX_PIXELS: Final = 100_000_000
"""Greatest number of pixels of an image file; larger files are refused before decoding."""

TRUST_HINT: Final = " If you trust the file, pass `check_images(X, max_pixels=...)` as X."
"""How to have a larger image read from Python; the end of such an error."""


# A JPEG is decoded at 1/2, 1/4 or 1/8 only where each side keeps at least this many decoded
# pixels per pixel wanted: there the area filter averages the difference away (at most one grey
# level in 3 % of the pixels; with 4 it would already be twice that).
_SHRINK_MARGIN: Final = 8


_READ_FLAGS: Final = {
    ("gray", 1): cv2.IMREAD_GRAYSCALE,
    ("gray", 2): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    ("gray", 4): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    ("gray", 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    ("rgb", 1): cv2.IMREAD_COLOR_RGB,
    ("rgb", 2): cv2.IMREAD_REDUCED_COLOR_2,
    ("rgb", 4): cv2.IMREAD_REDUCED_COLOR_4,
    ("rgb", 8): cv2.IMREAD_REDUCED_COLOR_8,
}
_BGR_FLAGS: Final = {_READ_FLAGS["rgb", factor] for factor in (2, 4, 8)}  # none of these gives RGB


def load_image(
    path: str | os.PathLike[str],
    *,
    color_space: ColorSpace = "rgb",
    image_size: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    index: int | None = None,
) -> NDArray[np.uint8]:
    """Decode an image file.

    JPEG and PNG are decoded by OpenCV; AVIF, BMP, GIF, JPEG 2000, TIFF and WebP by Pillow, and
    HEIC and HEIF by pillow-heif, if it is installed. The format is known by the content of a file,
    not by its name. Of several frames the first is read. The EXIF orientation is applied, palettes
    are expanded, alpha is dropped (not blended), and of 16 bits the upper 8 are kept.

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
        If the file is missing, empty, broken, truncated, too large, not an image or not a regular
        file. A JPEG whose picture ends too early counts as truncated; it is not filled with grey.
    """
    return decode_image(
        read_image_bytes(path, index),
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
    return decode_shape(read_image_bytes(path, index), path, max_pixels, index)


def decode_shape(
    data: bytes, path: str | os.PathLike[str], max_pixels: int, index: int | None
) -> tuple[int, int]:
    """Read height and width of the content of an image file from its header."""
    header = _checked_header(data, path, max_pixels, index)
    shape = header.height, header.width
    return shape if read_orientation(data, header) < 5 else shape[::-1]


def read_image_bytes(path: str | os.PathLike[str], index: int | None = None) -> bytes:
    """Read the content of an image file, of a bounded length."""
    try:
        return read_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # a name with a zero is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ImageReadError(path, f"{reason}.", index) from error


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
    if header.format not in {"JPEG", "PNG"}:
        return decode_pillow(header.opened, color_space, path, index, name=header.format)
    flag = cv2.IMREAD_COLOR_RGB
    if header.format == "JPEG":
        # Grey of all others is computed from the colours, as for arrays, so that a lossless file
        # gives the same scores as the array it was made from.
        flag = _READ_FLAGS[color_space, _shrink_factor(header, image_size)]
        data = header.opened.for_decoder(data)
    image: Any = None
    with contextlib.suppress(cv2.error):
        # OpenCV reads damaged EXIF data otherwise than `load_shape`.
        flags = flag | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ImageReadError(path, f"the {header.format} data are broken or truncated.", index)
    if flag in _BGR_FLAGS:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return turn(convert_color(image, color_space), read_orientation(data, header))


def decode_pillow(
    image: Any,
    color_space: ColorSpace,
    path: str | os.PathLike[str],
    index: int | None,
    *,
    name: str = "image",
) -> NDArray[np.uint8]:
    """Decode an image of Pillow."""
    try:
        array = to_array(image, name)
    except UnreadableError as error:
        raise ImageReadError(path, str(error), index) from error
    converted: NDArray[np.uint8] = convert_color(array, color_space)
    return converted


def check_size(
    height: int, width: int, path: str | os.PathLike[str], max_pixels: int, index: int | None
) -> None:
    """Refuse an image that has too many pixels."""
    if height * width > max_pixels:
        raise ImageReadError(
            path,
            f"{height} x {width} pixels are more than max_pixels={max_pixels}.{TRUST_HINT}",
            index,
        )


def _checked_header(
    data: bytes, path: str | os.PathLike[str], max_pixels: int, index: int | None
) -> ImageHeader:
    if not data:
        raise ImageReadError(path, "the file is empty.", index)
    header = read_header(data)
    if header is None:
        raise ImageReadError(path, f"not an {FORMATS} image, whatever its name.", index)
    check_size(header.height, header.width, path, max_pixels, index)
    if header.fault:
        raise ImageReadError(path, header.fault, index)
    return header


def _shrink_factor(header: ImageHeader, image_size: tuple[int, int] | None) -> int:
    if image_size is None:
        return 1
    # EXIF may swap the sides, so the shorter side of the file must suffice for the longer one
    # wanted.
    spare = min(header.height, header.width) / (max(image_size) * _SHRINK_MARGIN)
    return next((factor for factor in (8, 4, 2) if spare >= factor), 1)
