"""Turn scores into decisions: thresholds for a false-positive rate, and abstention ("can't tell").

All guarantees here hold for images that are exchangeable with those that the threshold was set on,
and for no others: photographs of another camera or website can behave in another way.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_curve
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.calibration.decision import CANT_TELL
from detectorkit.metrics.estimates import Estimate, proportion
from detectorkit.utils.labels import check_labels
from detectorkit.utils.validation import (
    check_confidence,
    check_number,
    check_real,
    check_scores,
    refuse_masked,
)

__all__ = [
    "CANT_TELL",
    "ConformalAbstention",
    "FprThreshold",
    "abstention_metrics",
    "balanced_threshold",
    "fpr_threshold",
]

_TINY = 1e-12  # 5 / 100 must not be above 0.05 by rounding


class FprThreshold(NamedTuple):
    """A threshold for a wanted false-positive rate, with the rate to expect.

    Attributes
    ----------
    threshold : float
        Score above which an image is to be called generated.
    target : float
        The wanted false-positive rate.
    rate : Estimate
        Expected false-positive rate on further photographs of the same kind: its mean and its
        interval. They follow from the number of photographs and not from counts on a test set.
    n : int
        Number of photographs that the threshold was set on.
    """

    threshold: float
    target: float
    rate: Estimate
    n: int


def fpr_threshold(
    scores: Any, fpr: float, *, confidence: float = 0.95, guarantee: bool = False
) -> FprThreshold:
    """Find the threshold with a wanted false-positive rate.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores of photographs that the detector was not trained on.
    fpr : float
        The wanted false-positive rate, between 0 and 1.
    confidence : float, default=0.95
        Confidence level of the interval of the rate, and of the guarantee; between 0 and 1.
    guarantee : bool, default=False
        Whether to guarantee the rate. False keeps it at or below `fpr` on average over samples of
        photographs; True keeps it there with probability `confidence`, at a higher threshold.

    Returns
    -------
    result : FprThreshold
        The threshold, and the false-positive rate to expect with its interval.

    Raises
    ------
    ValueError
        If there are too few photographs for the rate; the message says how many are needed.

    Notes
    -----
    The threshold is the r-th largest of n scores. Whatever the distribution of the scores, the
    proportion of further photographs above the threshold has the distribution
    Beta(r, n + 1 - r) [1]_, or is lower if scores are tied. So r is the largest rank at which the
    mean r / (n + 1), or with `guarantee` the upper quantile, is at most `fpr`. The photographs
    must be exchangeable with those to come; nothing is guaranteed for other sources.

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
            f"{' with a guarantee' * guarantee}. Pass the scores of at least {needed}."
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
        Labels: 0 for real photographs, 1 for generated images; both must occur.

    Returns
    -------
    threshold : float
        The best threshold, midway between two scores. If several are equally good, it is the
        middle one.

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
    # Step k calls the images with the k highest distinct scores; its threshold is below these.
    distinct = steps[1:]
    between = (distinct[:-1] + distinct[1:]) / 2
    thresholds = [distinct[0], *between, np.nextafter(distinct[-1], -np.inf)]
    return float(thresholds[best[len(best) // 2]])


class ConformalAbstention(BaseEstimator):
    """Decide where both error rates stay within given bounds, and say "can't tell" elsewhere.

    It works on the scores of any detector.

    Read more in the :ref:`User Guide <abstention>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    fpr : float, default=0.05
        Maximum proportion of photographs that are called generated (false-positive rate), above 0
        and below 1.
    fnr : float, default=0.05
        Maximum proportion of generated images that are called real (false-negative rate), above 0
        and below 1.

    Attributes
    ----------
    real_scores_, generated_scores_ : ndarray
        Sorted scores of the photographs and of the generated images passed to `fit`.
    classes_ : ndarray of shape (2,)
        The labels 0 and 1; a verdict is one of these or -1.

    See Also
    --------
    fpr_threshold : Finds a single threshold, without abstention.
    consistency_check : Abstains where the verdict does not survive a re-encoding.

    Notes
    -----
    This is split conformal prediction within each class (Mondrian) [1]_. A label is possible if
    its p-value is above the rate stated for it. If exactly one label is possible, it is the
    verdict. If both are possible (the score could be either) or neither is (the score is unlike
    both), the verdict is "can't tell". Both rates hold on average over calibration sets, whatever
    the distribution of the scores, for images that are exchangeable with those of `fit`. The
    proportion of images with a verdict is not guaranteed: it is low for a weak detector.

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
        """Fit the decision rule to labelled scores.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores of images that the detector was not trained on.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.

        Returns
        -------
        self : object
            The fitted decision rule.

        Raises
        ------
        ValueError
            If a rate is not between 0 and 1, or a class has too few images for its rate.
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
                    f"{int(np.ceil(1 / rate - 1 - 1e-9))} {kind} images, got {len(part)}. Pass "
                    f"more {kind} images or raise {name}."
                )
            parts.append(part)
        self.real_scores_, self.generated_scores_ = parts
        self.classes_ = np.array([0, 1])
        return self

    def p_values(self, scores: Any) -> NDArray[np.float64]:
        """Compute the conformal p-value of each score in each class.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores of the images, as `decision_function` returns them.

        Returns
        -------
        p_values : ndarray of shape (n_samples, 2)
            Column 0, for "real": the proportion of photographs with an equal or higher score.
            Column 1, for "generated": the proportion of generated images with an equal or lower
            score. Both count the image itself.
        """
        check_is_fitted(self)
        values = check_scores("ConformalAbstention", scores)
        n_real, n_generated = len(self.real_scores_), len(self.generated_scores_)
        higher = n_real - np.searchsorted(self.real_scores_, values, side="left")
        lower = np.searchsorted(self.generated_scores_, values, side="right")
        return np.column_stack([(higher + 1) / (n_real + 1), (lower + 1) / (n_generated + 1)])

    def predict(self, scores: Any) -> NDArray[np.int64]:
        """Predict verdicts from scores.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores of the images, as `decision_function` returns them.

        Returns
        -------
        verdicts : ndarray of shape (n_samples,)
            Verdicts: 0 for real, 1 for generated, -1 for "can't tell".
        """
        real, generated = (self.p_values(scores) > [self.fpr + _TINY, self.fnr + _TINY]).T
        verdicts = np.full(len(real), CANT_TELL, np.int64)
        verdicts[real & ~generated] = 0
        verdicts[generated & ~real] = 1
        return verdicts


def abstention_metrics(
    y_true: Any, verdicts: Any, *, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Compute the metrics of verdicts of which some are "can't tell".

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    verdicts : array-like of shape (n_samples,)
        Verdicts: 0 for real, 1 for generated, -1 for "can't tell".
    confidence : float, default=0.95
        Confidence level of the Wilson intervals, between 0 and 1.

    Returns
    -------
    metrics : dict of str to Estimate
        The metrics by name: decided (proportion of images with a verdict), decided_real and
        decided_generated (the same within each class), accuracy_where_decided,
        false_positive_rate and false_negative_rate (wrong verdicts among all images of the class,
        which `ConformalAbstention` keeps below its rates), and false_positive_rate_where_decided.
        A proportion of zero images is nan.

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
    refuse_masked(caller, "verdicts", verdicts)
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
