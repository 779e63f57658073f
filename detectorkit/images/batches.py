"""Batches of decoded images, worked on by threads, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.utils.parallel import map_in_order

__all__ = ["concatenate_batches", "iter_slices", "map_batches"]

BATCH_SIZE: Final = 64
"""Images that are decoded at a time by each worker."""


def iter_slices(n: int, size: int = BATCH_SIZE) -> Iterator[slice]:
    """Cut a range into slices.

    Parameters
    ----------
    n : int
        Length of the whole.
    size : int, default=BATCH_SIZE
        Length of a slice; the last may be shorter.

    Yields
    ------
    part : slice
        One after the other.
    """
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def map_batches(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    images: ImageSequence,
    preprocessing: Preprocessing,
    *,
    n_jobs: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[NDArray[Any]]:
    """Apply a function to batches of decoded images, in order and in bounded memory.

    Parameters
    ----------
    function : callable
        Takes an array of shape (n, height, width) or (n, height, width, 3) and returns an
        array of length n. It must be picklable for `n_jobs` to reach other machines.
    images : ImageSequence
        The images; those of one run of equal sizes go into one array.
    preprocessing : Preprocessing
        Colour and size wanted.
    n_jobs : int, default=None
        Number of threads, each decoding and computing its own batches. None means 1, or what
        `joblib.parallel_config` says; -1 means all processors. At most twice as many batches are
        in memory, however slowly the results are taken.
    batch_size : int, default=BATCH_SIZE
        Images in a batch. The batches do not depend on `n_jobs`.

    Yields
    ------
    result : ndarray
        The results of consecutive images.
    """
    process = partial(_process_batch, function, preprocessing)
    parts = (images[part] for part in iter_slices(len(images), batch_size))
    for results in map_in_order(process, parts, n_jobs=n_jobs):
        yield from results


def _process_batch(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    preprocessing: Preprocessing,
    images: ImageSequence,
) -> list[NDArray[Any]]:
    return [function(batch) for batch in images.read_stacked(preprocessing)]


def concatenate_batches(batches: Iterator[NDArray[np.float32]], n: int) -> NDArray[np.float32]:
    """Fill one array of known length; `numpy.concatenate` would hold everything twice.

    Parameters
    ----------
    batches : iterator of ndarray of shape (n_batch, ...)
        What `map_batches` gives.
    n : int
        The number of images in all.

    Returns
    -------
    whole : ndarray of shape (n, ...), dtype float32
        All of them.
    """
    first = next(batches)
    whole = np.empty((n, *first.shape[1:]), np.float32)
    whole[: len(first)] = first
    done = len(first)
    for batch in batches:
        whole[done : done + len(batch)] = batch
        done += len(batch)
    return whole
