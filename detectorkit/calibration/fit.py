"""Fit calibration maps, which turn scores into probabilities."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_consistent_length

from detectorkit.calibration.maps import Calibration, IsotonicCalibration, SigmoidCalibration
from detectorkit.utils.labels import check_labels
from detectorkit.utils.validation import check_number, check_scores

__all__ = ["fit_calibration", "fit_platt_slope"]

Method = Literal["sigmoid", "isotonic", "shift"]


# Bounds of the logarithm of the slope, for scores divided by their spread: a steeper sigmoid is a
# step, and a flatter one a constant.
_LOG_BOUNDS = (np.log(1e-3), np.log(1e3))


def fit_platt_slope(
    scores: NDArray[Any], y: NDArray[np.int64], sample_weight: NDArray[Any] | None = None
) -> float:
    """Fit the slope of the sigmoid that turns scores into probabilities.

    The probability of "generated" is ``1 / (1 + exp(-slope * score))``.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Scores of images that the detector was not trained on.
    y : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the images; None gives all images the same weight.

    Returns
    -------
    slope : float
        Slope of the sigmoid; positive, so that a higher score is always a higher probability.

    Raises
    ------
    ValueError
        If a score is NaN or infinite.

    Notes
    -----
    This is the method of Platt [1]_ with his smoothed targets, which avoid overconfidence on few
    images, but without an intercept: a score of 0 always has the probability one half. So
    ``predict`` and ``predict_proba`` never contradict each other. Nothing is lost on average, as
    the zero of the hinge loss itself estimates where both classes are equally likely.

    References
    ----------
    .. [1] Platt, J. (1999). Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods. Advances in Large Margin Classifiers.
       Corrected algorithm: Lin, H.-T., Lin, C.-J. and Weng, R. C. (2007).
       :doi:`10.1007/s10994-007-5018-6`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.calibration.fit import fit_platt_slope
    >>> scores = np.array([-2.0, -1.0, 1.0, -1.0, 1.0, 2.0])
    >>> round(fit_platt_slope(scores, np.array([0, 0, 0, 1, 1, 1])), 2)
    0.42
    """
    scores = check_scores("fit_platt_slope", scores)
    target, weight = _smooth_targets(y, sample_weight)
    spread = float(np.sqrt(np.average(scores**2, weights=weight))) or 1.0

    def loss(log_slope: float) -> float:
        return _log_loss(np.exp(log_slope) / spread * scores, target, weight)

    best = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded")
    return float(np.exp(best.x) / spread)


def fit_calibration(
    scores: Any, y: Any, *, method: Method = "sigmoid", slope: float | None = None
) -> Calibration:
    """Fit a map from scores to probabilities.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores of images that the detector was not trained on.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images; both must occur.
    method : {"sigmoid", "isotonic", "shift"}, default="sigmoid"
        Kind of map. "sigmoid" fits a slope and an offset and needs about a hundred images.
        "isotonic" fits any rising map and needs about a thousand. "shift" keeps the slope and
        fits the offset only; a few images are enough, such as 50 of a new origin.
    slope : float, default=None
        Slope that "shift" keeps; required for "shift" and ignored by the other methods.

    Returns
    -------
    calibration : SigmoidCalibration or IsotonicCalibration
        The fitted map; its ``threshold`` is the score with a probability of one half.

    Raises
    ------
    ValueError
        If a class is missing (with photographs alone, use `fpr_threshold`), a score is NaN or
        infinite, or the method or its slope makes no sense.

    Notes
    -----
    "sigmoid" is the method of Platt [1]_ with his smoothed targets; the slope is kept positive.
    "isotonic" is the method of Zadrozny and Elkan [2]_, by `sklearn.isotonic.IsotonicRegression`;
    the probabilities are kept at least 1 / (n_samples + 2) away from 0 and 1. "shift" gives both
    classes the same total weight, as the labelled images of a new origin are picked by hand and
    not drawn at random.

    References
    ----------
    .. [1] Platt, J. (1999). Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods. Corrected algorithm: Lin, H.-T., Lin, C.-J.
       and Weng, R. C. (2007). :doi:`10.1007/s10994-007-5018-6`
    .. [2] Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate
       multiclass probability estimates. KDD. :doi:`10.1145/775047.775151`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import fit_calibration
    >>> scores, y = np.array([1.0, 2.0, 3.0, 3.0, 4.0, 5.0]), np.array([0, 0, 1, 0, 1, 1])
    >>> shifted = fit_calibration(scores, y, method="shift", slope=1.0)
    >>> round(shifted.offset, 2)  # the score with a probability of one half
    3.00
    """
    check_consistent_length(scores, y)
    scores = check_scores("fit_calibration", scores)
    y = check_labels("fit_calibration", y, need_both=True)
    if method == "sigmoid":
        return _fit_sigmoid(scores, y)
    if method == "isotonic":
        return _fit_isotonic(scores, y)
    if method != "shift":
        raise ValueError(
            f"fit_calibration: method={method!r} must be 'sigmoid', 'isotonic' or 'shift'."
        )
    slope = check_number("fit_calibration", "slope", slope, above=0, below=np.inf)
    return _fit_shift(scores, y, slope)


def _fit_sigmoid(scores: NDArray[np.float64], y: NDArray[Any]) -> SigmoidCalibration:
    target, weight = _smooth_targets(y, None)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    scaled = (scores - centre) / spread

    def loss(parameters: NDArray[np.float64]) -> float:
        return _log_loss(np.exp(parameters[0]) * (scaled - parameters[1]), target, weight)

    bounds = [_LOG_BOUNDS, (scaled.min() - 10, scaled.max() + 10)]
    best = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=bounds)
    return SigmoidCalibration(float(np.exp(best.x[0]) / spread), float(centre + spread * best.x[1]))


def _fit_shift(scores: NDArray[np.float64], y: NDArray[Any], slope: float) -> SigmoidCalibration:
    counts = np.bincount(y.astype(np.int64))
    target, weight = _smooth_targets(y, 1 / counts[y.astype(np.int64)])

    def loss(offset: float) -> float:
        return _log_loss(slope * (scores - offset), target, weight)

    bounds = (float(scores.min()), float(scores.max()) + 1e-9)
    best = minimize_scalar(loss, bounds=bounds, method="bounded")
    return SigmoidCalibration(slope, float(best.x))


def _fit_isotonic(scores: NDArray[np.float64], y: NDArray[Any]) -> IsotonicCalibration:
    edge = 1 / (len(y) + 2)
    # The ONNX graph computes with float32, so the points must still differ in float32.
    rounded = scores.astype(np.float32).astype(np.float64)
    fitted = IsotonicRegression(y_min=edge, y_max=1 - edge).fit(rounded, y)
    return IsotonicCalibration(
        tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())
    )


def _smooth_targets(
    y: NDArray[Any], sample_weight: NDArray[Any] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Platt's targets, which lie a little inside of 0 and 1, and the weights."""
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    n_real, n_generated = weight[y == 0].sum(), weight[y == 1].sum()
    return np.where(y == 1, (n_generated + 1) / (n_generated + 2), 1 / (n_real + 2)), weight


def _log_loss(z: NDArray[Any], target: NDArray[Any], weight: NDArray[Any]) -> float:
    return float(np.sum(weight * (np.logaddexp(0, z) - target * z)))
