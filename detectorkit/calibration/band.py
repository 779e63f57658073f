"""Set the band of scores in which a detector cannot tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from detectorkit.calibration.decision import Band
from detectorkit.utils.labels import check_labels
from detectorkit.utils.names import as_names
from detectorkit.utils.validation import check_number, check_scores

__all__ = ["fit_band"]

_TINY = 1e-9  # what is equal must not be above by rounding


def fit_band(
    scores: Any,
    y: Any,
    origin: Any = None,
    *,
    units: Any = None,
    threshold: float | None = None,
    max_wrong_photographs: float = 0.02,
    max_wrong: float = 0.1,
) -> Band:
    """Set the band of scores in which a detector cannot tell, as narrow as its errors allow.

    Read more in the :ref:`User Guide <abstention>`.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores of images from sources that the detector was not trained on, each source left out in
        turn or all of them new.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images; both must occur.
    origin : array-like of shape (n_samples,), default=None
        Source of each photograph and generator of each generated image. Within a class, all
        origins have the same weight. None takes every image for an origin of its own.
    units : array-like of shape (n_samples,), default=None
        Units that were left out as a whole, such as collections; they are only counted. None
        counts the origins.
    threshold : float, default=None
        Threshold of the detector, which the band is to contain. None sets no such limit.
    max_wrong_photographs : float, default=0.02
        Maximum proportion of the photographs of a further source that are to be expected to be
        called generated; above 0 and below 1. The default needs at least 49 sources.
    max_wrong : float, default=0.1
        Maximum proportion of wrong verdicts among those that are not "can't tell", within the
        photographs and within the generated images.

    Returns
    -------
    band : Band
        The narrowest such band, with what it costs on these images. Set it as `band_` of a
        detector, and save it.

    Raises
    ------
    ValueError
        If there are too few sources of photographs for the limit, no band keeps to both limits
        and leaves both verdicts possible, a class is missing, or an argument makes no sense.

    See Also
    --------
    detectorkit.evaluation.ConformalAbstention : Bounds both error rates of single images.

    Notes
    -----
    The upper end is the lowest score at which the mean over the n sources of the proportion of
    photographs above it, with a further source that has nothing but wrong verdicts, is at most
    `max_wrong_photographs`. So the limit holds on average for a source that is drawn like these
    (conformal risk control [1]_), and on these sources there are fewer wrong verdicts. The lower
    end is the highest score at which the generated images at or below it are at most `max_wrong`
    of those decided here. If the same cannot be said of the photographs, the upper end rises.

    References
    ----------
    .. [1] Angelopoulos, A. N., Bates, S., Fisch, A., Lei, L. and Schuster, T. (2024). Conformal
       risk control. ICLR. :doi:`10.48550/arXiv.2208.02814`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.calibration import fit_band
    >>> y = np.arange(1000) % 2
    >>> scores = np.random.default_rng(0).normal(size=1000) + 2 * y
    >>> band = fit_band(scores, y)
    >>> round(band.low, 2), round(band.high, 2)
    (0.55, 1.82)
    >>> round(band.wrong_photographs, 3), round(band.undecided_photographs, 2), round(band.found, 2)
    (0.018, 0.25, 0.56)
    """
    caller = "fit_band"
    check_consistent_length(scores, y, *(one for one in (origin, units) if one is not None))
    values = check_scores(caller, scores)
    labels = check_labels(caller, y, need_both=True)
    names = np.arange(len(labels)) if origin is None else as_names(origin)
    check_number(caller, "max_wrong", max_wrong, minimum=0, below=1)
    limit = _limit_on_these(len(np.unique(names[labels == 0])), max_wrong_photographs)
    inside = [] if threshold is None else [check_number(caller, "threshold", threshold)]
    cuts = np.unique([*values, *inside])
    # Proportion of each class above each cut.
    real, generated = (
        _above(cuts, values[labels == code], names[labels == code]) for code in (0, 1)
    )
    # For each cut as the upper end: the highest lower end that misses few enough generated images.
    missed = np.round(1 - generated, 12)
    allowed = max_wrong / (1 - max_wrong) * generated + _TINY
    ceiling = np.minimum(np.arange(len(cuts)), np.searchsorted(cuts, min(inside, default=np.inf)))
    lower = np.minimum(np.searchsorted(missed, allowed, side="right") - 1, ceiling)
    called_real = np.where(lower < 0, 0, 1 - real[lower])
    good = (
        (real <= limit + _TINY)
        & (real <= max_wrong * (real + called_real) + _TINY)
        & (generated > 0)
        & (called_real > 0)
        & (cuts >= max(inside, default=-np.inf))
    )
    if not good.any():
        raise ValueError(
            f"{caller}: on these {len(labels)} images, no band keeps the proportion of photographs "
            f"called generated at {max_wrong_photographs:g} and that of wrong verdicts at "
            f"{max_wrong:g}, and calls any photograph real and any generated image generated. "
            "Raise max_wrong_photographs or max_wrong, or use the detector without a band."
        )
    high = int(np.argmax(good))
    low = int(lower[high])
    return Band(
        low=float(cuts[low]),
        high=float(cuts[high]),
        wrong_photographs=float(real[high]),
        wrong_generated=float(missed[low]),
        undecided_photographs=float(real[low] - real[high]),
        undecided_generated=float(generated[low] - generated[high]),
        found=float(generated[high]),
        n_images=len(labels),
        n_units=_count_units(labels, origin, units),
    )


def _limit_on_these(n_sources: int, rate: float) -> float:
    """Return the rate on n sources with which one more, wholly wrong, keeps to the limit."""
    check_number("fit_band", "max_wrong_photographs", rate, above=0, below=1)
    limit = (rate * (n_sources + 1) - 1) / n_sources
    if limit < -_TINY:
        raise ValueError(
            f"fit_band: {n_sources} sources of photographs are too few to expect that at most "
            f"{rate:g} of a further one are called generated. Pass at least "
            f"{int(np.ceil(1 / rate - 1 - 1e-9))}, or max_wrong_photographs of at least "
            f"{1 / (n_sources + 1):.3g}."
        )
    return limit


def _above(
    cuts: NDArray[np.float64], scores: NDArray[np.float64], origin: NDArray[Any]
) -> NDArray[np.float64]:
    """Compute the proportion of scores above each cut, as the mean over the origins."""
    _, place, counts = np.unique(origin, return_inverse=True, return_counts=True)
    weight = 1 / (len(counts) * counts[place])
    order = np.argsort(scores)
    below = np.append(0.0, np.cumsum(weight[order]))
    above: NDArray[np.float64] = 1 - below[np.searchsorted(scores[order], cuts, side="right")]
    return np.round(above, 12)


def _count_units(labels: NDArray[np.int64], origin: Any, units: Any) -> int | None:
    """Count the units or, if they are not given, the origins; None if these are unknown too."""
    if units is not None:
        return len(np.unique(as_names(units)))
    if origin is None:
        return None
    return sum(len(np.unique(as_names(origin)[labels == code])) for code in (0, 1))
