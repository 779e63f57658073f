"""Score images before and after they are changed; give a verdict only where it survives.

`perturbed_scores` reads each image once, changes it in every way and scores the results. All that
is measured under perturbations starts from there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from detectorkit.evaluation.decisions import CANT_TELL
from detectorkit.evaluation.perturbations import PERTURBATIONS, REALISTIC, Perturbation
from detectorkit.images import ImageSequence, check_images, iter_slices
from detectorkit.utils.progress import track

__all__ = ["ConsistencyResult", "consistency_check", "perturbed_scores"]

CLEAN = "clean"
"""What the images are called before they are changed."""

_CHUNK = 8  # images that a worker takes at a time
_PIXELS_AT_A_TIME = 16_000_000  # changed images of so many pixels are scored at once


def perturbed_scores(
    detector: Any,
    X: Any,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    *,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    progress: bool = False,
) -> NDArray[np.float64]:
    """Score images as they are and after every perturbation.

    Parameters
    ----------
    detector : object
        A fitted classifier whose ``decision_function`` takes a list of images: uint8 arrays of
        shape (height, width, 3) in RGB.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    perturbations : sequence of Perturbation, default=PERTURBATIONS
        The changes, each with another name.
    n_jobs : int, default=None
        Number of threads, each taking images in turn. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors. Within a thread the `n_jobs`
        of the detector does not count.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw. It differs from image to image, and depends on the name of
        the perturbation and the position of the image only.
    progress : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    scores : ndarray of shape (1 + n_perturbations, n_samples)
        The first row holds the scores of the clean images.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If perturbations are missing or share a name, or the detector does not give one finite
        score for each image.

    Notes
    -----
    Each image is decoded once, in full and in colour. A detector that works on grey gets the luma
    of these colours and not that which a JPEG file stores, so that the scores of clean files
    may differ by rounding from those that it gives for their paths. In memory are, for each
    thread, one image and as many changed ones as have 16 million pixels, or one.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import perturbed_scores
    >>> from detectorkit.evaluation.perturbations import blur, jpeg
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data, data.target)
    >>> perturbed_scores(detector, data.data, [jpeg(75), blur(1)]).shape
    (3, 40)
    """
    from joblib import Parallel, delayed  # noqa: PLC0415 - late: joblib costs import time

    images = check_images(X, caller="perturbed_scores")
    names = [perturbation.name for perturbation in perturbations]
    if not names or len({CLEAN, *names}) <= len(names):
        raise ValueError(
            f"perturbed_scores: perturbations have the names {names}. Pass at least one, give each "
            f"a name of its own, and none the name {CLEAN!r}."
        )
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    parts = parallel(
        delayed(_score_images)(detector, images[part], part.start, perturbations, seed)
        for part in iter_slices(len(images), _CHUNK)
    )
    rows = list(track("Scoring changed images", parts, len(images), show=progress))
    return np.ascontiguousarray(np.concatenate(rows).T)


def _score_images(
    detector: Any,
    images: ImageSequence,
    start: int,
    perturbations: Sequence[Perturbation],
    seed: int,
) -> NDArray[np.float64]:
    """Give one row an image: its scores before and after every perturbation."""
    from joblib import parallel_config  # noqa: PLC0415 - see above

    rows = []
    # Threads of the detector within these threads would only get in each other's way.
    with parallel_config(backend="sequential"):
        for index, image in enumerate(images):
            versions = _versions(image, perturbations, seed, start + index)
            size = max(1, _PIXELS_AT_A_TIME // (image.shape[0] * image.shape[1]))
            scores = []
            while batch := list(islice(versions, size)):
                scores.append(_score(detector, batch))
            rows.append(np.concatenate(scores))
    return np.stack(rows)


def _versions(
    image: Any, perturbations: Sequence[Perturbation], seed: int, index: int
) -> Iterator[NDArray[np.uint8]]:
    """Give the image, and then the image after every perturbation."""
    yield image
    untouchable = image.view()
    untouchable.flags.writeable = False  # each perturbation starts from the same image
    for perturbation in perturbations:
        entropy = np.random.SeedSequence([seed, zlib.crc32(perturbation.name.encode()), index])
        random = np.random.RandomState(np.random.MT19937(entropy))
        yield perturbation(untouchable, random)


def _score(detector: Any, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    scores = np.asarray(detector.decision_function(images), dtype=np.float64)
    if scores.shape != (len(images),) or not np.isfinite(scores).all():
        raise ValueError(
            f"{type(detector).__name__}.decision_function gave {scores!r} for {len(images)} "
            "images. It must give one finite score for each."
        )
    return scores


def find_threshold(detector: Any, threshold: float | None, caller: str) -> float:
    """Give the threshold that was passed, or else that of the detector."""
    if threshold is None:
        threshold = getattr(detector, "threshold_", None)
    if threshold is None:
        raise ValueError(
            f"{caller}: {type(detector).__name__} has no threshold_. Pass threshold, the score "
            "above which an image counts as called generated."
        )
    return float(threshold)


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
    progress: bool = False,
) -> ConsistencyResult:
    """Judge images, and say "can't tell" where the verdict does not survive re-encoding.

    Parameters
    ----------
    detector : object
        A fitted classifier whose ``decision_function`` takes a list of images: uint8 arrays of
        shape (height, width, 3) in RGB.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    perturbations : sequence of Perturbation, default=REALISTIC
        The re-encodings that are tried. The default is what a picture meets on the web.
    max_flips : int, default=0
        So many of them may change the verdict; where more do, none is given.
    threshold : float, default=None
        An image whose score is above it counts as called generated. None takes the
        ``threshold_`` of the detector.
    n_jobs : int, default=None
        Number of threads, each taking images in turn. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors. Within a thread the `n_jobs`
        of the detector does not count.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw; those of the default draw nothing.
    progress : bool, default=False
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
        name, the detector has no threshold, or it does not give one finite score an image.

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
    threshold = find_threshold(detector, threshold, "consistency_check")
    scores = perturbed_scores(
        detector, X, perturbations, n_jobs=n_jobs, random_state=random_state, progress=progress
    )
    called = scores > threshold
    flips = (called[1:] != called[0]).sum(axis=0)
    verdicts = np.where(flips > max_flips, CANT_TELL, called[0].astype(np.int64))
    return ConsistencyResult(verdicts, 1 - flips / len(perturbations), scores)
