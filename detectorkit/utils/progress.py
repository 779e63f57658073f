"""What long work says of its progress, on standard error."""

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
    """Show how far a piece of work is; nothing where it takes less than a second.

    Parameters
    ----------
    what : str
        What is being done.
    total : int
        Number of steps.
    show : bool
        Whether to show anything. Where standard error is no terminal, only the end is said.

    Yields
    ------
    advance : callable
        To be called with the number of steps just done.
    """
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
    """Write the figures of an epoch of training in a line.

    Parameters
    ----------
    title : str
        Which epoch.
    figures : mapping of str to float
        Losses and the like.
    """
    text = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items())
    sys.stderr.write(f"{title}: {text}\n")
    sys.stderr.flush()


def track(what: str, parts: Iterable[Part], total: int, *, show: bool) -> Iterator[Part]:
    """Show how far an iteration over parts of something is.

    Parameters
    ----------
    what : str
        What is being done.
    parts : iterable of sized
        The parts; the length of each counts.
    total : int
        The length of all together.
    show : bool
        Whether to show anything.

    Yields
    ------
    part : sized
        One after the other.
    """
    with progress_bar(what, total, show=show) as advance:
        for part in parts:
            advance(len(part))
            yield part
