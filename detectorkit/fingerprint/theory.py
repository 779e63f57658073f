"""What the correlation with a fingerprint can be expected to be, and how often it is detected."""

from __future__ import annotations

import math

from scipy.stats import norm

from detectorkit.utils.validation import check_number

__all__ = ["detection_probability", "expected_correlation", "reliability"]


def reliability(strength: float, n_images: float) -> float:
    """Compute the correlation of two fingerprints of n images each, by Spearman and Brown."""
    return n_images * strength / (1 + (n_images - 1) * strength)


def expected_correlation(strength: float, n_images: float) -> float:
    """Compute the expected correlation of a new image with a fingerprint of n images."""
    return strength / math.sqrt(strength + (1 - strength) / n_images)


def detection_probability(
    strength: float, n_images: float, n_pixels: float, *, false_alarm_rate: float = 0.01
) -> float:
    """Compute how often an image with a pattern of known strength is detected.

    Parameters
    ----------
    strength : float
        Proportion of the power of a residual that the pattern has, above 0 and below 1. It is also
        the correlation of the residuals of two images.
    n_images : float
        Number of images that the fingerprint is averaged over.
    n_pixels : float
        Number of independent values of a residual. A filtered residual has fewer than pixels.
    false_alarm_rate : float, default=0.01
        Proportion of the images without the pattern whose correlation is above the threshold.

    Returns
    -------
    probability : float
        Proportion of the images with the pattern whose correlation is above the threshold.

    Raises
    ------
    ValueError
        If an argument is outside of its range.

    Notes
    -----
    Let the residual of an image be ``sqrt(k) * p + sqrt(1 - k) * w`` with the strength k, the
    pattern p and white noise w, both of mean 0 and variance 1 over N pixels. The average of n of
    them is a fingerprint F with the variance ``v = k + (1 - k) / n``. Its normalised correlation
    with another residual then has ::

        mean = k / sqrt(v)
        variance = (1 - k) * (k + 1 / n) / (N * v)

    and the mean 0 and the variance 1 / N without the pattern. So at the false-alarm rate a it is
    detected with the probability ::

        cdf((mean - z(1 - a) / sqrt(N)) / sqrt(variance))

    where cdf and z are the distribution function and the quantile of the standard normal
    distribution. The deflection ``sqrt(N) * mean`` grows from ``sqrt(N) * k`` for one image to
    ``sqrt(N * k)``. Two fingerprints of n images each correlate with ``n * k / (1 + (n - 1) * k)``,
    the formula of Spearman and Brown.

    If the noise is not white but has the power spectrum S with the mean 1, N is divided by the mean
    of S weighted by the power spectrum of F.

    Examples
    --------
    >>> from detectorkit.fingerprint import detection_probability
    >>> [round(detection_probability(0.002, n, 128 * 128), 3) for n in (1, 10, 100, 1000)]
    [0.019, 0.064, 0.505, 0.991]
    """
    caller = "detection_probability"
    check_number(caller, "strength", strength, above=0, below=1)
    check_number(caller, "n_images", n_images, minimum=1)
    check_number(caller, "n_pixels", n_pixels, minimum=1)
    check_number(caller, "false_alarm_rate", false_alarm_rate, above=0, below=1)
    variance = strength + (1 - strength) / n_images
    spread = math.sqrt((1 - strength) * (strength + 1 / n_images) / variance)
    distance = math.sqrt(n_pixels) * expected_correlation(strength, n_images)
    return float(norm.cdf((distance - norm.isf(false_alarm_rate)) / spread))
