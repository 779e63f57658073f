"""Find the image files below a folder; apart from the data sets, which import much."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "find_images"]

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Files of a folder that are taken for images, by the end of their name."""


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the image files in a folder and the folders below it.

    Links to folders are followed; a folder that is reached twice counts once.

    Parameters
    ----------
    folder : str or Path
        Where to look.

    Returns
    -------
    paths : list of Path
        Sorted; files of other names are passed over.
    """
    paths: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()  # which of two ways to a folder counts must not depend on the file system
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        found = (Path(place, name) for name in files)
        paths += [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(paths)
