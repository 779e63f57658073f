"""What a result says of the detector and the images that it is of."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from benchmarks.accuracy.data import Data
from benchmarks.machine import find_versions
from detectorkit.training.augmentation import Augmentation

PACKAGES = ("detectorkit", "numpy", "opencv-python-headless", "scikit-learn")
UNIMPORTANT = {"n_jobs", "verbose", "cache_dir", "checkpoint"}  # to what is measured


def describe(command: str, data: Data) -> dict[str, Any]:
    """Say what command measured on which images, with which versions."""
    return {"command": command, "data": data.describe(), "versions": find_versions(*PACKAGES)}


def describe_detector(name: str, detector: Any) -> dict[str, Any]:
    """Return the name, the class and the parameters of a detector."""
    parameters = detector.get_params(deep=False)
    return {
        "name": name,
        "class": public_name(detector),
        "parameters": {
            key: plain(value) for key, value in parameters.items() if key not in UNIMPORTANT
        },
    }


def public_name(detector: Any) -> str:
    """Return the class of the library that a detector is of, or else its own."""
    kinds = [kind for kind in type(detector).__mro__ if kind.__module__.startswith("detectorkit.")]
    return (kinds or [type(detector)])[0].__name__


def plain(value: Any) -> Any:
    """Return a parameter as JSON has it."""
    if isinstance(value, Augmentation):
        return repr(value)
    if isinstance(value, list) and isinstance(value[0], tuple):  # the detectors of a vote
        parts = [clone(part).set_params(n_jobs=None, cache_dir=None) for _, part in value]
        return [" ".join(repr(part).split()) for part in parts]
    return value
