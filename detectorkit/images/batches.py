"""Batches of decoded images, processed by threads, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.utils.feature_cache import FeatureCache
from detectorkit.utils.parallel import map_in_order

__all__ = ["BATCH_SIZE", "concatenate_batches", "iter_slices", "map_batches"]

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
    cache: FeatureCache | None = None,
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
    cache : FeatureCache, default=None
        Cache of the results, which must then be rows of equal length. None computes all of them.

    Yields
    ------
    result : ndarray
        Result of the function for the next consecutive images.
    """
    process = partial(_process_batch, function, preprocessing, cache)
    parts = (images[part] for part in iter_slices(len(images), batch_size))
    try:
        for results in map_in_order(process, parts, n_jobs=n_jobs):
            yield from results
    finally:
        if cache is not None:
            cache.flush()


def _process_batch(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    preprocessing: Preprocessing,
    cache: FeatureCache | None,
    images: ImageSequence,
) -> list[NDArray[Any]]:
    if cache is None:
        return [function(batch) for batch in images.read_stacked(preprocessing)]
    keys = [images.key_of(index) for index in range(len(images))]
    rows = [None if key is None else cache.get(key) for key in keys]
    for is_known, run in groupby(range(len(rows)), lambda index: rows[index] is not None):
        if is_known:
            continue
        part = list(run)
        unknown = images[part[0] : part[-1] + 1].read_stacked(preprocessing)
        for index, row in zip(part, chain.from_iterable(map(function, unknown)), strict=True):
            rows[index], key = row, keys[index]
            if key is not None:
                cache.put(key, row)
    return [np.stack([row for row in rows if row is not None])]


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
