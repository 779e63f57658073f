"""Values with their confidence intervals: counted proportions, and weighted sums of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from detectorkit.utils.json import to_plain
from detectorkit.utils.validation import check_confidence

__all__ = ["Estimate", "proportion", "weighted_sum", "wilson_interval"]


class Estimate(NamedTuple):
    """A measured value with its confidence interval.

    Attributes
    ----------
    value : float
        The measured value; nan where it is not defined, such as the precision if nothing was
        called generated.
    low, high : float
        Lower and upper end of the confidence interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float | None]:
        """Return the estimate in a form that JSON can hold.

        Returns
        -------
        content : dict
            The dict ``{"value": ..., "low": ..., "high": ...}``, with None for nan.
        """
        content: dict[str, float | None] = to_plain(self)
        return content


def proportion(successes: float, n: float, *, confidence: float = 0.95) -> Estimate:
    """Compute a proportion from counts, with its Wilson interval."""
    value = successes / n if n else float("nan")
    return Estimate(float(value), *wilson_interval(successes, n, confidence=confidence))


def wilson_interval(successes: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the Wilson score interval of a proportion.

    Parameters
    ----------
    successes : float
        Number of successes.
    n : float
        Number of trials.
    confidence : float, default=0.95
        Confidence level of the interval, between 0 and 1.

    Returns
    -------
    low, high : float
        Lower and upper end of the interval, within 0 and 1; nan if n is 0.

    Raises
    ------
    ValueError
        If `successes` is not between 0 and `n`, or `confidence` not between 0 and 1.

    Notes
    -----
    This is the score interval of Wilson [1]_, without continuity correction.

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
    check_confidence("wilson_interval", confidence)
    if not 0 <= successes <= n:
        raise ValueError(
            f"wilson_interval: successes={successes!r} must be a number from 0 to n={n!r}."
        )
    if n == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf((1 + confidence) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def weighted_sum(
    estimates: Sequence[Estimate], weights: Sequence[float], *, constant: float = 0.0
) -> Estimate:
    """Compute the weighted sum of independent proportions, with its interval.

    Notes
    -----
    The distance from the sum to each end of its interval is the root of the summed squares of
    the distances of the parts [1]_. So the interval keeps a width where a proportion is 0 or 1,
    for which a bootstrap would claim certainty.

    References
    ----------
    .. [1] Zou, G. Y., Huang, W. and Zhang, X. (2009). A note on confidence interval estimation
       for a linear function of binomial proportions. Computational Statistics & Data Analysis.
       :doi:`10.1016/j.csda.2008.09.033`

    Examples
    --------
    The difference of 9 in 10 and 1 in 10:

    >>> from detectorkit.metrics.estimates import proportion, weighted_sum
    >>> print(weighted_sum([proportion(9, 10), proportion(1, 10)], [1, -1]))
    0.800 [0.370, 0.916]
    """
    weight = np.asarray(weights, np.float64)
    values, low, high = np.array(estimates, np.float64).T
    value = constant + float(weight @ values)
    below = weight * (values - np.where(weight > 0, low, high))
    above = weight * (np.where(weight > 0, high, low) - values)
    return Estimate(
        value,
        value - float(np.sqrt(np.sum(below**2))),
        value + float(np.sqrt(np.sum(above**2))),
    )
