"""Abstain from a verdict where it does not survive re-encoding."""

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
    """Result of `consistency_check`: verdicts, and how well they survive re-encoding.

    Attributes
    ----------
    verdicts : ndarray of shape (n_samples,)
        Verdicts: 1 for generated, 0 for real, `CANT_TELL` (-1) where the verdict does not survive.
    agreement : ndarray of shape (n_samples,)
        Proportion of the re-encodings after which the verdict is that of the clean image.
    scores : ndarray of shape (1 + n_perturbations, n_samples)
        Scores as `perturbed_scores` returns them; the first row is that of the clean images.
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
    """Predict verdicts, and say "can't tell" where a verdict does not survive re-encoding.

    Parameters
    ----------
    detector : classifier
        A fitted detector of this library, or any fitted binary classifier that takes a list of
        images (uint8 arrays of shape (height, width, 3) in RGB) and has `predict_proba` or
        `decision_function`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    perturbations : sequence of Perturbation, default=REALISTIC
        The re-encodings to try. The default is what most pictures meet on the web.
    max_flips : int, default=0
        Maximum number of perturbations that may change a verdict. If more do, the verdict is
        "can't tell".
    threshold : float, default=None
        Score above which an image is called generated. None takes the threshold of the detector.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context; -1 means all
        processors. The `n_jobs` of the detector is ignored.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw; those of the default draw nothing.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    result : ConsistencyResult
        The verdicts, the proportion of agreeing re-encodings, and all scores.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If max_flips is not between 0 and the number of perturbations, perturbations is empty or
        has two of the same name, or the detector does not return one finite score for each image.

    See Also
    --------
    abstention_metrics : Computes the accuracy of the verdicts and the proportion decided.
    ConformalAbstention : Abstains with guaranteed error rates.
    robustness_report : Measures the effect of perturbations on labelled images.

    Notes
    -----
    Abstention costs coverage: fewer images get a verdict, and the accuracy on these is not the
    accuracy on all images. Always report both. The time for scoring is multiplied by the number
    of perturbations plus one.

    Agreement does not guarantee that a verdict is right. The check finds verdicts that depend on
    how the file was saved, and no others: a detector that is wrong for another reason, as most are
    on generators that they have never seen, is wrong here with full agreement.
    `ConformalAbstention` does give a guarantee, on images that are exchangeable with those that it
    was calibrated on; neither helps on others.

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
            f"consistency_check: max_flips={max_flips!r} must be between 0 and the number of "
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
