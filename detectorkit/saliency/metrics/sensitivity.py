"""Max-sensitivity: the change of a map when the image hardly changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.levels import from_levels, to_levels
from detectorkit.images.preprocessing import Image
from detectorkit.images.sequence import check_images
from detectorkit.saliency._seen import read_as_given
from detectorkit.utils.validation import check_count, check_number, check_seed

__all__ = ["max_sensitivity"]


def max_sensitivity(
    explainer: Any,
    X: Any,
    *,
    radius: float = 0.02,
    n_samples: int = 10,
    random_state: int | np.random.RandomState | None = 0,
) -> NDArray[np.float64]:
    """Compute the largest change of a map when the image hardly changes.

    Parameters
    ----------
    explainer : Saliency
        Explainer with a fitted detector.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    radius : float, default=0.02
        Largest change of a pixel, from 0 to 1, where white is 1. Copies of 8-bit images are rounded
        to levels, so choose more than half a level, 0.002.
    n_samples : int, default=10
        Number of noisy copies of each image.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the noise, which depends only on this and on an image's position in X.

    Returns
    -------
    sensitivity : ndarray of shape (n_images,)
        Largest Euclidean norm of the change of the map, divided by the norm of the map. Lower is
        better; nan where the map is 0 everywhere.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong.

    Notes
    -----
    This is the measure of Yeh et al. [1]_, with uniform noise instead of a search for the worst
    change. Unlike there, it is divided by the norm of the map, so that maps of different methods
    can be compared. An explainer that draws noise itself draws the same for all copies.

    References
    ----------
    .. [1] C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar, "On the (in)fidelity
       and sensitivity of explanations", NeurIPS 2019, :doi:`10.48550/arXiv.1901.09392`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.metrics.sensitivity import max_sensitivity
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> max_sensitivity(GradientSaliency(detector), X[:2], n_samples=2).shape
    (2,)
    """
    caller = "max_sensitivity"
    check_count(caller, "n_samples", n_samples, minimum=1)
    seed = check_seed(caller, random_state)
    check_number(caller, "radius", radius, above=0, below=1)
    images = check_images(X, caller=caller)
    sensitivity = np.full(len(images), np.nan)
    for index in range(len(images)):
        image = read_as_given(images, index)
        random = np.random.default_rng([seed, index])
        found = _map_of(explainer, image)
        copies = (_noisy(image, radius, random) for _ in range(n_samples))
        change = max(np.linalg.norm(_map_of(explainer, copy) - found) for copy in copies)
        if found.any():
            sensitivity[index] = change / np.linalg.norm(found)
    return sensitivity


def _map_of(explainer: Any, image: Image) -> NDArray[np.float64]:
    """Explain an image alone, so that its position among others does not matter."""
    return np.asarray(explainer.transform([image])[0], np.float64)


def _noisy(image: Image, radius: float, random: np.random.Generator) -> Image:
    noise = random.uniform(-255 * radius, 255 * radius, image.shape)
    return from_levels(to_levels(image) + noise, image)
