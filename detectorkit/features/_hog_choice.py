"""Which of the two ways HoG's cells are counted: in numpy, or compiled where numba is installed.

Both give the same features to the last bit, so the choice changes times only. Importing numba and
the compiled code takes about half a second, and some seconds on a machine's first time; so it is
put off until a process has seen so many pixels that the time is likely to come back.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Final

from detectorkit.features._hog_numpy import CellCounter, IntegerCounter

__all__ = ["choose_counter", "compile_counter"]

PATIENCE: Final = 4096 * 128 * 128
"""Pixels of 8-bit images that a process counts in numpy before it turns to numba."""

_MAX_ORIENTATIONS: Final = 2**16


class _State:
    """What this process knows; one for all threads."""

    def __init__(self) -> None:
        self.n_pixels = 0
        self.compiled: type[CellCounter] | None = None
        self.is_settled = False  # nothing is left to try
        self.lock = threading.Lock()


_state = _State()


def choose_counter(n_pixels: int, orientations: int) -> type[CellCounter]:
    """Choose the counter of a number of 8-bit pixels.

    Parameters
    ----------
    n_pixels : int
        Number of pixels that are to be counted now.
    orientations : int
        Number of orientation bins.

    Returns
    -------
    kind : type
        The class of the counter.
    """
    if not _state.is_settled:
        _state.n_pixels += n_pixels
        # One thread compiles; the others go on in numpy meanwhile.
        if _state.n_pixels > PATIENCE and _state.lock.acquire(blocking=False):
            try:
                _settle()
            finally:
                _state.lock.release()
    if _state.compiled is None or orientations > _MAX_ORIENTATIONS:
        return IntegerCounter
    return _state.compiled


def compile_counter() -> bool:
    """Turn to numba now.

    Returns
    -------
    is_compiled : bool
        Whether it could be imported.
    """
    with _state.lock:
        _settle()
    return _state.compiled is not None


def _settle() -> None:
    if _state.is_settled:
        return
    if find_spec("numba") is not None:
        try:
            from detectorkit.features._hog_compiled import CompiledCounter
        except ImportError:  # numba does not take this version of numpy, or is broken
            pass
        else:
            _state.compiled = CompiledCounter
    _state.is_settled = True
