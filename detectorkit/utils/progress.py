"""Progress of long work and messages, shown on standard error, if there is one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from typing import TypeVar

from detectorkit.utils.text import printable

__all__ = ["on_terminal", "progress_bar", "report_epoch", "tell", "track"]

Part = TypeVar("Part", bound=Sized)

_WIDTH = 30
_INTERVAL = 0.1  # seconds between two drawings
_PATIENCE = 1.0  # seconds of work before anything is shown


def tell(text: str) -> None:
    """Write a line to standard error, with control characters escaped."""
    _write(f"{printable(text)}\n")


def on_terminal() -> bool:
    """Return whether standard error is a terminal; programs without a console have none at all."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def _write(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # a full disk or a closed file: the work goes on
            sys.stderr.write(text)
            sys.stderr.flush()


@contextmanager
def progress_bar(
    what: str, total: int | Callable[[], int | None], *, show: bool
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar, if the work takes more than a second.

    A `total` that is found out meanwhile is a function, which returns None until it is known.
    """
    done = 0
    begin = shown = time.monotonic()
    is_live = show and on_terminal()

    def advance(steps: int) -> None:
        nonlocal done, shown
        done += steps
        now = time.monotonic()
        if is_live and now - begin > _PATIENCE and now - shown > _INTERVAL:
            shown = now
            _write(f"\r{what} {_describe(done, total, now - begin)} ")

    yield advance
    seconds = time.monotonic() - begin
    if show and seconds > _PATIENCE:
        start, end = ("\r", " " * _WIDTH) if is_live else ("", "")
        _write(f"{start}{what}: {done} in {seconds:.1f} s{end}\n")


def _describe(done: int, total: int | Callable[[], int | None], seconds: float) -> str:
    known = total() if callable(total) else total
    rate = f"{done / seconds:.3g} a second"
    if known is None:
        return f"{done}, {rate}"
    full = min(_WIDTH * done // max(known, 1), _WIDTH)
    left = seconds * max(known - done, 0) / max(done, 1)
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {done}/{known}, {rate}, {left:.0f} s left"


def report_epoch(title: str, figures: Mapping[str, float]) -> None:
    """Write the losses and other values of an epoch of training in one line."""
    text = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items())
    tell(f"{title}: {text}")


def track(what: str, parts: Iterable[Part], total: int, *, show: bool) -> Iterator[Part]:
    """Show a progress bar for an iteration over parts, each of which counts by its length."""
    with progress_bar(what, total, show=show) as advance:
        for part in parts:
            advance(len(part))
            yield part
