"""Search for image files below a folder, in a module that imports little."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

from detectorkit.images.headers import read_format
from detectorkit.utils.files import read_start

__all__ = [
    "IMAGE_SUFFIXES",
    "N_START",
    "PassedOver",
    "find_images",
    "is_image_name",
    "search_images",
    "walk_images",
]

IMAGE_SUFFIXES: Final = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe"}
    | {".jpeg", ".jpg", ".jpx", ".png", ".tif", ".tiff", ".webp"}
)
"""Suffixes of the files that count as images, in lower case."""

N_START: Final = 64
"""Number of bytes that tell the format of a file."""

_N_NAMED: Final = 3


@dataclass
class PassedOver:
    """What searches for images passed over.

    Attributes
    ----------
    unread : list of str
        Folders and files that could not be read, each with the reason.
    others : Counter of str
        Number of the files that are not images, by their suffix.
    hidden : Counter of str
        Number of the folders whose names begin with a dot, by name, and of the files "._*" that
        macOS puts beside others.
    unlabelled : list of str
        Folders of images whose names say no label, each with the number of images.
    """

    unread: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    unlabelled: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = []
        if self.unlabelled:
            named = ", ".join(self.unlabelled[:_N_NAMED])
            more = ", ..." if len(self.unlabelled) > _N_NAMED else ""
            parts.append(f"folders that are neither real nor generated: {named}{more}")
        if self.unread:
            more = "; ..." if len(self.unread) > _N_NAMED else ""
            named = "; ".join(self.unread[:_N_NAMED])
            parts.append(f"{len(self.unread)} that could not be read ({named}{more})")
        if self.others:
            suffixes = [suffix or "no suffix" for suffix, _ in self.others.most_common(_N_NAMED)]
            more = ", ..." if len(self.others) > _N_NAMED else ""
            files = "file that is not an image"
            if self.others.total() > 1:
                files = "files that are not images"
            parts.append(f"{self.others.total()} {files} ({', '.join(suffixes)}{more})")
        if self.hidden:
            names = [name for name, _ in self.hidden.most_common(_N_NAMED)]
            more = ", ..." if len(self.hidden) > _N_NAMED else ""
            parts.append(f"{self.hidden.total()} hidden ({', '.join(names)}{more})")
        return f"Passed over: {' and '.join(parts)}." if parts else ""

    def warn(self, caller: str) -> None:
        """Warn of what could not be read; files that are not images are no reason to."""
        if self.unread or self.unlabelled:
            found = PassedOver(self.unread, unlabelled=self.unlabelled)
            text = f"{caller}: {found} The images in it are missing."
            warnings.warn(text, UserWarning, stacklevel=3)


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the image files in a folder and the folders below it.

    Links to folders are followed; a folder that is reached twice counts once.

    Parameters
    ----------
    folder : str or Path
        Path of the folder to search.

    Returns
    -------
    paths : list of Path
        Sorted paths of the files with the suffix of an image format that the library reads, and of
        the files without a suffix whose first bytes are those of such a format. Other files are
        ignored, and so are folders below it whose names begin with a dot.

    Warns
    -----
    UserWarning
        If a folder, or a file without a suffix, cannot be read.
    """
    passed_over = PassedOver()
    paths = search_images(folder, passed_over)
    passed_over.warn("find_images")
    return paths


def search_images(folder: str | os.PathLike[str], passed_over: PassedOver) -> list[Path]:
    """List image files as `find_images` does, and note what was passed over."""
    return sorted(walk_images(folder, passed_over))


def walk_images(
    folder: str | os.PathLike[str], passed_over: PassedOver, *, also: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Find image files one after the other, and those whose names end with one of `also`.

    The names of one folder are in memory at a time. They are sorted, and come before those of the
    folders below, so that the order does not depend on the file system.
    """

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # such a folder has no images
            passed_over.unread.append(f"{error.filename}: {error.strerror}")

    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=note):
        folders.sort()  # the path of a folder reached twice must not depend on the file system
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        folders[:] = _without(".", folders, passed_over)
        for path in (Path(place, name) for name in _without("._", sorted(files), passed_over)):
            try:
                is_image = is_image_name(path.name, lambda: read_start(path, N_START))  # noqa: B023
            except OSError as error:
                passed_over.unread.append(f"{path}: {error.strerror}")
                continue
            if is_image or path.name.lower().endswith(also):
                yield path
            else:
                passed_over.others[path.suffix.lower()] += 1


def _without(start: str, names: list[str], passed_over: PassedOver) -> list[str]:
    """Leave out what begins so: environments and caches of other tools, and notes of macOS."""
    hidden = [name for name in names if name.startswith(start)]
    passed_over.hidden.update("._*" if name.startswith("._") else name for name in hidden)
    return [name for name in names if not name.startswith(start)] if hidden else names


def is_image_name(name: str, read: Callable[[], bytes]) -> bool:
    """Recognise an image by the suffix of its name, or without one by the bytes it begins with."""
    suffix = PurePath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or (not suffix and read_format(read()) is not None)
