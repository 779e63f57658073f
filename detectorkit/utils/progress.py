"""Progress of long work, shown on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["progress_bar", "report_epoch", "track"]

Part = TypeVar("Part", bound=Sized)

_WIDTH = 30
_INTERVAL = 0.1  # seconds between two drawings
_PATIENCE = 1.0  # seconds of work before anything is shown


@contextmanager
def progress_bar(what: str, total: int, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar, if the work takes more than a second."""
    done = 0
    begin = shown = time.monotonic()
    on_terminal = sys.stderr.isatty()

    def advance(steps: int) -> None:
        nonlocal done, shown
        done += steps
        now = time.monotonic()
        if show and on_terminal and now - begin > _PATIENCE and now - shown > _INTERVAL:
            shown = now
            full = _WIDTH * done // max(total, 1)
            left = (now - begin) * (total - done) / done
            bar = "#" * full + "." * (_WIDTH - full)
            sys.stderr.write(f"\r{what} [{bar}] {done}/{total}, {left:.0f} s left ")
            sys.stderr.flush()

    yield advance
    seconds = time.monotonic() - begin
    if show and seconds > _PATIENCE:
        start = "\r" if on_terminal else ""
        end = " " * _WIDTH if on_terminal else ""
        sys.stderr.write(f"{start}{what}: {done} in {seconds:.1f} s{end}\n")


def report_epoch(title: str, figures: Mapping[str, float]) -> None:
    """Write the losses and other values of an epoch of training in one line."""
    text = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items())
    sys.stderr.write(f"{title}: {text}\n")
    sys.stderr.flush()


def track(what: str, parts: Iterable[Part], total: int, *, show: bool) -> Iterator[Part]:
    """Show a progress bar for an iteration over parts, each of which counts by its length."""
    with progress_bar(what, total, show=show) as advance:
        for part in parts:
            advance(len(part))
            yield part
