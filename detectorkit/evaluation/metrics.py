"""Metrics of a binary detector, each with the interval that its number of images allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.utils import check_random_state

from detectorkit.evaluation._samples import check_labelled, resampled_weights

__all__ = ["Estimate", "binary_metrics", "share", "wilson_interval"]


class Estimate(NamedTuple):
    """A figure with its confidence interval.

    Attributes
    ----------
    value : float
        The figure; nan where it is not defined, as precision without a positive verdict.
    low, high : float
        The ends of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float | None]:
        """Give it in a form that JSON can hold.

        Returns
        -------
        content : dict
            ``{"value": ..., "low": ..., "high": ...}``, with None for nan.
        """
        return {key: None if np.isnan(v) else float(v) for key, v in self._asdict().items()}


def share(successes: float, n: float, *, confidence: float = 0.95) -> Estimate:
    """Give a proportion that was counted, with its Wilson interval.

    Parameters
    ----------
    successes : float
        How often it was so.
    n : float
        How often it could have been.
    confidence : float, default=0.95
        Confidence of the interval.

    Returns
    -------
    share : Estimate
        All nan where n is 0.
    """
    value = successes / n if n else float("nan")
    return Estimate(float(value), *wilson_interval(successes, n, confidence=confidence))


def wilson_interval(successes: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of a proportion that was counted.

    Parameters
    ----------
    successes : float
        How often it was so.
    n : float
        How often it could have been.
    confidence : float, default=0.95
        How sure the interval is to hold the true proportion.

    Returns
    -------
    low, high : float
        Its ends, within 0 and 1; nan where n is 0.

    References
    ----------
    .. [1] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical
       inference. JASA. :doi:`10.1080/01621459.1927.10502953`

    Examples
    --------
    >>> from detectorkit.evaluation import wilson_interval
    >>> low, high = wilson_interval(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    if n == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf((1 + confidence) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def binary_metrics(
    y_true: Any,
    y_score: Any,
    *,
    threshold: float = 0.0,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> dict[str, Estimate]:
    """Measure the scores of a detector.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    y_score : array-like of shape (n_samples,)
        Scores, higher for "generated".
    threshold : float, default=0.0
        An image whose score is above it counts as called generated. It must have been chosen
        without these images.
    confidence : float, default=0.95
        Confidence of the intervals.
    n_resamples : int, default=1000
        Number of bootstrap samples, drawn within each class.
    random_state : int, RandomState instance or None, default=0
        Draws them.

    Returns
    -------
    metrics : dict of str to Estimate
        By name: accuracy, precision, recall (share of the generated that was found), f1,
        balanced_accuracy, false_positive_rate (share of the real called generated), roc_auc,
        average_precision, fpr_at_95_tpr (the false-positive rate where 95 % of the
        generated are found), and calibration_gap (the balanced accuracy that the best threshold
        for these very images would have had, less that of `threshold`: what a wrong threshold
        costs). The positive class is "generated". Proportions that are counted have Wilson
        intervals, the others percentile intervals of the bootstrap. With one class only, what
        needs both is nan.

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
    y, (scores,) = check_labelled("binary_metrics", y_true, y_score=y_score)
    order = np.argsort(-scores, kind="stable")
    curve = _Curve(y[order], scores[order], threshold)
    point = curve.measure(np.ones((1, len(y))))
    values = {name: float(value[0]) for name, value in point.items()}
    counted = _counted_intervals(curve, confidence)
    resampled = _resample(curve, n_resamples, check_random_state(random_state))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {
        name: Estimate(value, *(counted.get(name) or np.quantile(resampled[name], tails).tolist()))
        for name, value in values.items()
    }


class _Curve:
    """Scores in falling order, measured under many weightings of the images at once."""

    def __init__(self, y: NDArray[np.bool_], scores: NDArray[Any], threshold: float) -> None:
        self.y = y
        self.called = int(np.sum(scores > threshold))  # so many from the top are called generated
        # Images of equal score stand or fall together.
        self.steps = np.flatnonzero(np.append(np.diff(scores) != 0, True))

    def measure(self, weight: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Give the metrics for each row of weights."""
        found = np.cumsum(weight * self.y, axis=1)
        false = np.cumsum(weight * ~self.y, axis=1)
        n_generated, n_real = found[:, -1], false[:, -1]
        zero = np.zeros((len(weight), 1))
        tp = np.hstack([zero, found])[:, self.called]
        fp = np.hstack([zero, false])[:, self.called]
        with np.errstate(invalid="ignore", divide="ignore"):
            recall, fpr, precision = tp / n_generated, fp / n_real, tp / (tp + fp)
            tpr_curve = np.hstack([zero, found[:, self.steps] / n_generated[:, None]])
            fpr_curve = np.hstack([zero, false[:, self.steps] / n_real[:, None]])
            called = found[:, self.steps] + false[:, self.steps]
            # A tie group that a resample does not hold may come first, with nothing called.
            curve_precision = found[:, self.steps] / np.where(called == 0, 1, called)
            balanced_accuracy = (recall + 1 - fpr) / 2
            best = (np.max(tpr_curve - fpr_curve, axis=1) + 1) / 2
            return {
                "accuracy": (tp + n_real - fp) / (n_real + n_generated),
                "precision": precision,
                "recall": recall,
                "f1": 2 * tp / (tp + fp + n_generated),
                "balanced_accuracy": balanced_accuracy,
                "false_positive_rate": fpr,
                "roc_auc": np.trapezoid(tpr_curve, fpr_curve, axis=1),
                "average_precision": np.sum(np.diff(tpr_curve, axis=1) * curve_precision, axis=1),
                "fpr_at_95_tpr": self._fpr_at(0.95, tpr_curve, fpr_curve),
                "calibration_gap": best - balanced_accuracy,
            }

    @staticmethod
    def _fpr_at(
        wanted: float, tpr: NDArray[np.float64], fpr: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        first = np.argmax(tpr >= wanted - 1e-12, axis=1)
        result: NDArray[np.float64] = fpr[np.arange(len(fpr)), first]
        return np.where(np.isnan(tpr[:, -1]), np.nan, result)


def _counted_intervals(curve: _Curve, confidence: float) -> dict[str, tuple[float, float]]:
    n, n_generated = len(curve.y), int(curve.y.sum())
    tp = int(curve.y[: curve.called].sum())
    fp = curve.called - tp
    counts = {
        "accuracy": (tp + n - n_generated - fp, n),
        "precision": (tp, curve.called),
        "recall": (tp, n_generated),
        "false_positive_rate": (fp, n - n_generated),
    }
    return {name: wilson_interval(*pair, confidence=confidence) for name, pair in counts.items()}


def _resample(
    curve: _Curve, n_resamples: int, random: np.random.RandomState
) -> dict[str, NDArray[np.float64]]:
    results = [curve.measure(weight) for weight in resampled_weights(curve.y, n_resamples, random)]
    return {name: np.concatenate([r[name] for r in results]) for name in results[0]}
