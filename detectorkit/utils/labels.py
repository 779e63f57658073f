"""Labels as 0 for a real photograph and 1 for a generated image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

__all__ = ["check_labels", "encode_labels"]


def encode_labels(detector: Any, y: Any, caller: str) -> NDArray[np.int64]:
    """Give labels as 0 for real and 1 for generated.

    Parameters
    ----------
    detector : classifier
        Fitted; without `classes_` its labels are 0 and 1.
    y : array-like of shape (n_samples,)
        The labels.
    caller : str
        The name that the error message begins with.

    Returns
    -------
    codes : ndarray of shape (n_samples,)
        1 where the label is the detector's second one.

    Raises
    ------
    ValueError
        If there are labels that the detector does not know.
    """
    labels, classes = np.asarray(y), np.asarray(getattr(detector, "classes_", [0, 1]))
    others = np.setdiff1d(labels, classes)
    if len(others):
        raise ValueError(
            f"{caller}: y has the labels {others[:5].tolist()}, but the detector knows "
            f"{classes.tolist()}. Translate y."
        )
    return (labels == classes[1]).astype(np.int64)


def check_labels(y: Any, caller: str) -> NDArray[np.bool_]:
    """Say of each image whether it is generated.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The labels, of which there must be two.
    caller : str
        The name that error messages begin with.

    Returns
    -------
    is_generated : ndarray of shape (n_samples,)
        Whether the label is the second in sorted order.

    Raises
    ------
    ValueError
        If there are not two labels, or the second one is "real".
    """
    if y is None:
        raise ValueError(f"{caller} requires y to be passed, but the target y is None.")
    classes, codes = np.unique(column_or_1d(y), return_inverse=True)
    if len(classes) != 2 or str(classes[1]).lower() == "real":
        raise ValueError(
            f"{caller}: y has the labels {classes.tolist()}. Two are needed, of which the second "
            "in sorted order means generated: 0 for real and 1 for generated."
        )
    return codes == 1
