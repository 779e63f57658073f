"""Files written whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from detectorkit.utils.progress import progress_bar

__all__ = ["hash_files", "write_whole"]


def hash_files(paths: Sequence[str | os.PathLike[str]], *, progress: bool = False) -> str:
    """Give one sha256 for a set of files, whatever their names and order.

    Parameters
    ----------
    paths : sequence of str or Path
        The files.
    progress : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    sha256 : str
        That of the sorted sha256 of the files in hexadecimal, one a line. For one file it is not
        the sha256 of that file.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    digests = []
    with progress_bar("Hashing files", len(paths), show=progress) as advance:
        for path in paths:
            with Path(path).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            advance(1)
    lines = "".join(f"{digest}\n" for digest in sorted(digests))
    return hashlib.sha256(lines.encode("ascii")).hexdigest()


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write text to a file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file; replaced if it exists.
    text : str
        Its content.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
