"""Format, size and orientation of an image file, read before it is decoded.

A compressed file of a few kilobytes can announce an image of gigabytes. So the size is read first,
by the rules of the decoder: markers of a JPEG as in libjpeg, chunks of a PNG as in OpenCV. All
other formats are opened by Pillow, which also decodes them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from detectorkit.images.jpeg import jpeg_segments, read_jpeg
from detectorkit.images.pillow import UnreadableError, open_image, orientation_of

__all__ = ["FORMATS", "ImageHeader", "read_format", "read_header", "read_orientation"]

FORMATS: Final = "AVIF, BMP, GIF, HEIF, JPEG, JPEG 2000, PNG, TIFF or WebP"
"""Names of the formats that are read, for messages."""

_JPEG_APP1 = 0xE1  # EXIF, or something else
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class ImageHeader(NamedTuple):
    """Format and size of an image file, as its header says.

    Attributes
    ----------
    format : str
        Format of the file: "AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG 2000", "PNG", "TIFF" or
        "WebP".
    height, width : int
        Stored size in pixels, before any orientation is applied.
    fault : str, default=""
        Why the file is not to be decoded; empty if nothing was found.
    opened : Jpeg, PIL.Image or None
        What was learned of a JPEG, or the opened image of a format that Pillow decodes.
    """

    format: str
    height: int
    width: int
    fault: str = ""
    opened: Any = None


def read_format(start: bytes) -> str | None:
    """Recognise the format of an image file by its first 64 bytes; None if it is none of them."""
    return next((name for name, matches in _SIGNATURES.items() if matches(start)), None)


def read_header(data: bytes) -> ImageHeader | None:
    """Read format and size of an image file."""
    name = read_format(data[:64])
    if name is None:
        return None
    try:
        if name == "JPEG":
            found = read_jpeg(data)
            return ImageHeader(name, found.height, found.width, found.fault, found)
        if name == "PNG":
            return ImageHeader(name, *_png_size(data), _png_fault(data))
        image = open_image(data, name)
    except (struct.error, IndexError, ValueError):
        return None
    except UnreadableError as error:
        return ImageHeader(name, 0, 0, str(error))
    return ImageHeader(name, image.height, image.width, opened=image)


def read_orientation(data: bytes, header: ImageHeader) -> int:
    """Read the orientation of an image file: how it is turned and mirrored before it is shown."""
    if header.format not in _ORIENTATIONS:
        return orientation_of(header.opened)
    try:
        orientation = _ORIENTATIONS[header.format](data)
    except (struct.error, IndexError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _is_avif(start: bytes) -> bool:
    return start[4:12] in {b"ftypavif", b"ftypavis"}


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


_SIGNATURES: Final[dict[str, Callable[[bytes], bool]]] = {
    "JPEG": lambda start: start.startswith(b"\xff\xd8\xff"),
    "PNG": lambda start: start.startswith(_PNG_START),
    "WebP": lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP",
    "AVIF": _is_avif,
    "HEIF": _is_heif,
    "GIF": lambda start: start.startswith((b"GIF87a", b"GIF89a")),
    "TIFF": lambda start: start.startswith((b"II*\0", b"MM\0*")),
    "JPEG 2000": lambda start: start.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    "BMP": lambda start: start.startswith(b"BM"),
}


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no image size")
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _png_fault(data: bytes) -> str:
    """Find what is wrong with the chunks; OpenCV makes room for each before it is read."""
    for kind, _, end in _png_chunks(data):
        if end + 4 > len(data):
            break
        if kind == b"IEND":
            return ""
    return "the PNG data are broken or truncated."


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over the chunks of a PNG: kind, begin and end of the content."""
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, position + 8 + length
        position += 12 + length


def _tiff_orientation(data: bytes) -> int:
    """Read the orientation of EXIF data, which have the form of a TIFF file."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return 1
    order = "<" if data[:2] == b"II" else ">"
    position = struct.unpack_from(order + "I", data, 4)[0]
    for entry in range(struct.unpack_from(order + "H", data, position)[0]):
        begin = position + 2 + 12 * entry
        if struct.unpack_from(order + "H", data, begin)[0] == 0x112:
            found: int = struct.unpack_from(order + "H", data, begin + 8)[0]
            return found
    return 1


def _jpeg_orientation(data: bytes) -> int:
    for marker, content in jpeg_segments(data):
        if marker == _JPEG_APP1 and content.startswith(b"Exif\0\0"):
            return _tiff_orientation(content[6:])
    return 1


def _png_orientation(data: bytes) -> int:
    for kind, begin, end in _png_chunks(data):
        if kind == b"eXIf":  # it may follow the image; a damaged one is ignored
            content = data[begin:end]
            stored = struct.unpack_from(">I", data, end)[0]
            if zlib.crc32(kind + content) == stored:
                return _tiff_orientation(content)
    return 1


_ORIENTATIONS: Final[dict[str, Callable[[bytes], int]]] = {
    "JPEG": _jpeg_orientation,
    "PNG": _png_orientation,
}
