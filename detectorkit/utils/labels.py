"""Checks of labels: 0 for real photographs, 1 for generated images.

Every function that takes y uses one of these:

=================  ==================================================================
`check_labels`     0 and 1, also as floats or bool: for metrics of scores or of files
`find_classes`     two numbers, of which the larger means "generated": for `fit`
`encode_labels`    the labels of a fitted detector, by its `classes_`
=================  ==================================================================

Words are refused where nothing says which of them means "generated": scikit-learn takes the second
in sorted order as the positive class, which would be "human" of "ai" and "human".
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from detectorkit.utils.validation import refuse_masked, refuse_name

__all__ = ["check_classes", "check_labels", "encode_labels", "find_classes"]

_CURE = "Pass 0 for real and 1 for generated, for example np.asarray(y) == 'ai'"


def check_labels(
    caller: str, y: Any, *, name: str = "y", need_both: bool = False
) -> NDArray[np.int64]:
    """Check labels that are 0 for real and 1 for generated."""
    labels = _as_numbers(caller, y, name)
    wrong = labels[~np.isin(labels, (0, 1))]
    if len(wrong):
        raise ValueError(f"{caller}: {name} has the labels {_some(wrong)}. {_CURE}.")
    codes = labels.astype(np.int64)
    return _check_both(caller, name, codes) if need_both else codes


def find_classes(caller: str, y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Find the two labels for the `fit` of a classifier."""
    labels = _as_numbers(caller, y, "y")
    check_classification_targets(labels)
    kind = type_of_target(labels, raise_unknown=True)
    if kind != "binary":
        raise ValueError(
            f"{caller}: Only binary classification is supported. The type of the target is {kind}. "
            f"{_CURE}."
        )
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) != 2:
        raise ValueError(
            f"{caller} can't train when only one class is present in y: {classes[0].item()!r}. "
            "Pass both real and generated images."
        )
    return classes, codes.astype(np.int64)


def encode_labels(
    caller: str, y: Any, detector: Any, *, need_both: bool = False
) -> NDArray[np.int64]:
    """Convert labels of a fitted detector to 0 for real and 1 for generated."""
    if y is None:
        raise ValueError(f"{caller} requires y to be passed, but the target y is None.")
    classes = check_classes(caller, detector)
    refuse_masked(caller, "y", y)
    labels = column_or_1d(y) if _are_words(classes) else _as_numbers(caller, y, "y")
    unknown = labels[~np.isin(labels, classes)]
    if len(unknown):
        raise ValueError(
            f"{caller}: y has the labels {_some(unknown)}, but the detector knows "
            f"{classes.tolist()}. Translate y."
        )
    codes = np.asarray(labels == classes[1]).astype(np.int64)
    return _check_both(caller, "y", codes) if need_both else codes


def check_classes(caller: str, detector: Any) -> NDArray[Any]:
    """Return the labels of a classifier; it must be known that the second means "generated"."""
    refuse_name(caller, detector)
    classes = np.asarray(getattr(detector, "classes_", [0, 1]))
    if classes.shape != (2,):
        raise ValueError(
            f"{caller}: {type(detector).__name__} knows the classes {_some(classes)}. Pass a "
            "binary classifier."
        )
    # In a detector of this library the second label means "generated", also if it is a word.
    if _are_words(classes) and not hasattr(detector, "calibration_"):
        raise ValueError(
            f"{caller}: {type(detector).__name__} was fitted on the labels {classes.tolist()}, and "
            f"nothing says which means generated. {_CURE}, when fitting it."
        )
    return classes


def _check_both(caller: str, name: str, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    missing = [word for code, word in enumerate(("real", "generated")) if code not in codes]
    if missing:
        raise ValueError(
            f"{caller}: only one class is present in {name}: there are no "
            f"{' and no '.join(missing)} images. Pass both real and generated images."
        )
    return codes


def _are_words(labels: NDArray[Any]) -> bool:
    return not all(isinstance(one, Real | np.bool_) for one in np.unique(labels.astype(object)))


def _as_numbers(caller: str, y: Any, name: str) -> NDArray[Any]:
    """Return labels as an array of numbers or bool; raise an error if they are not."""
    if y is None:
        raise ValueError(f"{caller} requires {name} to be passed, but the target {name} is None.")
    refuse_masked(caller, name, y)
    labels = column_or_1d(y, warn=True)
    if labels.dtype.kind in "OUSTV":
        entries = labels.astype(object).tolist()
        words = [one for one in entries if not isinstance(one, Real | np.bool_)]
        if words:
            raise ValueError(
                f"{caller}: {name} has the labels {_some(np.array(words, object))}, which are not "
                f"numbers: nothing says which of them means generated. {_CURE}."
            )
        labels = np.array(entries)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"{caller}: Input {name} contains NaN. {_CURE}.")
    return labels


def _some(labels: NDArray[Any]) -> list[Any]:
    """Return the first few different labels, for an error message."""
    return list(dict.fromkeys(labels.ravel().tolist()))[:5]
