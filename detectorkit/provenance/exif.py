"""Texts in EXIF data and TIFF files, and in the blocks of IPTC that Photoshop writes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from detectorkit.provenance.pieces import MAX_TEXT, Field, Piece, guarded, jumbf_manifest
from detectorkit.provenance.xmp import xmp_pieces

__all__ = ["exif_pieces", "iptc_pieces", "photoshop_pieces", "tiff_pieces"]

_TAGS: Final = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x9003: "DateTimeOriginal",
    0x927C: "MakerNote",  # Fooocus writes text there; cameras write bytes, which say nothing here
    0x9286: "UserComment",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
}
_XMP, _IPTC, _EXIF_DIRECTORY, _C2PA = 0x02BC, 0x83BB, 0x8769, 0xCD41
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # of the types of value that matter here
_MAX_ENTRIES: Final = 500
_IPTC_NAMES: Final = {65: "OriginatingProgram", 80: "Byline", 110: "Credit", 120: "Caption"}


def exif_pieces(data: bytes, place: str = "EXIF") -> Iterator[Piece]:
    """Read the texts in EXIF data, which have the form of a TIFF file."""
    return guarded(place, tiff_pieces(data.removeprefix(b"Exif\0\0"), place))


def tiff_pieces(data: bytes, place: str = "EXIF") -> Iterator[Piece]:
    """Read the texts in the first directory of a TIFF file and in its EXIF directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise ValueError("not EXIF data")
    todo = [struct.unpack_from(order + "I", data, 4)[0]]
    for directory in todo:  # at most two: one entry may lead to another directory, once
        for tag, content in _entries(data, directory, order):
            if tag == _EXIF_DIRECTORY and len(todo) == 1 and len(content) == 4:
                todo += struct.unpack(order + "I", content)
            elif tag == _XMP:
                yield from xmp_pieces(content)
            elif tag == _IPTC:
                yield from guarded("IPTC", iptc_pieces(content))
            elif tag == _C2PA:
                yield jumbf_manifest("TIFF", content)
            elif tag in _TAGS:
                yield Field(place, _TAGS[tag], _to_text(tag, content))


def _entries(data: bytes, begin: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Iterate over the entries of a directory: tag and bytes of the value, each tag once."""
    wanted = {*_TAGS, _XMP, _IPTC, _EXIF_DIRECTORY, _C2PA}
    n_entries = struct.unpack_from(order + "H", data, begin)[0]
    for entry in range(min(n_entries, _MAX_ENTRIES)):
        tag, kind, count, value = struct.unpack_from(order + "HHI4s", data, begin + 2 + 12 * entry)
        if tag not in wanted:
            continue
        wanted.remove(tag)
        size = count * _SIZES.get(kind, 0)
        if size > 4:
            place = struct.unpack(order + "I", value)[0]
            if place + size > len(data):
                raise ValueError("a value lies outside")
            value = data[place : place + min(size, MAX_TEXT)]
        yield tag, value[:size]


def _to_text(tag: int, content: bytes) -> str:
    if tag in (0x9C9B, 0x9C9C):
        return content.decode("utf-16-le", "replace").rstrip("\0")
    if tag == 0x9286:
        if content.startswith(b"UNICODE\0"):
            text = content[8:]
            # The order of bytes is not always that of the rest: ASCII letters show which it is.
            big = text[::2].count(0) > text[1::2].count(0)
            return text.decode("utf-16-be" if big else "utf-16-le", "replace").rstrip("\0")
        if content[:8] in (b"ASCII\0\0\0", bytes(8), b"JIS\0\0\0\0\0"):
            content = content[8:]
    return content.decode("utf-8", "replace").rstrip("\0 ")


def photoshop_pieces(data: bytes) -> Iterator[Piece]:
    """Read the IPTC texts in the resources of Photoshop (JPEG APP13)."""
    position = data.index(b"\0") + 1
    while data[position : position + 4] == b"8BIM":
        name = data[position + 4], data[position + 5]
        begin = position + 6 + (data[position + 6] + 2) // 2 * 2  # a name, of even length
        size = struct.unpack_from(">I", data, begin)[0]
        if name == (4, 4):
            yield from iptc_pieces(data[begin + 4 : begin + 4 + size])
        position = begin + 4 + (size + 1) // 2 * 2


def iptc_pieces(data: bytes) -> Iterator[Piece]:
    """Read the texts of IPTC's older form (IIM) that name programs and origins."""
    position = 0
    while data[position : position + 1] == b"\x1c":
        record, number, size = struct.unpack_from(">BBH", data, position + 1)
        if size & 0x8000:
            return  # an extended length, which no text of interest needs
        if record == 2 and number in _IPTC_NAMES:
            text = data[position + 5 : position + 5 + size].decode("utf-8", "replace")
            yield Field("IPTC", _IPTC_NAMES[number], text)
        position += 5 + size
