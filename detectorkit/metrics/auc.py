"""The area under the ROC curve, with an interval that needs no resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from detectorkit.metrics._samples import check_labelled
from detectorkit.metrics.estimates import Estimate, wilson_interval
from detectorkit.utils.validation import check_confidence

__all__ = ["placements", "roc_auc_estimate"]


def roc_auc_estimate(y_true: Any, y_score: Any, *, confidence: float = 0.95) -> Estimate:
    """Compute the area under the ROC curve, with its confidence interval.

    The area is the probability that a generated image scores above a photograph.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    y_score : array-like of shape (n_samples,)
        Scores of the images, higher for "generated".
    confidence : float, default=0.95
        Confidence level of the interval, between 0 and 1.

    Returns
    -------
    area : Estimate
        The area under the ROC curve; nan if y_true holds one class only.

    Raises
    ------
    ValueError
        If the lengths differ, y_true has other values than 0 and 1, or a score is not finite.

    Notes
    -----
    The variance is that of DeLong [1]_, by mid-ranks in O(n log n); the interval is normal on the
    logit scale [2]_, which keeps it within 0 and 1. It is a little too narrow for few images and
    an area near 1: with 20 images of one class and an area of 0.96, an interval of 95 % covers the
    true area in some 89 % of tests (an interval by the percentile bootstrap in 87 %). Where the
    variance is 0, for example because the scores separate the classes completely, the interval is
    Wilson's, with the size of the smaller class as the number of trials. It is then wider than
    necessary, but its width is never 0.

    References
    ----------
    .. [1] DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas
       under two or more correlated receiver operating characteristic curves: a nonparametric
       approach. Biometrics. :doi:`10.2307/2531595`
    .. [2] Qin, G. and Hotilovac, L. (2008). Comparison of non-parametric confidence intervals
       for the area under the ROC curve of a continuous-scale diagnostic test. Statistical Methods
       in Medical Research. :doi:`10.1177/0962280207087602`

    Examples
    --------
    >>> from detectorkit.evaluation import roc_auc_estimate
    >>> print(roc_auc_estimate([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.4, 0.7, 0.9]))
    0.889 [0.261, 0.995]
    """
    check_confidence("roc_auc_estimate", confidence)
    is_generated, (scores,) = check_labelled("roc_auc_estimate", y_true, y_score=y_score)
    return area_of(is_generated, scores, confidence)


def area_of(
    is_generated: NDArray[np.bool_], scores: NDArray[np.float64], confidence: float
) -> Estimate:
    """Compute `roc_auc_estimate` for labels and scores that have been checked already."""
    smaller = int(min(is_generated.sum(), (~is_generated).sum()))
    if smaller == 0:
        return Estimate(*[float("nan")] * 3)
    found, left = placements(scores[is_generated], scores[~is_generated])
    area = float(found.mean())
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else 0.0 for part in (found, left))
    if variance == 0 or not 0 < area < 1:
        return Estimate(area, *wilson_interval(area * smaller, smaller, confidence=confidence))
    half = norm.ppf((1 + confidence) / 2) * np.sqrt(variance) / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return Estimate(area, float(low), float(high))


def placements(
    generated: NDArray[np.float64], real: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the proportion of the other class that each image is ranked correctly against.

    Ties count one half. The mean of either array is the area under the ROC curve.
    """
    ranks = rankdata(np.concatenate([generated, real]))
    below = (ranks[: len(generated)] - rankdata(generated)) / len(real)
    above = 1 - (ranks[len(generated) :] - rankdata(real)) / len(generated)
    return below, above
