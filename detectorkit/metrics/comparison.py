"""Test whether one detector is better than another on the same images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from detectorkit.metrics._samples import check_labelled
from detectorkit.metrics.auc import placements
from detectorkit.metrics.estimates import Estimate, wilson_interval
from detectorkit.utils.validation import check_confidence

__all__ = ["DetectorComparison", "compare_detectors"]


class DetectorComparison(NamedTuple):
    """Result of `compare_detectors`: how much better detector A is than detector B.

    Attributes
    ----------
    accuracy_difference : Estimate
        Accuracy of A minus the accuracy of B.
    accuracy_p_value : float
        Probability of a difference at least as large between `only_a_right` and `only_b_right` if
        both detectors were equally accurate.
    only_a_right : int
        Number of images on which A is right and B is wrong.
    only_b_right : int
        Number of images on which B is right and A is wrong.
    auc_difference : Estimate
        Area under the ROC curve of A minus that of B.
    auc_p_value : float
        Probability of a difference at least as large between the areas if both were equal.
    """

    accuracy_difference: Estimate
    accuracy_p_value: float
    only_a_right: int
    only_b_right: int
    auc_difference: Estimate
    auc_p_value: float


def compare_detectors(
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    *,
    threshold_a: float = 0.0,
    threshold_b: float = 0.0,
    confidence: float = 0.95,
) -> DetectorComparison:
    """Compare the verdicts and the scores of two detectors on the same images.

    On the same images, two detectors are mostly right or wrong together. A paired test makes use
    of that; two separate accuracies can have overlapping intervals although one detector is
    clearly better.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    scores_a, scores_b : array-like of shape (n_samples,)
        Scores of detectors A and B, higher for "generated".
    threshold_a, threshold_b : float, default=0.0
        Thresholds of A and B: an image with a score above the threshold is called generated. They
        must have been chosen without these images.
    confidence : float, default=0.95
        Confidence level of the intervals, between 0 and 1.

    Returns
    -------
    comparison : DetectorComparison
        The differences, A minus B, each with its interval and p-value. If a class has fewer than
        two images, the values for the area under the ROC curve are nan.

    Raises
    ------
    ValueError
        If the lengths differ, there is no image, y_true has other values than 0 and 1, or a score
        is not finite.

    See Also
    --------
    binary_metrics : Computes the metrics of one detector.

    Notes
    -----
    The p-value of the verdicts is that of McNemar's exact test [1]_: a two-sided binomial test of
    ``only_a_right`` successes in ``only_a_right + only_b_right`` trials. The interval of the
    accuracy difference is the paired score interval of Newcombe (his method 10) [2]_: it combines
    the Wilson intervals of both accuracies with regard to their correlation, and subtracts n / 2
    from a positive covariance. So it can just miss 0 where p is just above 1 - confidence, and the
    other way round.

    The AUC difference, its p-value and its interval are those of DeLong [3]_, by mid-ranks [4]_ in
    O(n log n). The interval is normal, cut at -1 and 1. The variance can be 0. If the scores of
    both detectors rank the images alike, p is 1 and the interval is 0 to 0; if the detectors
    differ and the variance is 0 all the same, for example because one separates the classes
    completely and the other reverses them, p and the interval are nan.

    All of this assumes independent images. Frames of one film or pairs of one photograph are not
    independent, and p is then too small. And p says whether a difference could come from the
    choice of *these* images by chance, not whether it holds for other generators.

    References
    ----------
    .. [1] McNemar, Q. (1947). Note on the sampling error of the difference between correlated
       proportions or percentages. Psychometrika. :doi:`10.1007/BF02295996`
    .. [2] Newcombe, R. G. (1998). Improved confidence intervals for the difference between
       binomial proportions based on paired data. Statistics in Medicine.
       :doi:`10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C`
    .. [3] DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas
       under two or more correlated receiver operating characteristic curves: a nonparametric
       approach. Biometrics. :doi:`10.2307/2531595`
    .. [4] Sun, X. and Xu, W. (2014). Fast implementation of DeLong's algorithm for comparing the
       areas under correlated receiver operating characteristic curves. IEEE Signal Processing
       Letters. :doi:`10.1109/LSP.2014.2337313`

    Examples
    --------
    One detector is the other with some noise. On so few images that shows in the order of the
    scores, not in the verdicts.

    >>> import numpy as np
    >>> from detectorkit.evaluation import compare_detectors
    >>> random = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 200)
    >>> common = random.normal(size=400) + 2 * y - 1
    >>> comparison = compare_detectors(y, common, common + 0.5 * random.normal(size=400))
    >>> print(comparison.accuracy_difference, f"p={comparison.accuracy_p_value:.5f}")
    0.028 [-0.007, 0.062] p=0.14387
    >>> print(comparison.auc_difference, f"p={comparison.auc_p_value:.5f}")
    0.039 [0.021, 0.057] p=0.00002
    """
    check_confidence("compare_detectors", confidence)
    is_generated, (a, b) = check_labelled(
        "compare_detectors", y_true, scores_a=scores_a, scores_b=scores_b
    )
    a_right = (a > threshold_a) == is_generated
    b_right = (b > threshold_b) == is_generated
    only_a, only_b = int(np.sum(a_right & ~b_right)), int(np.sum(b_right & ~a_right))
    both = int(np.sum(a_right & b_right))
    auc_difference, auc_p_value = _delong(is_generated, a, b, confidence)
    return DetectorComparison(
        _newcombe(both, only_a, only_b, len(a) - both - only_a - only_b, confidence),
        float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        only_a,
        only_b,
        auc_difference,
        auc_p_value,
    )


def _newcombe(both: int, only_a: int, only_b: int, neither: int, confidence: float) -> Estimate:
    """Compute the difference of two paired proportions with Newcombe's score interval."""
    n = both + only_a + only_b + neither
    n_a, n_b = both + only_a, both + only_b
    below_a, above_a = np.abs(np.subtract(wilson_interval(n_a, n, confidence=confidence), n_a / n))
    below_b, above_b = np.abs(np.subtract(wilson_interval(n_b, n, confidence=confidence), n_b / n))
    covariance = float(both * neither - only_a * only_b)
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    spread = float(n_a * (n - n_a)) * float(n_b * (n - n_b))
    phi = covariance / np.sqrt(spread) if spread else 0.0
    difference = (only_a - only_b) / n
    down = below_a**2 - 2 * phi * below_a * above_b + above_b**2
    up = below_b**2 - 2 * phi * below_b * above_a + above_a**2
    # `down` and `up` are never negative, but can be rounded to just below 0 where phi is 1.
    return Estimate(
        difference,
        float(max(-1.0, difference - np.sqrt(max(down, 0.0)))),
        float(min(1.0, difference + np.sqrt(max(up, 0.0)))),
    )


def _delong(
    is_generated: NDArray[np.bool_],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    confidence: float,
) -> tuple[Estimate, float]:
    """Compute the difference of two areas under the ROC curve, its interval and its p-value."""
    nan = float("nan")
    if min(is_generated.sum(), (~is_generated).sum()) < 2:
        return Estimate(nan, nan, nan), nan
    found_a, left_a = placements(a[is_generated], a[~is_generated])
    found_b, left_b = placements(b[is_generated], b[~is_generated])
    found, left = found_a - found_b, left_a - left_b
    difference = float(found.mean())
    if np.ptp(found) == 0 and np.ptp(left) == 0:
        end = difference if difference == 0 else nan
        return Estimate(difference, end, end), 1.0 if difference == 0 else nan
    error = np.sqrt(found.var(ddof=1) / len(found) + left.var(ddof=1) / len(left))
    half = norm.ppf((1 + confidence) / 2) * error
    p_value = 2 * norm.sf(abs(difference) / error)
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return Estimate(difference, float(low), float(high)), float(p_value)
