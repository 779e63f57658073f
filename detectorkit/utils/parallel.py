"""Parallel work by threads or by joblib, in order and in bounded memory."""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from numbers import Integral
from threading import get_ident
from typing import Any, Final, TypeVar

__all__ = ["count_threads", "map_ahead", "map_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_WINDOW: Final = 4  # items per worker that are dispatched at a time, with other backends of joblib

_MAX_THREADS: Final = 64  # on machines with fewer processors, where more threads only cost memory


def count_threads(n_jobs: int | None) -> int:
    """Return the number of threads that `n_jobs` means, at most 64 or one for each processor.

    Examples
    --------
    >>> from detectorkit.utils.parallel import count_threads
    >>> count_threads(2), count_threads(100_000) <= 10_000
    (2, True)
    """
    from joblib import effective_n_jobs

    _check_n_jobs(n_jobs)
    return _bounded(effective_n_jobs(n_jobs))


def _check_n_jobs(n_jobs: Any) -> None:
    if n_jobs is not None and not isinstance(n_jobs, Integral):
        raise ValueError(
            f"n_jobs={n_jobs!r} must be None or a whole number. -1 means all processors."
        )


def _bounded(n_threads: int) -> int:
    return min(n_threads, max(_MAX_THREADS, os.cpu_count() or 1))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, n_jobs: int | None = None
) -> Iterator[Result]:
    """Apply a function to items in parallel, as `joblib.parallel_config` says.

    Notes
    -----
    joblib starts the next item when one is finished, not when its result is taken, so that all
    results may accumulate in memory if the consumer is slow. Here at most two items per thread are
    started before their results are taken; with other backends, four per worker.

    On a cluster of dask, the function with all it holds, such as a model, travels once to each
    worker. What a lost worker was doing is done again by others.
    """
    _check_n_jobs(n_jobs)
    if n_jobs in {None, 1} and "joblib" not in sys.modules:
        # Without joblib there cannot be a `parallel_config`, so it need not be imported.
        yield from map(function, items)
        return
    from joblib import Parallel, delayed
    from joblib.parallel import SequentialBackend, ThreadingBackend, get_active_backend

    backend, configured = get_active_backend(prefer="threads")
    n_workers = backend.effective_n_jobs(configured if n_jobs is None else n_jobs)
    if not isinstance(backend, SequentialBackend | ThreadingBackend):
        client = getattr(backend, "client", None)
        if client is not None:
            yield from _map_on_cluster(client, function, items, n_ahead=_WINDOW * n_workers)
            return
        form = "generator" if backend.supports_return_generator else "list"
        parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as=form)
        remaining = iter(items)
        while window := list(islice(remaining, _WINDOW * n_workers)):
            yield from parallel(delayed(function)(item) for item in window)
    elif n_workers == 1:
        yield from map(function, items)
    else:
        n_threads = _bounded(n_workers)
        yield from map_ahead(function, items, n_threads=n_threads, n_ahead=2 * n_threads)


def _map_on_cluster(
    client: Any, function: Callable[[Item], Result], items: Iterable[Item], *, n_ahead: int
) -> Iterator[Result]:
    """Apply a function to items on the workers of a client of dask."""
    from distributed.worker import thread_state

    if hasattr(thread_state, "execution_state"):
        # Already on a worker, such as in a fold of a cross-validation: a task that waits for
        # others takes the place of one of them.
        yield from map(function, items)
        return
    waiting: deque[Any] = deque()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # it is large: a model
        # The result of a task and not scattered data, which would be lost with the last worker
        # that has it.
        shared = client.submit(_same, function, pure=False)
    try:
        for item in items:
            waiting.append(client.submit(partial(_call, item), shared, pure=False))
            if len(waiting) == n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        client.cancel([*waiting, shared])


def _same(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return function


def _call(item: Item, function: Callable[[Item], Result]) -> Result:
    return function(item)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, n_threads: int, n_ahead: int
) -> Iterator[Result]:
    """Apply a function to items in threads that are at most `n_ahead` items ahead."""
    waiting: deque[Future[Result]] = deque()
    consumer = get_ident()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except KeyboardInterrupt:
        consumer = -1  # who stops the work does not want to wait for what is begun
        raise
    finally:
        # A generator that is garbage-collected may be closed in one of the pool's own threads,
        # which cannot wait for itself.
        pool.shutdown(wait=get_ident() == consumer, cancel_futures=True)
