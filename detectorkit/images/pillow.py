"""Images of Pillow, and the formats of files that it decodes here: all but JPEG and PNG.

What opens a file also decodes it, so the size that is checked is the size that is decoded. Pillow
is only imported when such a file or image is met.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["UnreadableError", "is_pillow_image", "open_image", "orientation_of", "to_array", "turn"]

# The classes are called themselves: `Image.open` would try formats in which other programs are run,
# and warns of large images by a limit for the whole process.
_OPENERS: Final = {
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
}
_HOW_TO_OPEN_HEIF: Final = "HEIC and HEIF need pillow-heif: pip install pillow-heif"
_ORIENTATION: Final = 0x112
_STRIP: Final = 4_000_000  # pixels that are converted at a time
_MAX_STRIP: Final = 400_000_000  # bytes; a whole image of the greatest size with 8 bits and alpha


class UnreadableError(Exception):
    """Raised with the reason why Pillow cannot open or decode an image."""


def is_pillow_image(item: Any) -> bool:
    """Return whether an object is an image of Pillow, without importing it."""
    # Another thread may just be importing the module.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(item, kind)


def open_image(data: bytes, file_format: str) -> Any:
    """Open the content of an image file, without decoding it.

    Raises
    ------
    UnreadableError
        If it cannot be opened.
    """
    module, name = _OPENERS[file_format]
    try:
        opener = getattr(import_module(module), name)
    except ImportError as error:
        raise UnreadableError(f"{_HOW_TO_OPEN_HEIF}.") from error
    try:
        image = opener(io.BytesIO(data))
        n_bytes = _strip_bytes(image) if file_format == "TIFF" else 0
    except Exception as error:  # whatever Pillow raises for a damaged file
        raise UnreadableError(f"the {file_format} data are broken: {error}.") from error
    if n_bytes > _MAX_STRIP:
        raise UnreadableError(f"a TIFF of strips or tiles of {n_bytes} bytes; save it with less.")
    return image


def _strip_bytes(image: Any) -> int:
    """Return the size of the parts of a TIFF, of which one is decoded at a time."""
    tags = image.tag_v2
    width, rows = tags.get(322, image.width), tags.get(323, tags.get(278, image.height))
    bits = sum(tags.get(258, (1,)))
    return int(width * min(rows, max(image.size)) * bits // 8)


def orientation_of(image: Any) -> int:
    """Return how an image is turned and mirrored before it is shown, from 1 to 8."""
    if image.format == "TIFF":
        return 1  # Pillow turns it by itself
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF data are ignored, as in a JPEG
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def to_array(image: Any, name: str = "image") -> NDArray[np.uint8]:
    """Decode an image of Pillow: upright, grey or RGB, without alpha, of 16 bits the upper 8.

    Raises
    ------
    UnreadableError
        If it cannot be decoded, or its pixels have no known range.
    """
    orientation = orientation_of(image)
    try:
        image.load()
        width, height = image.size
        rows = max(1, _STRIP // max(1, width))
        boxes = [(0, top, width, min(height, top + rows)) for top in range(0, height, rows)]
        if len(boxes) == 1:
            return turn(_convert(image), orientation)
        first = _convert(image.crop(boxes[0]))
        array = np.empty((height, *first.shape[1:]), np.uint8)
        for box in boxes:
            array[box[1] : box[3]] = _convert(image.crop(box))
        return turn(array, orientation)
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"the {name} data are broken or truncated: {error}.") from error


def _convert(image: Any) -> NDArray[np.uint8]:
    """Convert the pixels of a decoded image; large ones come in strips, to save memory."""
    mode = image.mode
    if mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if mode in {"I", "F"}:
        kind = "int32" if mode == "I" else "float32"
        raise UnreadableError(f"{kind} pixels have no known range; save it with 8 or 16 bits.")
    if mode in {"RGBa", "La"}:  # colours that are multiplied by alpha
        image = image.convert(mode.upper())
    if mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    wanted = "L" if mode in {"1", "L", "LA", "La"} else "RGB"
    return np.asarray(image if image.mode == wanted else image.convert(wanted))


def turn(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror an image as its orientation says, from 1 to 8."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        image = image[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        image = image[::-1]
    return np.ascontiguousarray(image)
