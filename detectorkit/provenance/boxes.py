"""Metadata in AVIF and HEIF files, which are boxes of the ISO base media file format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from detectorkit.provenance.exif import exif_pieces
from detectorkit.provenance.pieces import (
    MAX_BLOCKS,
    MAX_TEXT,
    Effort,
    Manifest,
    Piece,
    guarded,
    jumbf_manifest,
)
from detectorkit.provenance.xmp import xmp_pieces

__all__ = ["box_pieces"]

_C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MAX_EXTENTS: Final = 32


class _Box(NamedTuple):
    kind: bytes
    begin: int  # of its content
    end: int


def box_pieces(data: bytes) -> Iterator[Piece]:
    """Read the content credentials, EXIF and XMP of an AVIF or HEIF file."""
    for box in _boxes(data, 0, len(data)):
        if box.kind == b"uuid" and data[box.begin : box.begin + 16] == _C2PA_UUID:
            # After the UUID: version and flags, a purpose that ends with a zero, an offset.
            purpose = data[box.begin + 20 : box.begin + 60].partition(b"\0")[0]
            if purpose == b"manifest":
                begin = box.begin + 20 + len(purpose) + 1 + 8
                found = jumbf_manifest("HEIF box", data[begin : min(begin + 64, box.end)])
                yield found
            elif purpose != b"merkle":
                yield Manifest("HEIF box")
        elif box.kind == b"meta":
            yield from guarded("HEIF items", _item_pieces(data, box))


def _boxes(data: bytes, begin: int, end: int) -> Iterator[_Box]:
    """Iterate over the boxes that stand beside one another in a part of the file."""
    for _ in range(MAX_BLOCKS):
        if begin >= end:
            return
        size, kind = struct.unpack_from(">I4s", data, begin)
        content = begin + 8
        if size == 1:
            size = struct.unpack_from(">Q", data, content)[0]
            content += 8
        elif size == 0:
            size = end - begin
        if size < content - begin or begin + size > end:
            raise ValueError("a box of a false size")
        yield _Box(kind, content, begin + size)
        begin += size


def _item_pieces(data: bytes, meta: _Box) -> Iterator[Piece]:
    parts = {box.kind: box for box in _boxes(data, meta.begin + 4, meta.end)}
    if not {b"iinf", b"iloc"} <= parts.keys():
        return
    kinds = _item_kinds(data, parts[b"iinf"])
    for item, content in _item_contents(data, parts, set(kinds)):
        yield Effort(len(content))
        if kinds[item] == b"Exif":
            start = struct.unpack_from(">I", content)[0]
            yield from exif_pieces(content[4 + start :])
        else:
            yield from xmp_pieces(content)


def _item_kinds(data: bytes, iinf: _Box) -> dict[int, bytes]:
    """Find the items that hold EXIF or XMP."""
    wanted = {}
    first = iinf.begin + (8 if data[iinf.begin] else 6)
    for box in _boxes(data, first, iinf.end):
        version = data[box.begin]
        if box.kind != b"infe" or version not in (2, 3):
            continue
        item, _, kind = struct.unpack_from(
            ">HH4s" if version == 2 else ">IH4s", data, box.begin + 4
        )
        content_type = data[box.begin + (12 if version == 2 else 14) : box.end].split(b"\0")[1:2]
        if kind == b"Exif" or (kind == b"mime" and content_type == [b"application/rdf+xml"]):
            wanted[item] = kind
    return wanted


def _item_contents(
    data: bytes, parts: dict[bytes, _Box], wanted: set[int]
) -> Iterator[tuple[int, bytes]]:
    """Read the bytes of items, from the file or from the box "idat"."""
    reader = _Numbers(data, parts[b"iloc"].begin)
    version = reader.take(4) >> 24
    sizes = reader.take(2)
    n_offset, n_length, n_base, n_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    n_index = n_index if version in (1, 2) else 0
    n_item = 4 if version == 2 else 2
    for _ in range(min(reader.take(n_item), MAX_BLOCKS)):
        item = reader.take(n_item)
        inside = reader.take(2) & 15 if version in (1, 2) else 0
        reader.take(2)
        base = reader.take(n_base)
        n_extents = reader.take(2)
        if item not in wanted or inside not in (0, 1) or n_extents > _MAX_EXTENTS:
            reader.position += n_extents * (n_index + n_offset + n_length)
            continue
        wanted.remove(item)  # once
        start = base + (parts[b"idat"].begin if inside and b"idat" in parts else 0)
        content = b""
        for _ in range(n_extents):
            reader.take(n_index)
            begin = start + reader.take(n_offset)
            length = min(reader.take(n_length), MAX_TEXT - len(content))
            content += data[begin : begin + length]
        yield item, content


class _Numbers:
    """Reader of numbers of any size, one after the other."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def take(self, n_bytes: int) -> int:
        self.position += n_bytes
        if self.position > len(self._data):
            raise IndexError
        return int.from_bytes(self._data[self.position - n_bytes : self.position], "big")
