"""The detectors that come with the library: each an ONNX file with its card beside it.

Measured limits are in the cards. Adding a file ``NAME.onnx`` and its ``NAME.md`` to this folder is
all that it takes to ship another detector.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = [
    "DEFAULT",
    "card_path",
    "default_detector",
    "find_detector",
    "model_card",
    "shipped_detectors",
]

DEFAULT: Final = "transfer"
"""The detector that is used where none is named, if it is installed."""

_FOLDER: Final = Path(__file__).parent
_NEXT_BEST: Final = ("forensic", "cnn", "hog-svm")


def shipped_detectors() -> dict[str, Path]:
    """List the detectors that are installed with the library.

    Returns
    -------
    files : dict of str to Path
        The ONNX file of each, by its name.

    Examples
    --------
    >>> from detectorkit.models import shipped_detectors
    >>> all(path.suffix == ".onnx" for path in shipped_detectors().values())
    True
    """
    return {path.stem: path for path in sorted(_FOLDER.glob("*.onnx"))}


def default_detector() -> str:
    """Name the detector that is used where none is named.

    That is `DEFAULT`; where its file was left out of an installation, the first that is there of
    "forensic", "cnn" and "hog-svm", or any other.

    Returns
    -------
    name : str
        One of `shipped_detectors`.

    Raises
    ------
    ValueError
        If this installation has no detectors.
    """
    shipped = shipped_detectors()
    if not shipped:
        raise ValueError(
            "no detector is shipped with this installation. Pass the path of one that `save` or "
            "`detectorkit train` wrote."
        )
    return next(name for name in (DEFAULT, *_NEXT_BEST, *shipped) if name in shipped)


def find_detector(model: str | os.PathLike[str] | None = None) -> Path:
    """Find the file of a detector.

    Parameters
    ----------
    model : str or Path, default=None
        The path of a file, or the name of a shipped detector; a file wins over a name. None takes
        the default one.

    Returns
    -------
    path : Path
        The file. What looks like a path, with a separator or ".onnx" at its end, is given as it is,
        whether there is such a file or not.

    Raises
    ------
    ValueError
        If it is neither a path nor the name of a shipped detector.
    """
    shipped = shipped_detectors()
    if model is None:
        return shipped[default_detector()]
    path = Path(model)
    if not isinstance(model, str) or path.is_file():
        return path
    if model in shipped:
        return shipped[model]
    if path.suffix.lower() == ".onnx" or path.name != model:
        return path
    names = ", ".join(shipped) or "none"
    raise ValueError(
        f"{model!r} is neither a file nor one of the shipped detectors ({names}). Pass the path of "
        "an ONNX file that `save` or `detectorkit train` wrote, or one of these names."
    )


def card_path(name: str) -> Path:
    """Give the file of a shipped detector's card.

    Parameters
    ----------
    name : str
        One of `shipped_detectors`.

    Returns
    -------
    path : Path
        A Markdown file.
    """
    return _FOLDER / f"{name}.md"


def model_card(name: str) -> str:
    """Read the card of a shipped detector: data, protocol, figures, thresholds, limits, licence.

    Parameters
    ----------
    name : str
        One of `shipped_detectors`.

    Returns
    -------
    card : str
        Markdown.

    Raises
    ------
    ValueError
        If no such detector is shipped.
    """
    shipped = shipped_detectors()
    if name not in shipped:
        names = ", ".join(shipped) or "none"
        raise ValueError(
            f"model_card: name={name!r} must be one of the shipped detectors: {names}."
        )
    return card_path(name).read_text(encoding="utf-8")
