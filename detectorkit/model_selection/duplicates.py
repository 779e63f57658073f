"""Find copies of one picture that differ in size, compression or small edits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detectorkit.images.batches import map_batches
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images
from detectorkit.utils.progress import track

__all__ = ["MAX_DISTANCE", "near_duplicate_groups", "perceptual_hash"]

MAX_DISTANCE = 24
"""Maximum number of the 255 bits in which two copies of a picture may differ.

On the faces of five collections, 95 % of the copies of one photograph at other sizes and JPEG
qualities differ from it in 4 bits or fewer. Different aligned faces differ in 32 bits or more, and
unrelated pictures in 80. Strong compression of a picture with little detail can change more bits.
"""

_WORKING = Preprocessing((64, 64), "gray")
_FREQUENCIES = 16
_BLOCK = 2048


def perceptual_hash(
    X: Any, *, n_jobs: int | None = None, verbose: bool = False
) -> NDArray[np.bool_]:
    """Compute a hash of 255 bits for each picture that survives resizing and compression.

    Parameters
    ----------
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    n_jobs : int, default=None
        Number of threads; -1 means all processors.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    hashes : ndarray of shape (n_samples, 255), dtype bool
        Whether each of the lowest spatial frequencies of the picture, at 64 x 64 grey, is above
        their median.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.

    Notes
    -----
    This is pHash [1]_ with 16 x 16 frequencies in place of 8 x 8: faces that are aligned in the
    same way have the lowest frequencies in common.

    References
    ----------
    .. [1] Zauner, C. (2010). Implementation and benchmarking of perceptual image hash
       functions. https://www.phash.org/docs/pubs/thesis_zauner.pdf
    """
    images = check_images(X, caller="perceptual_hash")
    parts = map_batches(_low_frequency_bits, images, _WORKING, n_jobs=n_jobs)
    return np.concatenate(list(track("Comparing pictures", parts, len(images), show=verbose)))


def _low_frequency_bits(batch: NDArray[Any]) -> NDArray[np.bool_]:
    spectrum = dctn(batch.astype(np.float64), axes=(1, 2))[:, :_FREQUENCIES, :_FREQUENCIES]
    values = spectrum.reshape(len(batch), -1)[:, 1:]  # without the mean
    return values > np.median(values, axis=1, keepdims=True)


def near_duplicate_groups(
    hashes: NDArray[np.bool_], *, max_distance: int = MAX_DISTANCE
) -> NDArray[np.int64]:
    """Find copies of one picture among hashes, and give them the same group number.

    Parameters
    ----------
    hashes : ndarray of shape (n_samples, n_bits), dtype bool
        Hashes of the pictures, as `perceptual_hash` returns them.
    max_distance : int, default=24
        Maximum number of bits in which two copies may differ.

    Returns
    -------
    groups : ndarray of shape (n_samples,)
        Number of the group of each picture, from 0. Groups are joined by chains: if A is near B
        and B is near C, all three are in one group.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.datasets import near_duplicate_groups, perceptual_hash
    >>> images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    >>> images[2] = images[0]
    >>> near_duplicate_groups(perceptual_hash(images))
    array([0, 1, 0])
    """
    signs = np.where(hashes, np.float32(1), np.float32(-1))
    n, n_bits = signs.shape
    starts = range(0, n, _BLOCK)
    pairs = []
    for top, left in ((top, left) for top in starts for left in starts if left >= top):
        # The product of two rows of signs is the number of bits minus twice their distance.
        product = signs[top : top + _BLOCK] @ signs[left : left + _BLOCK].T
        pairs.append(np.argwhere(product >= n_bits - 2 * max_distance) + np.array([top, left]))
    row, col = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(row), bool), (row, col)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
