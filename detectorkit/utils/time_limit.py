"""Calls of compiled code that may never return."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

__all__ = ["call_within"]

_Result = TypeVar("_Result")

_LOOK_SECONDS: Final = 0.2  # Windows does not interrupt a wait by Ctrl-C
_STOP_SECONDS: Final = 2.0
_RUNNING: Final[dict[threading.Thread, Callable[[], object]]] = {}


def call_within(
    seconds: float, function: Callable[[], _Result], *, stop: Callable[[], object]
) -> _Result:
    """Return what a function returns, or call `stop` and raise TimeoutError.

    Notes
    -----
    The function runs in a thread of its own, which costs 0.1 ms, so that Ctrl-C and the time limit
    reach the caller while compiled code runs. `stop` asks that code to return. If it does not, the
    thread is left behind: it keeps a core busy, and its memory, until the process ends.
    """
    found: list[_Result] = []
    failed: list[BaseException] = []

    def work() -> None:
        _RUNNING[thread] = stop
        try:
            found.append(function())
        except BaseException as error:  # noqa: BLE001  # raised again by the caller's thread
            failed.append(error)
        finally:
            _RUNNING.pop(thread, None)

    thread = threading.Thread(target=work, daemon=True)
    end = time.monotonic() + seconds
    thread.start()
    try:
        while thread.is_alive() and (rest := end - time.monotonic()) > 0:
            thread.join(min(rest, _LOOK_SECONDS))
        if thread.is_alive():
            raise TimeoutError(f"it did not end within {seconds:g} seconds.")
    finally:
        if thread.is_alive():
            stop()
            thread.join(_STOP_SECONDS)
    if failed:
        raise failed[0]
    return found[0]


def _alive() -> list[Callable[[], object]]:
    """Return what stops the calls that still run; those of the process before a fork do not."""
    return [stop for thread, stop in list(_RUNNING.items()) if thread.is_alive()]


@atexit.register
def _leave() -> None:
    """Stop what still runs; end at once if it cannot be stopped.

    Otherwise the process would crash, since compiled code runs on while its data are destroyed.
    """
    end = time.monotonic() + _STOP_SECONDS
    while (alive := _alive()) and time.monotonic() < end:
        for stop in alive:
            stop()
        time.sleep(0.01)
    if alive:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # absent or closed
                stream.flush()
        os._exit(1)
