"""The exceptions of detectorkit; each is also the builtin that a caller would catch.

::

    Exception
     ├── OSError
     │    └── ImageReadError   a file that cannot be decoded; knows its path and index
     └── ValueError
          └── ModelFileError   an ONNX file that is not a detector
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["ImageReadError", "ModelFileError"]


class ImageReadError(OSError):
    """Raised when an image file cannot be decoded.

    Parameters
    ----------
    path : str or Path
        The file.
    reason : str
        What is wrong with it, and what would cure it.
    index : int, default=None
        The position of the file in the input; None where it stood alone.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it.
    index : int or None
        The position of the file in the input.

    Examples
    --------
    >>> from detectorkit.exceptions import ImageReadError
    >>> print(ImageReadError("a.png", "the file is empty.", index=3))
    Cannot read image 3, a.png: the file is empty.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str, index: int | None = None) -> None:
        self.path = Path(path)
        self.reason = reason
        self.index = index
        which = "image" if index is None else f"image {index},"
        super().__init__(f"Cannot read {which} {path}: {reason}")

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[Path, str, int | None]]:
        # OSError would be rebuilt from its message alone when it crosses a process boundary.
        return type(self), (self.path, self.reason, self.index)


class ModelFileError(ValueError):
    """Raised when a file is not an ONNX detector that this library can run."""
