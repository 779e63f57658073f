"""From scores to decisions: thresholds with a promise, and the right to say "can't tell".

Everything here holds for images like those that it was set on (exchangeable with them), and for no
others: photographs of a camera or a website that took no part can behave in another way.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_curve
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.metrics.estimates import Estimate, proportion
from detectorkit.utils.labels import check_labels
from detectorkit.utils.validation import (
    check_confidence,
    check_number,
    check_real,
    check_scores,
)

__all__ = [
    "CANT_TELL",
    "ConformalAbstention",
    "FprThreshold",
    "abstention_metrics",
    "balanced_threshold",
    "fpr_threshold",
]

CANT_TELL = -1
"""The verdict that is no verdict, beside 0 for real and 1 for generated."""

_TINY = 1e-12  # 5 / 100 must not be above 0.05 by rounding


class FprThreshold(NamedTuple):
    """A threshold for a wanted false-positive rate, and the rate that it will have.

    Attributes
    ----------
    threshold : float
        Call an image generated whose score is above it.
    target : float
        The false-positive rate that was asked for.
    rate : Estimate
        The rate on further photographs of the same kind: the mean of what it may turn out to be,
        and the interval that holds it. Not an estimate from counts: it is known beforehand.
    n : int
        Number of photographs that it was set on.
    """

    threshold: float
    target: float
    rate: Estimate
    n: int


def fpr_threshold(
    scores: Any, fpr: float, *, confidence: float = 0.95, guarantee: bool = False
) -> FprThreshold:
    """Find the threshold that a stated share of photographs will exceed.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores of photographs that the detector was not trained on.
    fpr : float
        The false-positive rate wanted, between 0 and 1.
    confidence : float, default=0.95
        Confidence of the interval of the rate, and of the guarantee.
    guarantee : bool, default=False
        False keeps the rate at or below `fpr` on average over the photographs that happened to
        be drawn. True keeps it there with the stated confidence, at a higher threshold.

    Returns
    -------
    result : FprThreshold
        The threshold, and the interval of what the rate will be.

    Raises
    ------
    ValueError
        If there are too few photographs for the rate: it says how many are needed.

    Notes
    -----
    The threshold is the r-th largest of n scores. Whatever the distribution of the scores, the
    rate at which further ones exceed it has the distribution Beta(r, n + 1 - r) [1]_, or less where
    scores are tied. So r is the largest whose mean r / (n + 1), or with `guarantee` whose upper
    quantile, is at most `fpr`. The photographs must be exchangeable with those to come; nothing
    is promised for other sources.

    References
    ----------
    .. [1] Vovk, V. (2012). Conditional validity of inductive conformal predictors. ACML.
       :doi:`10.1007/s10994-013-5355-6`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import fpr_threshold
    >>> scores = np.random.default_rng(0).normal(size=999)
    >>> result = fpr_threshold(scores, 0.05)
    >>> print(result.rate)
    0.050 [0.037, 0.064]
    """
    check_number("fpr_threshold", "fpr", fpr, above=0, below=1)
    check_confidence("fpr_threshold", confidence)
    ordered = np.sort(check_scores("fpr_threshold", scores))[::-1]
    n = len(ordered)
    ranks = np.arange(1, n + 1)
    if guarantee:
        kept = np.asarray(beta.ppf(confidence, ranks, n + 1 - ranks)) <= fpr
        needed = int(np.ceil(np.log(1 - confidence) / np.log(1 - fpr)))
    else:
        kept = ranks <= fpr * (n + 1) * (1 + 1e-12)  # 0.05 * 20 must not fail by rounding
        needed = int(np.ceil(1 / fpr - 1 - 1e-9))
    if not kept.any():
        raise ValueError(
            f"fpr_threshold: {n} photographs are too few for a false-positive rate of {fpr:g}"
            f"{' with a guarantee' * guarantee}; pass at least {needed}."
        )
    rank = int(ranks[kept][-1])
    low, high = beta.interval(confidence, rank, n + 1 - rank)
    rate = Estimate(rank / (n + 1), float(low), float(high))
    return FprThreshold(float(ordered[rank - 1]), fpr, rate, n)


def balanced_threshold(scores: Any, y: Any) -> float:
    """Find the threshold with the best balanced accuracy.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores of images that the detector was not trained on.
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated; both must occur.

    Returns
    -------
    threshold : float
        Midway between two scores; of several that do equally well, the middle one.

    Raises
    ------
    ValueError
        If a class is missing or a score is not finite.

    Examples
    --------
    >>> from detectorkit.evaluation import balanced_threshold
    >>> balanced_threshold([1.0, 2.0, 4.0, 5.0], [0, 0, 1, 1])
    3.0
    """
    check_consistent_length(scores, y)
    values = check_scores("balanced_threshold", scores)
    labels = check_labels("balanced_threshold", y, need_both=True)
    fpr, tpr, steps = roc_curve(labels, values, drop_intermediate=False)
    best = np.flatnonzero(tpr - fpr >= np.max(tpr - fpr) - _TINY)
    # At step k the k highest distinct scores are called; the threshold is below the last of them.
    distinct = steps[1:]
    between = (distinct[:-1] + distinct[1:]) / 2
    thresholds = [distinct[0], *between, np.nextafter(distinct[-1], -np.inf)]
    return float(thresholds[best[len(best) // 2]])


class ConformalAbstention(BaseEstimator):
    """Decide only where both kinds of error stay within stated rates; else say "can't tell".

    It works on scores, of any detector.

    Read more in the :ref:`User Guide <abstention>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    fpr : float, default=0.05
        At most this share of photographs will be called generated.
    fnr : float, default=0.05
        At most this share of generated images will be called real.

    Attributes
    ----------
    real_scores_, generated_scores_ : ndarray
        The scores that it was set on, by class, sorted.
    classes_ : ndarray of shape (2,)
        0 and 1; verdicts are these or -1.

    See Also
    --------
    fpr_threshold : One threshold and no abstention.
    consistency_check : Abstains where the verdict does not survive a re-encoding.

    Notes
    -----
    Split conformal prediction within each class (Mondrian) [1]_: a label is possible where its
    p-value is above the rate that was stated for it. Where exactly one label is possible, it is
    the verdict; where both are (the score could be either) or none is (it is unlike both),
    there is none. Both rates hold on average over calibration sets, whatever the distribution
    of the scores, for images that are exchangeable with those of `fit`. How many images get a
    verdict is not promised: it is low for a detector that knows little.

    References
    ----------
    .. [1] Vovk, V., Gammerman, A. and Shafer, G. (2005). Algorithmic learning in a random world.
       Springer. :doi:`10.1007/b106715`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import ConformalAbstention
    >>> random = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> scores = random.normal(size=200) + 2 * y
    >>> abstention = ConformalAbstention(fpr=0.05, fnr=0.05).fit(scores, y)
    >>> abstention.predict([-2.0, 1.0, 4.0])
    array([ 0, -1,  1])
    """

    def __init__(self, *, fpr: float = 0.05, fnr: float = 0.05) -> None:
        self.fpr = fpr
        self.fnr = fnr

    def fit(self, scores: Any, y: Any) -> Self:
        """Set it on labelled scores.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores of images that the detector was not trained on.
        y : array-like of shape (n_samples,)
            0 for real, 1 for generated.

        Returns
        -------
        self : object
            Ready to decide.

        Raises
        ------
        ValueError
            If a rate makes no sense, or a class has too few images for its rate.
        """
        check_consistent_length(scores, y)
        values = check_scores("ConformalAbstention", scores)
        labels = check_labels("ConformalAbstention", y)
        parts = []
        for label, name, kind in ((0, "fpr", "real"), (1, "fnr", "generated")):
            rate = check_real(self, name, above=0, below=1)
            part = np.sort(values[labels == label])
            if (len(part) + 1) * rate < 1 - 1e-9:
                raise ValueError(
                    f"ConformalAbstention: {name}={rate:g} needs at least "
                    f"{int(np.ceil(1 / rate - 1 - 1e-9))} {kind} images, got {len(part)}."
                )
            parts.append(part)
        self.real_scores_, self.generated_scores_ = parts
        self.classes_ = np.array([0, 1])
        return self

    def p_values(self, scores: Any) -> NDArray[np.float64]:
        """Say how unusual each score would be in each class.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            What `decision_function` gives.

        Returns
        -------
        p_values : ndarray of shape (n_samples, 2)
            For "real", the share of photographs with as high a score or a higher one; for
            "generated", the share of generated images with as low a score or a lower one; the
            image itself counted in.
        """
        check_is_fitted(self)
        values = check_scores("ConformalAbstention", scores)
        n_real, n_generated = len(self.real_scores_), len(self.generated_scores_)
        higher = n_real - np.searchsorted(self.real_scores_, values, side="left")
        lower = np.searchsorted(self.generated_scores_, values, side="right")
        return np.column_stack([(higher + 1) / (n_real + 1), (lower + 1) / (n_generated + 1)])

    def predict(self, scores: Any) -> NDArray[np.int64]:
        """Decide.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            What `decision_function` gives.

        Returns
        -------
        verdicts : ndarray of shape (n_samples,)
            0 real, 1 generated, -1 can't tell.
        """
        real, generated = (self.p_values(scores) > [self.fpr + _TINY, self.fnr + _TINY]).T
        verdicts = np.full(len(real), CANT_TELL, np.int64)
        verdicts[real & ~generated] = 0
        verdicts[generated & ~real] = 1
        return verdicts


def abstention_metrics(
    y_true: Any, verdicts: Any, *, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Measure verdicts of which some are "can't tell".

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    verdicts : array-like of shape (n_samples,)
        0 real, 1 generated, -1 can't tell.
    confidence : float, default=0.95
        Confidence of the Wilson intervals.

    Returns
    -------
    metrics : dict of str to Estimate
        By name: decided (share of images with a verdict), decided_real and decided_generated
        (of each class), accuracy_where_decided, false_positive_rate and false_negative_rate
        (errors among all images of the class, as the conformal promise means them), and
        false_positive_rate_where_decided. Shares of nothing are nan.

    Raises
    ------
    ValueError
        If lengths differ, or a label, a verdict or the confidence makes no sense.

    Examples
    --------
    >>> from detectorkit.evaluation import abstention_metrics
    >>> metrics = abstention_metrics([0, 0, 1, 1], [0, -1, 1, 0])
    >>> metrics["decided"].value, round(metrics["accuracy_where_decided"].value, 2)
    (0.75, 0.67)
    """
    caller = "abstention_metrics"
    check_consistent_length(y_true, verdicts)
    y, said = check_labels(caller, y_true, name="y_true"), np.asarray(verdicts)
    if said.ndim != 1 or not np.isin(said, (0, 1, CANT_TELL)).all():
        raise ValueError(
            f"{caller}: verdicts of shape {said.shape} must be one an image: 0 for real, 1 for "
            f"generated and {CANT_TELL} for can't tell, as ConformalAbstention gives them."
        )
    decided, real, generated = said != CANT_TELL, y == 0, y == 1
    counts = {
        "decided": (decided, decided | ~decided),
        "decided_real": (decided & real, real),
        "decided_generated": (decided & generated, generated),
        "accuracy_where_decided": (said == y, decided),
        "false_positive_rate": (real & (said == 1), real),
        "false_negative_rate": (generated & (said == 0), generated),
        "false_positive_rate_where_decided": (real & (said == 1), real & decided),
    }
    return {
        name: proportion(int(part.sum()), int(whole.sum()), confidence=confidence)
        for name, (part, whole) in counts.items()
    }
