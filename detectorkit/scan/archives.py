"""Members of zip and tar archives, read one by one and never unpacked to the disk."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from detectorkit.images.decoding import MAX_BYTES
from detectorkit.images.image_files import IMAGE_SUFFIXES, N_START, PassedOver, is_image_name

__all__ = ["ARCHIVE_SUFFIXES", "Entry", "count_members", "read_members"]

ARCHIVE_SUFFIXES: Final = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
)
"""Ends of the names of archives, in lower case."""

_MAX_RATIO: Final = 200  # of bytes by which an image is compressed again, when it is long
_LONG: Final = 10_000_000
_FAULTS: Final = (
    *(OSError, EOFError, RuntimeError, MemoryError, ValueError, zlib.error),
    *(lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)
"""What the modules of Python raise for archives of any damage."""


class Entry(NamedTuple):
    """An image to scan: a path, or the content of a member, or the reason why there is none."""

    path: str
    content: bytes | None = None
    error: str = ""


def read_members(
    path: str, claim: Callable[[str], bool], passed_over: PassedOver
) -> Iterator[Entry]:
    """Read the images of an archive; what cannot be read has an error.

    The path of a member is ``archive!member``. Where the archive itself is broken, an entry with
    its own path says so.
    """
    members = _zip_members if path.lower().endswith(".zip") else _tar_members
    try:
        for member in members(path):
            if _is_other(member.name):
                passed_over.others[PurePath(member.name).suffix.lower()] += 1
            elif claim(place := f"{path}!{member.name}"):
                entry = member.read(place)
                if entry is None:
                    passed_over.others[""] += 1
                else:
                    yield entry
    except _FAULTS as error:
        if claim(path):
            yield Entry(path, error=f"the archive is broken or cannot be read: {_say(error)}.")


def count_members(path: str) -> int | None:
    """Count the images of a zip archive; None for a tar archive, which would have to be read."""
    if not path.lower().endswith(".zip"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _FAULTS:
        return 1
    return sum(not name.endswith("/") and is_image_name(name, bytes) for name in names)


def _is_other(name: str) -> bool:
    """Return whether the suffix of a name is neither that of an image nor that of an archive."""
    suffix = PurePath(name).suffix.lower()
    return (
        bool(suffix)
        and suffix not in IMAGE_SUFFIXES
        and not name.lower().endswith(ARCHIVE_SUFFIXES)
    )


def _zip_members(path: str) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            fault = ""
            if info.flag_bits & 1:
                fault = "encrypted. Unpack the archive first."
            elif info.file_size > max(_LONG, _MAX_RATIO * info.compress_size):
                packed = f"{info.file_size} bytes packed into {info.compress_size}"
                fault = f"{packed}, as no image is; so it is not unpacked."
            if not info.is_dir():
                yield _Member(info.filename, info.file_size, partial(archive.open, info), fault)


def _tar_members(path: str) -> Iterator[_Member]:
    with tarfile.open(path, "r|*") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # or all would be kept
            if info.isfile():
                yield _Member(info.name, info.size, partial(archive.extractfile, info))


class _Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    open: Callable[[], Any]
    fault: str = ""

    def read(self, path: str) -> Entry | None:
        """Read the member; None if it has no suffix and does not begin as an image."""
        if self.fault:
            return Entry(path, error=self.fault)
        if self.name.lower().endswith(ARCHIVE_SUFFIXES):
            return Entry(path, error="an archive in an archive. Unpack the outer one first.")
        try:
            with self.open() as file:
                start = file.read(N_START)
                if not is_image_name(self.name, lambda: start):
                    return None
                if self.size > MAX_BYTES:
                    return Entry(path, error=f"longer than {MAX_BYTES} bytes.")
                return Entry(path, start + file.read(max(self.size - len(start), 0)))
        except _FAULTS as error:
            return Entry(path, error=f"broken in its archive: {_say(error)}.")


def _say(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
