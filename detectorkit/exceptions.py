"""Exceptions of detectorkit; each is a subclass of the builtin that a caller would catch.

::

    Exception
     ├── LookupError
     │    └── BackboneNotFoundError   a pretrained network that is not installed
     ├── OSError
     │    └── ImageReadError   a file that cannot be decoded; knows its path and index
     └── ValueError
          └── ModelFileError   an ONNX file that is not a detector
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["BackboneNotFoundError", "ImageReadError", "ModelFileError"]


class ImageReadError(OSError):
    """Raised when an image file cannot be decoded.

    Parameters
    ----------
    path : str or Path
        Image file that cannot be decoded.
    reason : str
        What is wrong with the file, and how to cure it.
    index : int, default=None
        Position of the file in the input; None if the file was read by itself.

    Attributes
    ----------
    path : Path
        Image file that cannot be decoded.
    reason : str
        What is wrong with the file, and how to cure it.
    index : int or None
        Position of the file in the input.

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
        # OSError would be rebuilt from its message alone when it is passed to another process.
        return type(self), (self.path, self.reason, self.index)


class ModelFileError(ValueError):
    """Raised when a file is not an ONNX detector that this library can run."""


class BackboneNotFoundError(LookupError):
    """Raised when a pretrained network is not installed.

    Parameters
    ----------
    name : str
        Name of the missing backbone.
    cure : str
        Sentences that tell how to install the backbone, for the message.

    Attributes
    ----------
    name : str
        Name of the missing backbone.

    Examples
    --------
    >>> from detectorkit.exceptions import BackboneNotFoundError
    >>> print(BackboneNotFoundError("deit-huge", "Known names are deit-tiny and resnet-18."))
    The backbone 'deit-huge' is not installed. Known names are deit-tiny and resnet-18.
    """

    def __init__(self, name: str, cure: str) -> None:
        self.name = name
        self._cure = cure
        super().__init__(f"The backbone {name!r} is not installed. {cure}")

    def __reduce__(self) -> tuple[type[BackboneNotFoundError], tuple[str, str]]:
        return type(self), (self.name, self._cure)
