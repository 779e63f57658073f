"""Combination of the scores of several detectors into one, on plain arrays of log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.utils.validation import check_array, check_consistent_length

from detectorkit.utils.labels import check_labels
from detectorkit.utils.names import as_names
from detectorkit.utils.validation import check_argument

__all__ = ["COMBINATIONS", "LIMIT", "Combination", "Kind", "fit_combination", "weigh_origins"]

Kind = Literal["soft", "log_odds", "stacking"]
COMBINATIONS: Final = ("soft", "log_odds", "stacking")

LIMIT: Final = 12.0
"""Largest absolute log-odds of a member that count, so that one overconfident member cannot outvote
all others together: a probability of one in 160 000."""

_SHRINKAGE: Final = 0.005  # of the weights to their mean, against the mean loss of an image
_RIDGE: Final = 1e-4  # of the weights to 0, so that perfectly separated classes have a solution


@dataclass(frozen=True)
class Combination:
    """Rule that turns the calibrated log-odds of several detectors into one score.

    Attributes
    ----------
    kind : {"soft", "log_odds", "stacking"}
        Rule. "soft" is the logarithm of the odds of the mean probability; the others are a weighted
        sum of the log-odds.
    weights : tuple of float
        Weight of each detector; for "soft" they sum to 1.
    intercept : float, default=0.0
        Constant in the score; 0 for "soft".
    """

    kind: Kind
    weights: tuple[float, ...]
    intercept: float = 0.0

    def score(self, log_odds: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the scores of images; 0 is where neither class is more likely.

        Parameters
        ----------
        log_odds : ndarray of shape (n_samples, n_members)
            Logarithm of the odds of "generated" of each detector.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Combined scores, which are logarithms of odds too.
        """
        limited = _limit(log_odds)
        weights = np.array(self.weights)
        if self.kind == "soft":
            mean_odds: NDArray[np.float64] = np.log(expit(limited) @ weights)
            return mean_odds - np.log(expit(-limited) @ weights)
        scores: NDArray[np.float64] = limited @ weights + self.intercept
        return scores


def fit_combination(
    log_odds: Any,
    y: Any,
    sample_weight: Any = None,
    kind: Kind = "log_odds",
    *,
    weights: Sequence[float] | None = None,
) -> Combination:
    """Fit the weights with which the scores of several detectors are combined.

    Parameters
    ----------
    log_odds : array-like of shape (n_samples, n_members)
        Logarithm of the odds of "generated" of each detector, for images of origins on which none
        of them was trained.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the images, see `weigh_origins`. None weighs all images equally.
    kind : {"soft", "log_odds", "stacking"}, default="log_odds"
        "soft" takes the mean of the probabilities, and fits nothing. "log_odds" fits weights that
        are not negative. "stacking" fits weights of any sign.
    weights : sequence of float of length n_members, default=None
        Fixed relative weights for "soft" and "log_odds"; only their common factor and the constant
        of "log_odds" are then fitted. None means equal weights for "soft".

    Returns
    -------
    combination : Combination
        Rule that scores images.

    Raises
    ------
    ValueError
        If an argument is wrong, or a class is missing.

    Notes
    -----
    "log_odds" and "stacking" minimise the weighted mean of the logistic loss, and a penalty on the
    variance of the weights. So few images, or members that are equally good, lead to equal weights,
    of any size.
    """
    caller = "fit_combination"
    check_argument(caller, "kind", kind, COMBINATIONS)
    found = _limit(check_array(log_odds, dtype=np.float64, ensure_all_finite="allow-nan"))
    if np.isnan(found).any():
        raise ValueError(f"{caller}: log_odds has NaN. Leave out images without a score.")
    codes = check_labels(caller, y, need_both=True)
    image_weight = (
        np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, float)
    )
    check_consistent_length(found, codes, image_weight)
    fixed = None if weights is None else _check_weights(caller, kind, weights, found.shape[1])
    if kind == "soft":
        equal = np.full(found.shape[1], 1 / found.shape[1]) if fixed is None else fixed
        return Combination(kind, tuple(equal.tolist()))
    columns = found if fixed is None else found @ fixed[:, np.newaxis]
    fitted, intercept = _fit_logistic(columns, codes, image_weight, is_signed=kind == "stacking")
    whole = fitted if fixed is None else fitted[0] * fixed
    return Combination(kind, tuple(whole.tolist()), intercept)


def weigh_origins(y: NDArray[Any], origin: Any) -> NDArray[np.float64]:
    """Compute weights with which each origin of a class counts alike, and each class too.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image and source of each photograph.

    Returns
    -------
    weights : ndarray of shape (n_samples,)
        Weights of the images, with a mean of 1.
    """
    names = as_names(origin)
    weights = np.empty(len(names))
    for code in (0, 1):
        inside = y == code
        _, number, counts = np.unique(names[inside], return_inverse=True, return_counts=True)
        weights[inside] = len(names) / (2 * len(counts) * counts[number])
    return weights


def _limit(log_odds: Any) -> NDArray[np.float64]:
    limited: NDArray[np.float64] = np.clip(np.asarray(log_odds, np.float64), -LIMIT, LIMIT)
    return limited


def _check_weights(
    caller: str, kind: Kind, weights: Sequence[float], n_members: int
) -> NDArray[np.float64]:
    """Check fixed weights and divide them by their sum."""
    if kind == "stacking":
        raise ValueError(
            f"{caller}: weights={weights!r} must be None with 'stacking', which fits them. Use "
            "'log_odds' or 'soft'."
        )
    fixed = np.asarray(weights, float)
    if fixed.shape != (n_members,) or not (fixed >= 0).all() or not 0 < fixed.sum() < np.inf:
        raise ValueError(
            f"{caller}: weights={weights!r} must be {n_members} numbers, none negative and not all "
            "zero."
        )
    normalized: NDArray[np.float64] = fixed / fixed.sum()
    return normalized


def _fit_logistic(
    columns: NDArray[np.float64],
    y: NDArray[np.int64],
    image_weight: NDArray[np.float64],
    *,
    is_signed: bool,
) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression whose weights are drawn towards one another, not towards 0."""
    n_members = columns.shape[1]
    importance = image_weight / image_weight.sum()
    spread = float(np.sqrt((importance @ columns**2).mean())) or 1.0  # so that units do not matter
    scaled, sign = columns / spread, np.where(y == 1, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = parameters[:-1]
        margin = sign * (scaled @ weights + parameters[-1])
        slope = -importance * sign * expit(-margin)
        pull = _SHRINKAGE * (weights - weights.mean()) + _RIDGE * weights
        value = -importance @ log_expit(margin) + pull @ weights / 2
        return float(value), np.append(slope @ scaled + pull, slope.sum())

    bounds = [(None if is_signed else 0, None)] * n_members + [(None, None)]
    start = np.append(np.full(n_members, 1 / n_members), 0.0)
    best = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12}
    )
    return best.x[:-1] / spread, float(best.x[-1])
