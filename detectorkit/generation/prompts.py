"""Captions of training pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["read_captions"]


def read_captions(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Read the captions of pictures: the text of ``name.txt`` beside ``name.png``.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of the pictures.

    Returns
    -------
    captions : list of str
        Text of each picture, in one line.

    Raises
    ------
    OSError
        If a text file is missing or cannot be read.
    ValueError
        If a text file is empty or is not text in UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from detectorkit.generation import read_captions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "1.txt").write_text("a woman with a hat")
    ...     captions = read_captions([Path(folder) / "1.png"])
    >>> captions
    ['a woman with a hat']
    """
    return [_read_caption(Path(path).with_suffix(".txt")) for path in paths]


def _read_caption(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"read_captions: {path} is missing. Write the caption of the picture into this file, "
            "or train on one prompt for all pictures."
        )
    try:
        caption = " ".join(path.read_text("utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"read_captions: {path} is not text in UTF-8: {error}.") from error
    if not caption:
        raise ValueError(f"read_captions: {path} is empty. Write the caption of the picture in it.")
    return caption
