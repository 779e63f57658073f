"""Metrics of a binary detector, each with its confidence interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from detectorkit.metrics._samples import check_labelled, resampled_weights
from detectorkit.metrics.auc import area_of
from detectorkit.metrics.estimates import Estimate, proportion, weighted_sum
from detectorkit.utils.validation import check_confidence, check_count, check_threshold

__all__ = ["binary_metrics"]

# In the order in which they are shown.
_NAMES = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "balanced_accuracy",
    "false_positive_rate",
    "roc_auc",
    "average_precision",
    "fpr_at_95_tpr",
    "calibration_gap",
)


def binary_metrics(
    y_true: Any,
    y_score: Any,
    *,
    threshold: float = 0.0,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> dict[str, Estimate]:
    """Compute the metrics of a detector from its scores, each with a confidence interval.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    y_score : array-like of shape (n_samples,)
        Scores of the images, higher for "generated".
    threshold : float, default=0.0
        An image with a score above the threshold is called generated. The threshold must have been
        chosen without these images.
    confidence : float, default=0.95
        Confidence level of the intervals, between 0 and 1.
    n_resamples : int, default=1000
        Number of bootstrap samples, which are drawn within each class.
    random_state : int, RandomState instance or None, default=0
        Draws them.

    Returns
    -------
    metrics : dict of str to Estimate
        The metrics by name: accuracy, precision, recall (proportion of the generated images that
        are called generated), f1, balanced_accuracy, false_positive_rate (proportion of the
        photographs that are called generated), roc_auc, average_precision, fpr_at_95_tpr (the
        false-positive rate at the threshold that finds 95 % of the generated images), and
        calibration_gap (the balanced accuracy of the best threshold for these very images, minus
        that of `threshold`: what a wrong threshold costs; never negative, and above 0 by chance on
        few images). The positive class is "generated". The intervals are Wilson's for counted
        proportions, by `weighted_sum` for balanced_accuracy, by `roc_auc_estimate` for roc_auc,
        and percentile intervals of the bootstrap for the other four. If y_true holds one class
        only, metrics that need both classes are nan.

    Raises
    ------
    ValueError
        If the lengths differ, y_true has other values than 0 and 1, or a score is not finite.

    Examples
    --------
    >>> from detectorkit.evaluation import binary_metrics
    >>> metrics = binary_metrics([0, 0, 1, 1], [-2.0, 1.0, 0.5, 3.0])
    >>> metrics["accuracy"].value, metrics["roc_auc"].value
    (0.75, 0.75)
    """
    check_confidence("binary_metrics", confidence)
    check_count("binary_metrics", "n_resamples", n_resamples, minimum=1)
    threshold = check_threshold("binary_metrics", threshold)
    y, (scores,) = check_labelled("binary_metrics", y_true, y_score=y_score)
    figures = verdict_metrics(y, scores > threshold, confidence)
    figures["roc_auc"] = area_of(y, scores, confidence)
    order = np.argsort(-scores, kind="stable")
    curve = _Curve(y[order], scores[order], threshold)
    resampled = _resample(curve, n_resamples, check_random_state(random_state))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    for name, value in curve.measure(np.ones((1, len(y)))).items():
        figures[name] = Estimate(float(value[0]), *np.quantile(resampled[name], tails).tolist())
    return {name: figures[name] for name in _NAMES}


def verdict_metrics(
    is_generated: NDArray[np.bool_], called: NDArray[np.bool_], confidence: float
) -> dict[str, Estimate]:
    """Compute the metrics that are counted from verdicts and so need no resampling."""
    n, n_generated, n_called = len(called), int(is_generated.sum()), int(called.sum())
    tp = int(np.sum(is_generated & called))
    fp = n_called - tp
    counts = {
        "accuracy": (int(np.sum(called == is_generated)), n),
        "precision": (tp, n_called),
        "recall": (tp, n_generated),
        "false_positive_rate": (fp, n - n_generated),
    }
    figures = {name: proportion(*pair, confidence=confidence) for name, pair in counts.items()}
    rates = [figures["recall"], figures["false_positive_rate"]]
    return figures | {"balanced_accuracy": weighted_sum(rates, [0.5, -0.5], constant=0.5)}


class _Curve:
    """Scores in falling order, whose metrics are computed for many weightings at once."""

    def __init__(self, y: NDArray[np.bool_], scores: NDArray[Any], threshold: float) -> None:
        self.y = y
        self.called = int(np.sum(scores > threshold))  # the first `called` images are positive
        # Images of equal score are always called alike, so a step of the curve ends after them.
        self.steps = np.flatnonzero(np.append(np.diff(scores) != 0, True))

    def measure(self, weight: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Compute the metrics that need the bootstrap, for each row of weights."""
        found = np.cumsum(weight * self.y, axis=1)
        false = np.cumsum(weight * ~self.y, axis=1)
        n_generated, n_real = found[:, -1], false[:, -1]
        zero = np.zeros((len(weight), 1))
        tp = np.hstack([zero, found])[:, self.called]
        fp = np.hstack([zero, false])[:, self.called]
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr_curve = np.hstack([zero, found[:, self.steps] / n_generated[:, None]])
            fpr_curve = np.hstack([zero, false[:, self.steps] / n_real[:, None]])
            called = found[:, self.steps] + false[:, self.steps]
            # If a resample lacks the images of the first step, nothing is called there yet.
            curve_precision = found[:, self.steps] / np.where(called == 0, 1, called)
            youden = tp / n_generated - fp / n_real  # twice the balanced accuracy, less 1
            return {
                "f1": 2 * tp / (tp + fp + n_generated),
                "average_precision": np.sum(np.diff(tpr_curve, axis=1) * curve_precision, axis=1),
                "fpr_at_95_tpr": self._fpr_at(0.95, tpr_curve, fpr_curve),
                "calibration_gap": (np.max(tpr_curve - fpr_curve, axis=1) - youden) / 2,
            }

    @staticmethod
    def _fpr_at(
        wanted: float, tpr: NDArray[np.float64], fpr: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        first = np.argmax(tpr >= wanted - 1e-12, axis=1)
        result: NDArray[np.float64] = fpr[np.arange(len(fpr)), first]
        return np.where(np.isnan(tpr[:, -1]), np.nan, result)


def _resample(
    curve: _Curve, n_resamples: int, random: np.random.RandomState
) -> dict[str, NDArray[np.float64]]:
    results = [curve.measure(weight) for weight in resampled_weights(curve.y, n_resamples, random)]
    return {name: np.concatenate([r[name] for r in results]) for name in results[0]}
