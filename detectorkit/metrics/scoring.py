"""The scores of any fitted binary classifier, and the threshold of its verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["own_threshold", "score_images"]


def score_images(detector: Any, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Score images once.

    Parameters
    ----------
    detector : classifier
        A fitted detector of this library, or any binary classifier that takes such X.
    X : ndarray or sequence
        The images.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Of a detector of this library, its scores; of others the probabilities, or without these the
        values of `decision_function`.
    probabilities : ndarray of shape (n_samples,) or None
        Those of "generated", where there are any.
    """
    if hasattr(detector, "calibration_"):
        scores = detector.decision_function(X)
        return scores, detector.calibration_.predict(scores)
    if hasattr(detector, "predict_proba"):
        probabilities = detector.predict_proba(X)[:, 1]
        return probabilities, probabilities
    return detector.decision_function(X), None


def own_threshold(detector: Any) -> float:
    """Give the score above which a detector says "generated".

    Parameters
    ----------
    detector : classifier
        As in `score_images`.

    Returns
    -------
    threshold : float
        Its `threshold_`, or else what scikit-learn's classifiers go by: 0.5 for probabilities, 0
        for decision values.
    """
    if hasattr(detector, "threshold_"):
        return float(detector.threshold_)
    return 0.5 if hasattr(detector, "predict_proba") else 0.0
