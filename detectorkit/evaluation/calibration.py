"""From scores to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

__all__ = ["fit_slope"]

# Scores are divided by their spread before the search; a slope outside of this is a step or flat.
_LOG_BOUNDS = (np.log(1e-3), np.log(1e3))


def fit_slope(
    scores: NDArray[Any], y: NDArray[np.int64], sample_weight: NDArray[Any] | None = None
) -> float:
    """Fit the slope of the sigmoid that turns scores into probabilities.

    The probability of "generated" is ``1 / (1 + exp(-slope * score))``.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Scores of images that the detector was not trained on.
    y : ndarray of shape (n_samples,)
        0 for real, 1 for generated.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the images; None weighs all alike.

    Returns
    -------
    slope : float
        Positive, so that a higher score is always a higher probability.

    Notes
    -----
    This is the method of Platt [1]_, with his smoothed targets against overconfidence on few
    images, but without an intercept: a score of 0 always means one half. So ``predict`` and
    ``predict_proba`` never contradict each other. Nothing is lost on average, as the zero
    of the hinge loss itself estimates where both classes are equally likely.

    References
    ----------
    .. [1] Platt, J. (1999). Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods. Advances in Large Margin Classifiers.
       Corrected algorithm: Lin, H.-T., Lin, C.-J. and Weng, R. C. (2007).
       :doi:`10.1007/s10994-007-5018-6`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation.calibration import fit_slope
    >>> scores = np.array([-2.0, -1.0, 1.0, -1.0, 1.0, 2.0])
    >>> round(fit_slope(scores, np.array([0, 0, 0, 1, 1, 1])), 2)
    0.42
    """
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    n_real, n_generated = weight[y == 0].sum(), weight[y == 1].sum()
    target = np.where(y == 1, (n_generated + 1) / (n_generated + 2), 1 / (n_real + 2))
    spread = float(np.sqrt(np.average(scores**2, weights=weight))) or 1.0

    def loss(log_slope: float) -> float:
        z = np.exp(log_slope) / spread * scores
        return float(np.sum(weight * (np.logaddexp(0, z) - target * z)))

    best = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded")
    return float(np.exp(best.x) / spread)
