"""Batches of decoded images, processed by threads, in order and in bounded memory."""

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
"""Number of images that each worker decodes at a time."""


def iter_slices(n: int, size: int = BATCH_SIZE) -> Iterator[slice]:
    """Split the range from 0 to n into slices of equal length.

    Parameters
    ----------
    n : int
        Length of the range to split.
    size : int, default=BATCH_SIZE
        Length of each slice; the last may be shorter.

    Yields
    ------
    part : slice
        The next slice of the range.
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
        Function that takes an array of shape (n, height, width) or (n, height, width, 3) and
        returns an array of length n. It must be picklable where a backend of joblib runs it in
        other processes.
    images : ImageSequence
        The images. Consecutive images of equal size and type are stacked into one array.
    preprocessing : Preprocessing
        Colour space and size to which the images are converted.
    n_jobs : int, default=None
        Number of threads, each of which decodes and processes its own batches. None means 1
        unless in a `joblib.parallel_config` context; -1 means all processors. At most twice as
        many batches as threads are in memory, however slowly the results are taken.
    batch_size : int, default=BATCH_SIZE
        Number of images in a batch. The batches do not depend on `n_jobs`.

    Yields
    ------
    result : ndarray
        Result of the function for the next consecutive images.
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
    """Concatenate batches of known total length; `numpy.concatenate` needs twice the memory."""
    first = next(batches)
    whole = np.empty((n, *first.shape[1:]), np.float32)
    whole[: len(first)] = first
    done = len(first)
    for batch in batches:
        whole[done : done + len(batch)] = batch
        done += len(batch)
    return whole
