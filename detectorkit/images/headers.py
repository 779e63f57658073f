"""Format, size and orientation of an image file, read before it is decoded.

A compressed file of a few kilobytes can announce an image of gigabytes. OpenCV only has one
limit for the whole process, so the size is read here and checked before the decoder runs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = ["JPEG_FRAMES", "ImageHeader", "jpeg_segments", "read_header", "read_orientation"]

JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments of a JPEG that say how its image is stored (start of frame)."""

_JPEG_APP1 = 0xE1  # EXIF, or something else
_JPEG_SCAN = 0xDA  # the compressed image follows
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


class ImageHeader(NamedTuple):
    """Format and size of an image file, as its header says.

    Attributes
    ----------
    format : str
        Format of the file: "AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF" or "WebP".
    height, width : int
        Stored size in pixels, before any EXIF orientation is applied.
    """

    format: str
    height: int
    width: int


def read_header(data: bytes) -> ImageHeader | None:
    """Read format and size of an image file."""
    for matches, name, read_size in _FORMATS:
        if matches(data):
            try:
                height, width = read_size(data)
            except (struct.error, IndexError, ValueError):
                return None
            return ImageHeader(name, height, width)
    return None


def read_orientation(data: bytes, file_format: str) -> int | None:
    """Read the orientation of an image file: how it is turned and mirrored before it is shown."""
    if file_format == "AVIF":
        return None  # nor is the size certain: the first one in the file may be that of a tile
    if file_format not in _ORIENTATIONS:
        return 1
    try:
        orientation = _ORIENTATIONS[file_format](data)
    except (struct.error, IndexError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the segments of a JPEG that precede its compressed image."""
    position = 2
    while True:
        while data[position] != 0xFF:  # garbage between segments is allowed
            position += 1
        while data[position] == 0xFF:  # and so are fill bytes
            position += 1
        marker = data[position]
        position += 1
        if marker == _JPEG_SCAN:
            return
        if marker not in _JPEG_WITHOUT_LENGTH:
            length = struct.unpack_from(">H", data, position)[0]
            yield marker, data[position + 2 : position + length]
            position += length


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, content in jpeg_segments(data):
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, 1)
            return height, width
    raise ValueError("no image size")


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(height), abs(width)  # negative heights mean "top row first"


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return height, width
    if chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _avif_size(data: bytes) -> tuple[int, int]:
    position = data.index(b"ispe")
    width, height = struct.unpack_from(">II", data, position + 8)
    return height, width


def _tiff_size(data: bytes) -> tuple[int, int]:
    size = {}
    for tag, kind, position, order in _tiff_entries(data):
        size[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, position)[0]
    if not {256, 257} <= size.keys():
        raise ValueError("no image size")
    return size[257], size[256]


def _tiff_entries(data: bytes) -> Iterator[tuple[int, int, int, str]]:
    """Iterate over the first directory: tag, type, position of the value, order of bytes."""
    order = "<" if data[:2] == b"II" else ">"
    position = struct.unpack_from(order + "I", data, 4)[0]
    for entry in range(struct.unpack_from(order + "H", data, position)[0]):
        begin = position + 2 + 12 * entry
        yield (*struct.unpack_from(order + "HH", data, begin), begin + 8, order)


def _tiff_orientation(data: bytes) -> int:
    """Read the orientation of a TIFF file, which is also the form of EXIF data."""
    if data.startswith((b"II*\0", b"MM\0*")):
        for tag, _, position, order in _tiff_entries(data):
            if tag == 0x112:
                found: int = struct.unpack_from(order + "H", data, position)[0]
                return found
    return 1


def _jpeg_orientation(data: bytes) -> int:
    for marker, content in jpeg_segments(data):
        if marker == _JPEG_APP1 and content.startswith(b"Exif\0\0"):
            return _tiff_orientation(content[6:])
    return 1


def _png_orientation(data: bytes) -> int:
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"eXIf":  # it may follow the image; a damaged one is ignored
            content = data[position + 8 : position + 8 + length]
            stored = struct.unpack_from(">I", data, position + 8 + length)[0]
            if zlib.crc32(kind + content) == stored and content.startswith((b"II", b"MM")):
                return _tiff_orientation(content)
        position += 12 + length
    return 1


def _webp_orientation(data: bytes) -> int:
    if data[12:16] != b"VP8X" or not data[20] & 8:  # the bit that announces EXIF data
        return 1
    position = 12
    while position < len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return _tiff_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return 1


_ORIENTATIONS: Final[dict[str, Callable[[bytes], int]]] = {
    "JPEG": _jpeg_orientation,
    "PNG": _png_orientation,
    "TIFF": _tiff_orientation,
    "WebP": _webp_orientation,
}


_FORMATS = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), "JPEG", _jpeg_size),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), "PNG", _png_size),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", "WebP", _webp_size),
    (lambda data: data[4:12] in (b"ftypavif", b"ftypavis"), "AVIF", _avif_size),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), "GIF", _gif_size),
    (lambda data: data.startswith((b"II*\0", b"MM\0*")), "TIFF", _tiff_size),
    (lambda data: data.startswith(b"BM"), "BMP", _bmp_size),
)
