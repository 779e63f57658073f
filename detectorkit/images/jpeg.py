"""The markers of a JPEG: what it says before it is decoded, and whether its picture is whole.

They are followed as libjpeg follows them, so that both see the same size. libjpeg fills what is
missing of a picture with grey and only prints a warning, so that is found here.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["JPEG_FRAMES", "Jpeg", "jpeg_segments", "read_jpeg"]

JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that say how the image is stored (start of frame)."""

_WITHOUT_LENGTH: Final = {0x01, *range(0xD0, 0xDA)}
_START, _END, _SCAN, _RESTART_INTERVAL = 0xD8, 0xD9, 0xDA, 0xDD
_NOTED: Final = JPEG_FRAMES | {_START, _END, _SCAN, _RESTART_INTERVAL}
_HUFFMAN_SEQUENTIAL: Final = (0xC0, 0xC1)
_PROGRESSIVE: Final = (0xC2, 0xCA)

_BEHIND_SCAN: Final = {  # restarts are a part of the codes where some were announced
    False: re.compile(rb"\xff[\x01-\xfe]"),
    True: re.compile(rb"\xff[^\x00\xd0-\xd7\xff]"),
}
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_PADDING: Final = bytes(8)  # libjpeg reads ahead into a buffer of 64 bits

# Every scan visits every pixel again, in about a nanosecond, however few bytes it has.
_MAX_VISITS: Final = 2_000_000_000


class Jpeg(NamedTuple):
    """What the markers of a JPEG say.

    Attributes
    ----------
    height, width : int
        Stored size in pixels, before any EXIF orientation is applied.
    fault : str
        Why the picture is not to be decoded; empty if nothing was found.
    end : int or None
        Position behind the compressed picture, if that is one scan of Huffman codes.
    """

    height: int
    width: int
    fault: str
    end: int | None

    def for_decoder(self, data: bytes) -> bytes:
        """Return the content such that the decoder fails if the picture is not whole.

        If a picture ends too early, libjpeg goes on with zeros at the next marker; without a
        marker, it asks for more data, and OpenCV gives up. So the marker is left out.
        """
        return data if self.end is None else data[: self.end] + _PADDING


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the segments of a JPEG that precede its compressed image."""
    for marker, _, begin, end in _markers(data):
        if marker in {_SCAN, _END}:
            return
        yield marker, data[begin:end]


def _markers(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Iterate over markers, their places and those of their contents; IndexError at the end."""
    position, has_restarts = 2, False
    while True:
        place = data.find(b"\xff", position)  # garbage between segments is allowed
        if place < 0:
            raise IndexError("no marker")
        position = place + 1
        while data[position] == 0xFF:  # and so are fill bytes
            position += 1
        marker = data[position]
        position += 1
        if marker == 0:  # FF 00 is not a marker
            continue
        if marker in _WITHOUT_LENGTH:
            yield marker, place, position, position
            continue
        length = data[position] << 8 | data[position + 1]
        yield marker, place, position + 2, position + length
        position += max(length, 2)
        if marker == _RESTART_INTERVAL:
            has_restarts = any(data[position - 2 : position])
        elif marker == _SCAN:
            found = _BEHIND_SCAN[has_restarts].search(data, position)
            position = len(data) if found is None else found.start()


def read_jpeg(data: bytes) -> Jpeg:
    """Read the size of a JPEG, and check that its scans make a whole picture.

    Raises
    ------
    ValueError, struct.error
        If there is no size before the compressed picture.
    """
    parts = _collect(data)
    height, width = struct.unpack_from(">HH", parts.frame, 1)
    n_scans = len(parts.scans)
    if not parts.is_closed or not n_scans:
        return Jpeg(height, width, "the JPEG data are broken or truncated.", None)
    if n_scans * height * width > _MAX_VISITS:
        fault = f"a JPEG of {n_scans} scans of {height} x {width} pixels; save it with fewer."
        return Jpeg(height, width, fault, None)
    # A scan of all components is decoded while it is read, and no other scan is looked at.
    is_single = parts.kind in _HUFFMAN_SEQUENTIAL and parts.scans[0][0] == len(parts.frame[6::3])
    if not is_single:
        is_whole = _is_whole(parts)
    elif parts.interval:
        found = _RESTART.findall(data, parts.codes, parts.behind)
        is_whole = found == _expected_restarts(parts, height, width)
    else:
        is_whole = True
    fault = "" if is_whole else "the JPEG ends before its picture is complete."
    return Jpeg(height, width, fault, parts.behind if is_single else None)


@dataclass
class _Parts:
    """What matters of the markers of a JPEG."""

    kind: int = 0  # of the frame
    frame: bytes = b""
    scans: list[bytes] = field(default_factory=list)  # their headers
    interval: int = 0  # units from one restart to the next
    codes: int = 0  # where those of the first scan begin
    behind: int = 0  # and the place of the first marker behind them
    is_closed: bool = False


def _collect(data: bytes) -> _Parts:
    parts = _Parts()
    with contextlib.suppress(IndexError, struct.error):  # the data end, which leaves it open
        for marker, place, begin, end in _markers(data):
            if parts.codes and not parts.behind:
                parts.behind = place
            if marker not in _NOTED:
                continue
            if marker in JPEG_FRAMES and not parts.frame:
                parts.kind, parts.frame = marker, data[begin:end]
            elif marker == _RESTART_INTERVAL:
                parts.interval = struct.unpack_from(">H", data, begin)[0]
            elif marker == _SCAN:
                parts.scans.append(data[begin:end])
                parts.codes = parts.codes or end
            elif marker == _END:
                parts.is_closed = True
                break
            else:  # a second beginning
                break
    return parts


def _is_whole(parts: _Parts) -> bool:
    """Return whether the scans have all coefficients of all components, to the last bit."""
    missing = dict.fromkeys(parts.frame[6::3], 2**64 - 1)  # a bit for each of the 64 of a block
    for header in parts.scans:
        n = header[0]
        first, last, bits = header[1 + 2 * n], header[2 + 2 * n], header[3 + 2 * n]
        if parts.kind not in _PROGRESSIVE:
            first, last, bits = 0, 63, 0
        if bits & 15 == 0:
            for name in header[1 : 1 + 2 * n : 2]:
                missing[name] = missing.get(name, 0) & ~(2 ** (last + 1) - 2**first)
    return not any(missing.values())


def _expected_restarts(parts: _Parts, height: int, width: int) -> list[bytes]:
    """List the markers that stand in the codes; libjpeg would fill with grey up to the next."""
    samplings = [divmod(one, 16) for one in parts.frame[7::3]]
    if len(samplings) == 1:
        samplings = [(1, 1)]
    across, down = (8 * max(1, *sides) for sides in zip(*samplings, strict=True))
    n_units = -(-width // across) * -(-height // down)
    return [bytes([0xFF, 0xD0 + i % 8]) for i in range((n_units - 1) // parts.interval)]
