"""Detectors that are shipped with the library, each an ONNX file with a model card.

The cards tell the measured limits. To ship another detector, add its ``NAME.onnx`` and ``NAME.md``
to this folder.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Final

from detectorkit.utils.text import did_you_mean

__all__ = [
    "DEFAULT",
    "SHIPPED_BACKBONES",
    "SHIPPED_GENERATORS",
    "card_path",
    "default_detector",
    "find_detector",
    "model_card",
    "read_speeds",
    "shipped_detectors",
]

DEFAULT: Final = "clip"
"""Name of the detector that is used by default, if it is installed."""

_FOLDER: Final = Path(__file__).parent

SHIPPED_BACKBONES: Final = _FOLDER / "backbones"
"""Folder of the backbones that come along, to which heads may refer."""

SHIPPED_GENERATORS: Final = _FOLDER / "generators"
"""Folder of the generators that come along, each an ONNX file with a card."""

_NEXT_BEST: Final = ("transfer", "forensic", "cnn", "hog-svm")


def shipped_detectors() -> dict[str, Path]:
    """List the detectors that are installed with the library.

    Returns
    -------
    files : dict of str to Path
        Names of the detectors and their ONNX files.

    Examples
    --------
    >>> from detectorkit.models import shipped_detectors
    >>> all(path.suffix == ".onnx" for path in shipped_detectors().values())
    True
    """
    return {path.stem: path for path in sorted(_FOLDER.glob("*.onnx"))}


def default_detector() -> str:
    """Return the name of the detector that is used by default.

    This is `DEFAULT`. If its file is not installed, it is the first installed one of "transfer",
    "forensic", "cnn" and "hog-svm", or any other.
    """
    shipped = shipped_detectors()
    if not shipped:
        raise ValueError(
            "no detector is shipped with this installation. Pass the path of a detector that "
            "`save` or `detectorkit train` wrote."
        )
    return next(name for name in (DEFAULT, *_NEXT_BEST, *shipped) if name in shipped)


def find_detector(model: str | os.PathLike[str] | None = None) -> Path:
    """Find the file of a detector."""
    shipped = shipped_detectors()
    if model is None:
        return shipped[default_detector()]
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model={model!r} must be the path of an ONNX file that `save` or `detectorkit train` "
            f"wrote, or the name of a shipped detector: {', '.join(shipped) or 'none'}."
        )
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
        f"{did_you_mean(model, shipped)}"
    )


def read_speeds() -> dict[str, float]:
    """Read the milliseconds of one processor that an image takes each shipped detector."""
    with (_FOLDER / "speed.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: float(row["ms_per_image"]) for row in csv.DictReader(file)}


def card_path(name: str) -> Path:
    """Return the path of a shipped detector's model card."""
    return _FOLDER / f"{name}.md"


def model_card(name: str) -> str:
    """Read the card of a shipped detector: data, protocol, metrics, thresholds, limits, licence.

    Parameters
    ----------
    name : str
        Name of the detector, one of `shipped_detectors`.

    Returns
    -------
    card : str
        Content of the model card, in Markdown.

    Raises
    ------
    ValueError
        If `name` is not a shipped detector.
    """
    shipped = shipped_detectors()
    if name not in shipped:
        names = ", ".join(shipped) or "none"
        raise ValueError(
            f"model_card: name={name!r} must be one of the shipped detectors: {names}."
            f"{did_you_mean(name, shipped)}"
        )
    return card_path(name).read_text(encoding="utf-8")
