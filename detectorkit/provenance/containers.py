"""Metadata in the containers of image formats: segments, chunks and blocks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from detectorkit.images.headers import read_format
from detectorkit.images.jpeg import jpeg_segments
from detectorkit.provenance.boxes import box_pieces
from detectorkit.provenance.exif import exif_pieces, photoshop_pieces, tiff_pieces
from detectorkit.provenance.pieces import (
    MAX_BLOCKS,
    MAX_TEXT,
    Damage,
    Effort,
    Field,
    Piece,
    guarded,
    jumbf_manifest,
)
from detectorkit.provenance.xmp import xmp_pieces

__all__ = ["read_pieces"]

_MAX_CHUNK: Final = 16_000_000  # bytes of a chunk that are looked at
_MAX_HEAD: Final = 32_000_000  # bytes of a file that are gone through in small steps
_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MORE_XMP: Final = b"http://ns.adobe.com/xmp/extension/\0"
_PNG_XMP: Final = "XML:com.adobe.xmp"
_BRANDS: Final = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc")


def read_pieces(data: bytes) -> Iterator[Piece] | None:
    """Take the metadata of an image file apart; None if it is not an image file.

    The pieces are read one by one as they are asked for, so that a caller can stop.
    """
    for matches, name, pieces in _FORMATS:
        if matches(data):
            return guarded(name, pieces(data))
    return None


def _jpeg(data: bytes) -> Iterator[Piece]:
    more_xmp: dict[int, bytes] = {}
    for marker, content in islice(jpeg_segments(data[:_MAX_HEAD]), MAX_BLOCKS):
        if marker == 0xFE:
            yield Field("JPEG", "Comment", content.decode("utf-8", "replace"))
        elif marker == 0xE1 and content.startswith(b"Exif\0\0"):
            yield from exif_pieces(content)
        elif marker == 0xE1 and content.startswith(_JPEG_XMP):
            yield from xmp_pieces(content[len(_JPEG_XMP) :])
        elif marker == 0xE1 and content.startswith(_JPEG_MORE_XMP):
            # Then follow 32 digits, the length of the whole, and where this part belongs in it.
            begin = len(_JPEG_MORE_XMP) + 32
            more_xmp[struct.unpack_from(">4xI", content, begin)[0]] = content[begin + 8 :]
        elif marker == 0xED and content.startswith(b"Photoshop 3.0\0"):
            yield from guarded("IPTC", photoshop_pieces(content))
        elif marker == 0xEB and content.startswith(b"JP") and content[4:8] == bytes([0, 0, 0, 1]):
            yield jumbf_manifest("JPEG APP11", content[8:])  # the first part of a box
    if more_xmp:
        yield from xmp_pieces(b"".join(part for _, part in sorted(more_xmp.items())))


def _png(data: bytes) -> Iterator[Piece]:
    position = 8
    for _ in range(MAX_BLOCKS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + min(length, _MAX_CHUNK)
        content = data[position + 8 : end] if kind in _PNG_CHUNKS else b""
        if kind == b"IEND":
            return
        if kind == b"caBX":
            yield jumbf_manifest("PNG caBX", content)
        elif kind == b"eXIf":
            yield from exif_pieces(content)
        elif content:
            yield from guarded(f"PNG {kind.decode()}", _png_text(kind, content))
        position += 12 + length


_PNG_CHUNKS: Final = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"caBX")


def _png_text(kind: bytes, content: bytes) -> Iterator[Piece]:
    key, separator, rest = content.partition(b"\0")
    if not separator:
        raise ValueError("no keyword")
    name = key[:80].decode("latin-1")
    encoding = "latin-1"
    compressed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        encoding = "utf-8"
        compressed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[2]  # after the language and the translated keyword
    if compressed:
        try:
            inflater = zlib.decompressobj()
            rest = inflater.decompress(rest, MAX_TEXT)
        except zlib.error as error:
            raise ValueError("not compressed text") from error
        yield Effort(len(rest))
        if inflater.unconsumed_tail:
            yield Damage(f"PNG {name}", f"more than {MAX_TEXT} bytes of compressed text")
    rest = rest[:MAX_TEXT]
    if name == _PNG_XMP:
        yield from xmp_pieces(rest)
    else:
        yield Field("PNG", name, rest.decode(encoding, "replace"))


def _webp(data: bytes) -> Iterator[Piece]:
    position = 12
    for _ in range(MAX_BLOCKS):
        if position >= len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        content = slice(position + 8, position + 8 + min(length, _MAX_CHUNK))
        if kind == b"EXIF":
            yield from exif_pieces(data[content])
        elif kind == b"XMP ":
            yield from xmp_pieces(data[content])
        elif kind == b"C2PA":
            yield jumbf_manifest("WebP C2PA", data[content])
        position += 8 + length + length % 2


def _gif(data: bytes) -> Iterator[Piece]:
    try:
        yield from _gif_extensions(data[:_MAX_HEAD])
    except IndexError:
        if len(data) <= _MAX_HEAD:
            raise


def _gif_extensions(data: bytes) -> Iterator[Piece]:
    position = 13 + _gif_table(data[10])
    for _ in range(MAX_BLOCKS):
        block = data[position]
        if block == 0x2C:
            position = _gif_blocks(data, position + 11 + _gif_table(data[position + 9]))[0]
        elif block == 0x21:
            label = data[position + 1]
            name = data[position + 3 : position + 14]
            end, parts = _gif_blocks(data, position + 2)
            if label == 0xFE:
                yield Field("GIF", "Comment", b"".join(parts).decode("utf-8", "replace"))
            elif label == 0xFF and name == b"XMP DataXMP":
                yield from xmp_pieces(data[position + 14 : end - 258])  # not cut into blocks
            elif label == 0xFF and name.startswith(b"C2PA_GIF"):
                yield jumbf_manifest("GIF C2PA_GIF", b"".join(parts[1:]))
            position = end
        else:
            return


def _gif_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks(data: bytes, position: int) -> tuple[int, list[bytes]]:
    """Return where a chain of blocks ends, and its first blocks."""
    parts: list[bytes] = []
    while data[position]:
        if len(parts) < MAX_BLOCKS:
            parts.append(data[position + 1 : position + 1 + data[position]])
        position += 1 + data[position]
    return position + 1, parts


_FORMATS: tuple[tuple[Callable[[bytes], bool], str, Callable[[bytes], Iterator[Piece]]], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), "JPEG", _jpeg),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), "PNG", _png),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", "WebP", _webp),
    (lambda data: data[4:8] == b"ftyp" and data[8:12] in _BRANDS, "HEIF", box_pieces),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), "GIF", _gif),
    (lambda data: data.startswith((b"II*\0", b"MM\0*")), "TIFF", tiff_pieces),
    (lambda data: data.startswith(b"BM"), "BMP", lambda _: iter(())),
    (lambda data: read_format(data[:64]) == "JPEG 2000", "JPEG 2000", lambda _: iter(())),
)
