"""Score images before and after perturbations, reading each image once."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from detectorkit.evaluation.robustness.perturbations import PERTURBATIONS, Perturbation
from detectorkit.images.batches import iter_slices
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.metrics.scoring import score_images
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import track

__all__ = ["CLEAN", "perturbed_scores"]

CLEAN = "clean"
"""Name of the images before they are changed, in reports."""

_CHUNK = 8  # number of images that a worker takes at a time
_PIXELS_AT_A_TIME = 16_000_000  # maximum number of pixels of the changed images in one batch


def perturbed_scores(
    detector: Any,
    X: Any,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    *,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> NDArray[np.float64]:
    """Compute the scores of images before and after every perturbation.

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
    perturbations : sequence of Perturbation, default=PERTURBATIONS
        The perturbations to apply, each with a different name.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context; -1 means all
        processors. The `n_jobs` of the detector is ignored.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw. It differs from image to image, and depends on the name of
        the perturbation and the position of the image only.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    scores : ndarray of shape (1 + n_perturbations, n_samples)
        Scores of the clean images in the first row, then one row for each perturbation.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If perturbations is empty or has two of the same name, or the detector does not return one
        finite score for each image.

    Notes
    -----
    Each image is decoded once, at full size and in colour. A detector that works on grey gets the
    luma of these colours and not the luma stored in a JPEG file, so that the scores of clean files
    may differ by rounding from those for their paths. Each thread holds one image and its changed
    versions in memory, the latter in batches of at most 16 million pixels (but at least one).

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import perturbed_scores
    >>> from detectorkit.evaluation.robustness.perturbations import blur, jpeg
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data, data.target)
    >>> perturbed_scores(detector, data.data, [jpeg(75), blur(1)]).shape
    (3, 40)
    """
    images = check_images(X, caller="perturbed_scores")
    for index, one in enumerate(perturbations):
        if not isinstance(one, Perturbation):
            raise TypeError(
                f"perturbed_scores: perturbations[{index}]={one!r} must be a Perturbation, such as "
                "one of PERTURBATIONS or jpeg(75) of "
                "detectorkit.evaluation.robustness.perturbations."
            )
    names = [perturbation.name for perturbation in perturbations]
    if not names or len({CLEAN, *names}) <= len(names):
        raise ValueError(
            f"perturbed_scores: perturbations have the names {names}. Pass at least one "
            f"perturbation, each with a different name, and none with the name {CLEAN!r}."
        )
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    score = partial(_score_chunk, detector, perturbations, seed)
    chunks = ((part.start, images[part]) for part in iter_slices(len(images), _CHUNK))
    parts = map_in_order(score, chunks, n_jobs=n_jobs)
    rows = list(track("Scoring changed images", parts, len(images), show=verbose))
    return np.ascontiguousarray(np.concatenate(rows).T)


def _score_chunk(
    detector: Any,
    perturbations: Sequence[Perturbation],
    seed: int,
    chunk: tuple[int, ImageSequence],
) -> NDArray[np.float64]:
    """Compute the scores before and after every perturbation, with one row for each image."""
    from joblib import parallel_config

    start, images = chunk
    rows = []
    # Threads of the detector within these threads would compete for the same processors.
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
    """Generate the image as it is, and then the image after every perturbation."""
    yield image
    untouchable = image.view()
    untouchable.flags.writeable = False  # each perturbation starts from the same image
    for perturbation in perturbations:
        entropy = np.random.SeedSequence([seed, zlib.crc32(perturbation.name.encode()), index])
        random = np.random.RandomState(np.random.MT19937(entropy))
        yield perturbation(untouchable, random)


def _score(detector: Any, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return score_images(detector, images)[0]
