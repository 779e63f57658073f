"""Format and size of an image file, read from its first bytes before anything is decoded.

A compressed file of a few kilobytes can announce an image of gigabytes. OpenCV only knows one
limit for the whole process, so the size is read here and checked before the decoder runs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["JPEG_FRAMES", "ImageHeader", "jpeg_segments", "read_header"]

JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that say how the picture of a JPEG is stored."""

_JPEG_SCAN = 0xDA  # the compressed picture follows
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


class ImageHeader(NamedTuple):
    """What the first bytes of an image file say.

    Attributes
    ----------
    format : str
        "AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF" or "WebP".
    height, width : int
        The size in pixels as stored, before any EXIF orientation is applied.
    """

    format: str
    height: int
    width: int


def read_header(data: bytes) -> ImageHeader | None:
    """Read format and size of an encoded image.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    header : ImageHeader or None
        None where the bytes are not of a supported format, or end before the size.
    """
    for matches, name, read_size in _FORMATS:
        if matches(data):
            try:
                height, width = read_size(data)
            except (struct.error, IndexError, ValueError):
                return None
            return ImageHeader(name, height, width)
    return None


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk through the segments of a JPEG that stand before its compressed picture.

    Parameters
    ----------
    data : bytes
        The whole file.

    Yields
    ------
    marker : int
        What kind of segment it is.
    content : bytes
        What it holds.

    Raises
    ------
    IndexError, struct.error
        If the file ends too early.
    """
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
    order = "<" if data[:2] == b"II" else ">"
    position = struct.unpack_from(order + "I", data, 4)[0]
    size = {}
    for entry in range(struct.unpack_from(order + "H", data, position)[0]):
        tag, kind = struct.unpack_from(order + "HH", data, position + 2 + 12 * entry)
        value_format = order + ("H" if kind == 3 else "I")
        size[tag] = struct.unpack_from(value_format, data, position + 2 + 12 * entry + 8)[0]
    if not {256, 257} <= size.keys():
        raise ValueError("no image size")
    return size[257], size[256]


_FORMATS = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), "JPEG", _jpeg_size),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), "PNG", _png_size),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", "WebP", _webp_size),
    (lambda data: data[4:12] in (b"ftypavif", b"ftypavis"), "AVIF", _avif_size),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), "GIF", _gif_size),
    (lambda data: data.startswith((b"II*\0", b"MM\0*")), "TIFF", _tiff_size),
    (lambda data: data.startswith(b"BM"), "BMP", _bmp_size),
)
