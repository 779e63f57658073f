"""The scores of any fitted binary classifier, and the threshold of its verdicts.

A classifier is one of this library or any other that takes images, also a pipeline. Its score is
the value of `decision_function`, or where there is none the probability of ``classes_[1]`` by
`predict_proba`, as scikit-learn's own scorers have it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from detectorkit.utils.labels import check_classes
from detectorkit.utils.validation import check_scores

__all__ = ["generated_probabilities", "own_threshold", "score_images", "unbounded_scores"]

_MINIMUM_PROBABILITY: Final = 1e-6  # so that the logit of a probability of 0 is a number


def score_images(detector: Any, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Compute scores and probabilities of images in a single pass of the detector."""
    name = type(detector).__name__
    check_classes(name, detector)
    if hasattr(detector, "calibration_"):
        scores = _decide(detector, X)
        return scores, check_scores(name, detector.calibration_.predict(scores), name=_PROBA)
    probabilities = _second_column(detector, X) if hasattr(detector, "predict_proba") else None
    if hasattr(detector, "decision_function"):
        return _decide(detector, X), probabilities
    if probabilities is None:
        raise TypeError(
            f"{name} has neither decision_function nor predict_proba, so it gives no score. Pass "
            "a classifier that has one of them."
        )
    return probabilities, probabilities


def unbounded_scores(detector: Any, X: Any) -> NDArray[np.float64]:
    """Score images on a scale without ends."""
    if hasattr(detector, "decision_function"):
        check_classes(type(detector).__name__, detector)
        return _decide(detector, X)
    scores: NDArray[np.float64] = score_images(detector, X)[0]
    return np.asarray(logit(scores.clip(_MINIMUM_PROBABILITY, 1 - _MINIMUM_PROBABILITY)))


def generated_probabilities(detector: Any, X: Any) -> NDArray[np.float64]:
    """Return the probabilities of "generated"; without any, the sigmoid of the scores."""
    scores, probabilities = score_images(detector, X)
    return np.asarray(expit(scores)) if probabilities is None else probabilities


def own_threshold(detector: Any) -> float:
    """Return the score above which a detector says "generated"."""
    threshold = 0.0 if hasattr(detector, "decision_function") else 0.5
    threshold = float(getattr(detector, "threshold_", threshold))
    if np.isnan(threshold):
        raise ValueError(f"{type(detector).__name__}: threshold_ is nan. Set it to a number.")
    return threshold


_DECISION: Final = "the result of decision_function"
_PROBA: Final = "the result of predict_proba"


def _decide(detector: Any, X: Any) -> NDArray[np.float64]:
    scores = np.asarray(detector.decision_function(X), np.float64)
    if scores.shape != (len(X),):
        raise _shape_error(detector, "decision_function", scores, (len(X),))
    return check_scores(type(detector).__name__, scores, name=_DECISION)


def _second_column(detector: Any, X: Any) -> NDArray[np.float64]:
    probabilities = np.asarray(detector.predict_proba(X), np.float64)
    if probabilities.shape != (len(X), 2):
        raise _shape_error(detector, "predict_proba", probabilities, (len(X), 2))
    return check_scores(type(detector).__name__, probabilities[:, 1], name=_PROBA)


def _shape_error(
    detector: Any, method: str, found: NDArray[np.float64], expected: tuple[int, ...]
) -> ValueError:
    return ValueError(
        f"{type(detector).__name__}: {method} gave an array of shape {found.shape} for "
        f"{expected[0]} images, where {expected} was expected. Pass a binary classifier."
    )
