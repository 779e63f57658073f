"""The pieces of metadata that a file is taken apart into, and the limits of reading them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = [
    "MAX_BLOCKS",
    "MAX_TEXT",
    "Damage",
    "Effort",
    "Field",
    "Manifest",
    "Piece",
    "guarded",
    "jumbf_manifest",
]

MAX_TEXT: Final = 2_000_000
"""Greatest length of one text in bytes, after decompression."""
MAX_BLOCKS: Final = 10_000
"""Greatest number of segments, chunks or boxes that are looked at."""


class Field(NamedTuple):
    """A name and a text that somebody wrote into the file."""

    place: str
    name: str
    text: str


class Manifest(NamedTuple):
    """A place where content credentials stand."""

    place: str


class Damage(NamedTuple):
    """A place where metadata cannot be read, and why."""

    place: str
    reason: str


class Effort(NamedTuple):
    """A number of bytes that were inflated or parsed, whatever came of them."""

    n_bytes: int


Piece = Field | Manifest | Damage | Effort


def guarded(place: str, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Pass pieces on until the data turn out to be malformed; then say so."""
    try:
        yield from pieces
    except (struct.error, IndexError, ValueError):  # also UnicodeError
        yield Damage(place, "it is cut off or malformed")


def jumbf_manifest(place: str, box: bytes) -> Piece:
    """Return whether a JUMBF box holds content credentials (C2PA), by its description box."""
    if box[4:8] == b"jumb" and box[12:20] == b"jumdc2pa":
        return Manifest(place)
    return Damage(place, "a box for content credentials does not hold any")
