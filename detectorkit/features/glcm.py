"""Statistics of grey-level co-occurrence matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.features._planes import check_planes
from detectorkit.features.skin import check_mask

__all__ = ["ANGLES", "LEVELS", "PROPERTIES", "are_distinct_integers", "glcm_properties"]

ANGLES: Final = (0, 45, 90, 135)
"""Directions of the pairs, in degrees."""

PROPERTIES: Final = ("contrast", "homogeneity", "energy", "correlation")
"""Properties of each matrix, in the order of the features."""

LEVELS: Final = 32
"""Default number of steps into which the levels of grey are divided."""


def glcm_properties(
    images: NDArray[Any],
    *,
    distances: Sequence[int] = (1,),
    levels: int = LEVELS,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Describe grey images by how often two levels of grey lie side by side.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to
        8 bits. Both sides must be longer than the largest distance.
    distances : sequence of int, default=(1,)
        Distances between the two pixels of a pair, in pixels.
    levels : int, default=32
        Number of steps, from 2 to 256, into which the 256 levels of grey are divided.
    mask : ndarray of shape (n_samples, height, width), dtype bool, default=None
        True where a pixel counts; a pair counts if both its pixels do. None counts all pairs.

    Returns
    -------
    features : ndarray of shape (n_samples, n_distances * 16), dtype float32
        For each distance, and for 0, 45, 90 and 135 degrees: the contrast (in squared steps), the
        homogeneity and the energy (both from 0 to 1), and the correlation (from -1 to 1). If the
        mask has no pair, they are 0, 0, 0 and 1.

    Raises
    ------
    ValueError
        If the images or the mask have a wrong form, the images are too small, or `distances` or
        `levels` is not allowed.

    See Also
    --------
    SmoothnessTransformer : The same for images of any form and size, among other statistics.

    Notes
    -----
    Pixels become ``pixel * levels // 256``. Then the matrices are those of
    `skimage.feature.graycomatrix` with ``symmetric=True, normed=True``, and the properties those
    of `skimage.feature.graycoprops`: four of the measures of the paper [1]_, where energy is the
    square root of its angular second moment and homogeneity the inverse difference moment. As in
    scikit-image, diagonal distances are rounded to pixels, so that distances 1 and 2 share their
    diagonals; matrices of one pixel only, or of pixels of one level, have a correlation of 1.

    References
    ----------
    .. [1] Haralick, R. M., Shanmugam, K. and Dinstein, I. (1973). Textural features for image
       classification. IEEE Transactions on Systems, Man, and Cybernetics, SMC-3(6), 610-621.
       :doi:`10.1109/TSMC.1973.4309314`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import glcm_properties
    >>> glcm_properties(np.zeros((2, 64, 64), dtype=np.uint8), distances=(1, 3)).shape
    (2, 32)
    """
    if not are_distinct_integers(distances, minimum=1):
        raise ValueError(
            f"glcm_properties: distances={distances!r} must be one or more different whole numbers "
            "of at least 1."
        )
    if not are_distinct_integers([levels], minimum=2) or levels > 256:
        raise ValueError(
            f"glcm_properties: levels={levels!r} must be a whole number from 2 to 256."
        )
    side = int(max(distances)) + 1
    planes = check_planes("glcm_properties", images, (side, side))
    mask = check_mask("glcm_properties", mask, planes.shape)
    features = np.empty((len(planes), len(distances) * len(ANGLES) * len(PROPERTIES)), np.float32)
    for index, plane in enumerate(planes):
        steps = plane.astype(np.uint16) * levels >> 8
        inside = None if mask is None else mask[index]
        counts = [
            _count_pairs(steps, offset, levels, inside)
            for distance in distances
            for offset in _offsets(distance)
        ]
        features[index] = _properties(np.stack(counts)).ravel()
    return features


def are_distinct_integers(values: Any, *, minimum: int, most: float = float("inf")) -> bool:
    """Return whether a value is a sequence of one or more different whole numbers."""
    try:
        found = list(values)
    except TypeError:
        return False
    are_whole = all(isinstance(v, int | np.integer) and v is not True for v in found)
    return (
        are_whole
        and len(set(found)) == len(found) > 0
        and minimum <= min(found) <= max(found) <= most
    )


def _offsets(distance: int) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns from one pixel of a pair to the other, for each angle."""
    for angle in np.deg2rad(ANGLES):
        yield round(distance * np.sin(angle)), round(distance * np.cos(angle))


def _count_pairs(
    steps: NDArray[np.uint16],
    offset: tuple[int, int],
    levels: int,
    inside: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Count each pair of steps, in both orders."""
    down, right = offset
    height, width = steps.shape
    columns = slice(max(-right, 0), width - max(right, 0))
    partners = slice(max(right, 0), width + min(right, 0))
    first = slice(0, height - down), columns
    second = slice(down, height), partners
    # Both steps in one number: at most 255 * 256 + 255, which is just within 16 bits.
    pairs = steps[first] * np.uint16(levels) + steps[second]
    pairs = pairs.ravel() if inside is None else pairs[inside[first] & inside[second]]
    counts = np.bincount(pairs, minlength=levels * levels).reshape(levels, levels)
    return counts + counts.T


@lru_cache(maxsize=8)
def _squared_differences(levels: int) -> NDArray[np.float64]:
    step = np.arange(levels, dtype=np.float64)
    return (step - step[:, np.newaxis]) ** 2


def _properties(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the properties of symmetric matrices of counts."""
    levels = counts.shape[1]
    shares = counts / np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    square = _squared_differences(levels)
    contrast = (shares * square).sum(axis=(1, 2))
    homogeneity = (shares / (1 + square)).sum(axis=(1, 2))
    energy = np.sqrt((shares * shares).sum(axis=(1, 2)))
    step, margin = np.arange(levels), shares.sum(axis=1)
    mean = (margin * step).sum(axis=1, keepdims=True)
    variance = (margin * (step - mean) ** 2).sum(axis=1)
    # Both pixels of a pair have the same mean and variance, as every pair counts in both orders;
    # so the contrast, the mean squared difference, is 2 * variance * (1 - correlation).
    ratio = np.divide(contrast, 2 * variance, out=np.zeros_like(contrast), where=variance > 1e-15)
    return np.stack([contrast, homogeneity, energy, 1 - ratio], axis=1)
