"""Deletion and insertion: whether the verdict follows the pixels that a map ranks first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.metrics.scoring import generated_probabilities, own_threshold, score_images
from detectorkit.saliency._base import Map, check_map
from detectorkit.saliency._seen import read_as_given
from detectorkit.saliency.occlusion import predict_mixtures
from detectorkit.saliency.replacements import REPLACEMENTS, make_replacement
from detectorkit.utils.validation import check_argument, check_count

__all__ = ["DeletionInsertion", "deletion_insertion"]


class DeletionInsertion(NamedTuple):
    """Results of `deletion_insertion`, one entry for each image.

    Attributes
    ----------
    deletion : ndarray of shape (n_samples,)
        Area under the deletion curve, from 0 to 1. Lower is better.
    insertion : ndarray of shape (n_samples,)
        Area under the insertion curve, from 0 to 1. Higher is better.
    deletion_curves : ndarray of shape (n_samples, n_steps + 1)
        Probability of the verdict in each step from the image to its replacement.
    insertion_curves : ndarray of shape (n_samples, n_steps + 1)
        Probability of the verdict in each step from the replacement to the image.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_curves: NDArray[np.float64]
    insertion_curves: NDArray[np.float64]


def deletion_insertion(
    detector: Any,
    X: Any,
    maps: Any,
    *,
    replacement: str = "blur",
    n_steps: int = 20,
    batch_size: int = 32,
) -> DeletionInsertion:
    """Score images while the pixels that a map ranks first are deleted, and then inserted.

    Parameters
    ----------
    detector : estimator
        Any fitted binary classifier that takes images, as for `OcclusionSaliency`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    maps : ndarray of shape (n_samples, height, width), or sequence of ndarray
        Maps of the images, as an explainer's `transform` returned them.
    replacement : {"blur", "patch", "jpeg", "mean"}, default="blur"
        Replacement of the pixels; see `detectorkit.saliency.replacements`.
    n_steps : int, default=20
        Number of steps from the image to its replacement; every step changes equally many pixels.
    batch_size : int, default=32
        Number of copies of an image that are scored together.

    Returns
    -------
    found : DeletionInsertion
        Areas under the curves, and the curves.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong, or the maps do not fit the images.

    Notes
    -----
    Evidence for the detector's verdict goes first. If any of the maps has values below 0, all count
    as signed: pixels are ranked from the highest value down where the verdict is "generated", and
    from the lowest up where it is "real". Otherwise pixels are ranked from the highest value down
    for both verdicts.

    As in Petsiuk et al. [1]_, the curves are those of the probability of the verdict: by
    `predict_proba`, or otherwise the sigmoid of the score. So areas lie between 0 and 1 for every
    image. A score relative to its start and end would not depend on a scale, but it is undefined
    where both are nearly the same, as where the replacement is as good evidence as the image. Use
    areas to compare maps of one detector with one replacement; they differ little where the
    replacement leaves the detector as sure as it was.

    Scattered pixels that are replaced make noise, to which detectors react too. So smooth the maps
    of gradients before you compare them with those of `OcclusionSaliency`.

    References
    ----------
    .. [1] V. Petsiuk, A. Das, K. Saenko, "RISE: randomized input sampling for explanation of
       black-box models", BMVC 2018, :doi:`10.48550/arXiv.1806.07421`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.metrics.deletion import deletion_insertion
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> maps = GradientSaliency(detector).transform(X[:2])
    >>> deletion_insertion(detector, X[:2], maps, n_steps=4).deletion_curves.shape
    (2, 5)
    """
    caller = "deletion_insertion"
    check_is_fitted(detector)
    check_argument(caller, "replacement", replacement, tuple(REPLACEMENTS))
    check_count(caller, "n_steps", n_steps, minimum=1)
    check_count(caller, "batch_size", batch_size, minimum=1)
    images = check_images(X, caller=caller)
    maps = _check_maps(caller, images, maps)
    predict = partial(generated_probabilities, detector)
    threshold = own_threshold(detector)
    are_signed = any(np.min(one) < 0 for one in maps)
    curves = np.empty((2, len(images), n_steps + 1))
    for index, one in enumerate(maps):
        image = read_as_given(images, index)
        is_generated = score_images(detector, image[np.newaxis])[0][0] > threshold
        evidence = -one if are_signed and not is_generated else one
        other = make_replacement(image, replacement)
        masks = _masks(evidence, n_steps)
        generated = predict_mixtures(predict, image, other, masks, batch_size=batch_size)
        curves[:, index] = (generated if is_generated else 1 - generated).reshape(2, -1)
    areas = np.asarray(np.trapezoid(curves, dx=1 / n_steps, axis=2))
    return DeletionInsertion(*areas, *curves)


def _check_maps(caller: str, images: ImageSequence, maps: Any) -> list[NDArray[Any]]:
    if len(maps) != len(images):
        raise ValueError(
            f"{caller}: there are {len(maps)} maps for {len(images)} images. Pass the maps that "
            "`transform` returned for the same images."
        )
    return [
        check_map(f"{caller}: map {index}", one, images.shape_of(index))
        for index, one in enumerate(maps)
    ]


def _masks(evidence: Map, n_steps: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the masks of replaced pixels in each step of the deletion, then of the insertion."""
    order = np.argsort(-evidence, axis=None, kind="stable")
    ranks = np.empty(evidence.shape, np.intp)
    ranks.flat[order] = np.arange(evidence.size)
    counts = np.rint(np.linspace(0, evidence.size, n_steps + 1))
    yield from (ranks < count for count in counts)
    yield from (ranks >= count for count in counts)
