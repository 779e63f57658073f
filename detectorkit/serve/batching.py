"""Items that come one by one, worked on several at a time in one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

__all__ = ["Batcher"]

Item = TypeVar("Item")

_PATIENCE: Final = 0.005  # seconds in which a batch may fill


class Batcher(Generic[Item]):
    """Collects items into batches, and runs a function on each batch in a thread of its own.

    Parameters
    ----------
    function : callable
        Takes a list of items; returns a list of results, of which some may be exceptions.
    size : int
        Greatest number of items in a batch.
    n_coming : callable
        Returns the number of items that are here or on their way. Nothing waits for others
        where there are none.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item]], list[Any]],
        size: int,
        n_coming: Callable[[], int],
    ) -> None:
        self._function = function
        self._size = size
        self._n_coming = n_coming
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Any]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")

    async def __call__(self, item: Item) -> Any:
        """Return the result for an item, or raise its exception."""
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def work(self) -> None:
        """Work until this is cancelled."""
        try:
            while True:
                batch = await self._collect()
                if batch:
                    await self._run(batch)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _collect(self) -> list[tuple[Item, asyncio.Future[Any]]]:
        batch = [await self._queue.get()]
        if 1 + self._queue.qsize() < min(self._size, self._n_coming()):
            await asyncio.sleep(_PATIENCE)
        while len(batch) < self._size and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return [pair for pair in batch if not pair[1].done()]  # nobody waits for the others

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Any]]]) -> None:
        loop = asyncio.get_running_loop()
        items = [item for item, _ in batch]
        try:
            results = await loop.run_in_executor(self._thread, self._function, items)
        except Exception as error:  # noqa: BLE001 - whoever waits for a result gets it
            results = [error] * len(batch)
        for result, (_, future) in zip(results, batch, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
