"""Work shared among threads, or by joblib, in order and in bounded memory."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import get_ident
from typing import Final, TypeVar

__all__ = ["map_ahead", "map_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_WINDOW: Final = 4  # items a worker of another backend is given before the next are dispatched


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, n_jobs: int | None = None
) -> Iterator[Result]:
    """Apply a function to items, some at a time, as joblib is configured.

    Parameters
    ----------
    function : callable
        Takes an item. It must be picklable for `n_jobs` to reach other machines.
    items : iterable
        What it is applied to; not taken before it is their turn.
    n_jobs : int, default=None
        Number of threads. None means 1, or what `joblib.parallel_config` says; -1 means all
        processors. Where `parallel_config` names another backend, such as "loky" or "dask",
        the work is done there.

    Yields
    ------
    result : object
        One for each item, in their order. An error of the function is raised in its place.

    Notes
    -----
    joblib begins the next piece of work when one is done, not when its result is taken, so that
    all results may wait in memory for a slow consumer. Here at most twice as many items as there
    are threads are begun and not taken; of other backends, four times as many as workers.
    """
    if n_jobs in {None, 1} and "joblib" not in sys.modules:
        # There is no `parallel_config` that could say more, so joblib need not be imported.
        yield from map(function, items)
        return
    from joblib import Parallel, delayed
    from joblib.parallel import SequentialBackend, ThreadingBackend, get_active_backend

    backend, configured = get_active_backend(prefer="threads")
    n_workers = backend.effective_n_jobs(configured if n_jobs is None else n_jobs)
    if not isinstance(backend, SequentialBackend | ThreadingBackend):
        form = "generator" if backend.supports_return_generator else "list"
        parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as=form)
        remaining = iter(items)
        while window := list(islice(remaining, _WINDOW * n_workers)):
            yield from parallel(delayed(function)(item) for item in window)
    elif n_workers == 1:
        yield from map(function, items)
    else:
        yield from map_ahead(function, items, n_threads=n_workers, n_ahead=2 * n_workers)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, n_threads: int, n_ahead: int
) -> Iterator[Result]:
    """Apply a function to items by threads that are a little ahead of the consumer.

    Parameters
    ----------
    function : callable
        Takes an item.
    items : iterable
        What it is applied to; not taken before it is their turn.
    n_threads : int
        Number of threads.
    n_ahead : int
        Greatest number of items that are begun and whose results are not taken.

    Yields
    ------
    result : object
        One for each item, in their order. An error of the function is raised in its place. When
        this generator ends or is closed, no thread is left at work.
    """
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
    finally:
        # If it is forgotten, the interpreter may close it in one of its own threads, for which it
        # cannot wait there.
        pool.shutdown(wait=get_ident() == consumer, cancel_futures=True)
