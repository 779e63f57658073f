"""Walk over folders, archives, manifests and files, one image after the other."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from detectorkit.images.image_files import PassedOver, walk_images
from detectorkit.scan.archives import ARCHIVE_SUFFIXES, Entry, count_members, read_members

__all__ = ["check_inputs", "count_entries", "iter_batches", "walk_entries"]

_BATCH_BYTES: Final = 16_000_000  # of members of archives, which wait in memory


def check_inputs(inputs: Sequence[str]) -> None:
    """Refuse what cannot be scanned, before the long work starts."""
    for place in inputs:
        if not place or not os.path.exists(place):  # noqa: PTH110 - names too long are no error
            raise FileNotFoundError(
                f"scan: there is no folder, archive, manifest or image {place!r}. Check the path."
            )
        if _is_manifest(place):
            next(_read_manifest(place), None)


def walk_entries(
    inputs: Iterable[str], claim: Callable[[str], bool], passed_over: PassedOver
) -> Iterator[Entry]:
    """Walk over the images, and read the members of archives.

    `claim` is called with the path of each image before it is read, and returns whether it is
    still to be scanned. What cannot be read has an error.
    """
    for path in _iter_paths(inputs, passed_over):
        if path.lower().endswith(ARCHIVE_SUFFIXES):
            yield from read_members(path, claim, passed_over)
        elif claim(path):
            yield Entry(path)


def count_entries(inputs: Iterable[str]) -> int | None:
    """Count the images without reading them; None if there are tar archives."""
    n = 0
    for path in _iter_paths(inputs, PassedOver()):
        found = count_members(path) if path.lower().endswith(ARCHIVE_SUFFIXES) else 1
        if found is None:
            return None
        n += found
    return n


def iter_batches(entries: Iterable[Entry], limit: Callable[[], int]) -> Iterator[list[Entry]]:
    """Collect entries into batches of bounded memory, of as many as `limit` allows by then."""
    batch: list[Entry] = []
    n_bytes = 0
    for entry in entries:
        batch.append(entry)
        n_bytes += len(entry.content or b"")
        if len(batch) >= limit() or n_bytes > _BATCH_BYTES:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _iter_paths(inputs: Iterable[str], passed_over: PassedOver) -> Iterator[str]:
    """Iterate over the files that are named, listed in manifests, or in folders."""
    for place in inputs:
        if os.path.isdir(place):  # noqa: PTH112 - see check_inputs
            yield from map(str, walk_images(place, passed_over, also=ARCHIVE_SUFFIXES))
        elif _is_manifest(place):
            yield from _read_manifest(place)
        else:
            yield place


def _is_manifest(place: str) -> bool:
    return place.lower().endswith(".csv") and not os.path.isdir(place)  # noqa: PTH112


def _read_manifest(place: str) -> Iterator[str]:
    """Read the column ``path`` of a manifest; paths are relative to its folder."""
    # A name of a file need not be UTF-8.
    with Path(place).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        if "path" not in (reader.fieldnames or ()):
            raise ValueError(
                f"scan: the manifest {place} has the columns {reader.fieldnames or []}. It needs "
                "a column path."
            )
        for row in reader:
            yield str(Path(place).parent / (row["path"] or ""))
