"""Search for image files below a folder, in a module that imports little."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "find_images"]

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Suffixes of the files that count as images, in lower case."""


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
        Sorted paths of the files with the suffix of an image format that the library reads.
        Other files are ignored.
    """
    paths: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()  # the path of a folder reached twice must not depend on the file system
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        found = (Path(place, name) for name in files)
        paths += [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(paths)
