"""Give a verdict only where it survives re-encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.evaluation.decisions import CANT_TELL
from detectorkit.evaluation.robustness.perturbations import REALISTIC, Perturbation
from detectorkit.evaluation.robustness.scores import perturbed_scores
from detectorkit.metrics.scoring import own_threshold

__all__ = ["ConsistencyResult", "consistency_check"]


class ConsistencyResult(NamedTuple):
    """Verdicts, and how well they stand up to re-encoding.

    Attributes
    ----------
    verdicts : ndarray of shape (n_samples,)
        1 for generated, 0 for real, `CANT_TELL` (-1) where the verdict does not survive.
    agreement : ndarray of shape (n_samples,)
        Share of the re-encodings after which the verdict is that of the clean image.
    scores : ndarray of shape (1 + n_perturbations, n_samples)
        As `perturbed_scores` gives them: the first row is that of the clean images.
    """

    verdicts: NDArray[np.int64]
    agreement: NDArray[np.float64]
    scores: NDArray[np.float64]


def consistency_check(
    detector: Any,
    X: Any,
    *,
    perturbations: Sequence[Perturbation] = REALISTIC,
    max_flips: int = 0,
    threshold: float | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> ConsistencyResult:
    """Judge images, and say "can't tell" where the verdict does not survive re-encoding.

    Parameters
    ----------
    detector : classifier
        Fitted: a detector of this library, or any binary classifier that takes a list of images
        (uint8 arrays of shape (height, width, 3) in RGB) and has `predict_proba` or
        `decision_function`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    perturbations : sequence of Perturbation, default=REALISTIC
        The re-encodings that are tried. The default is what a picture meets on the web.
    max_flips : int, default=0
        So many of them may change the verdict; where more do, none is given.
    threshold : float, default=None
        An image whose score is above it counts as called generated. None takes the detector's.
    n_jobs : int, default=None
        Number of threads, each taking images in turn. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors. Within a thread the `n_jobs`
        of the detector does not count.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw; those of the default draw nothing.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    result : ConsistencyResult
        The verdicts, the share of agreeing re-encodings and all scores.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If max_flips is not from 0 to the number of perturbations, these are missing or share a
        name, or the detector does not give one finite score an image.

    See Also
    --------
    abstention_metrics : Measure what the abstention buys and what it costs.
    ConformalAbstention : Abstain with a guarantee.
    robustness_report : What perturbations cost on labelled images.

    Notes
    -----
    Abstention is paid for with coverage: the share of images that get a verdict falls, and the
    accuracy on the rest is no longer one on all images. Always report both. Scoring takes as
    many times longer as there are perturbations, and one.

    This is no guarantee. It finds verdicts that hang on how the file was saved, and no others: a
    detector that is wrong for another reason, as most are on generators that they have never
    seen, is wrong here with full agreement. `ConformalAbstention` does give a guarantee, on images
    that are exchangeable with those that it was calibrated on; neither helps on others.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import consistency_check
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data[:30], data.target[:30])
    >>> result = consistency_check(detector, data.data[30:])
    >>> coverage = (result.verdicts != -1).mean()
    >>> bool(coverage == (result.agreement == 1).mean())
    True
    """
    if not 0 <= max_flips <= len(perturbations):
        raise ValueError(
            f"consistency_check: max_flips={max_flips!r} must be from 0 to the number of "
            f"perturbations, {len(perturbations)}."
        )
    threshold = own_threshold(detector) if threshold is None else threshold
    scores = perturbed_scores(
        detector, X, perturbations, n_jobs=n_jobs, random_state=random_state, verbose=verbose
    )
    called = scores > threshold
    flips = (called[1:] != called[0]).sum(axis=0)
    verdicts = np.where(flips > max_flips, CANT_TELL, called[0].astype(np.int64))
    return ConsistencyResult(verdicts, 1 - flips / len(perturbations), scores)
