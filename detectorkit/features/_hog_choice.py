"""Choice between the two counters of HoG: in numpy, or compiled where numba is installed.

Both compute the same features to the last bit, so the choice changes only the speed. Importing
numba and the compiled code takes about half a second, and some seconds on a machine's first time;
so it is put off until a process has counted enough pixels for this to be worthwhile.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Final

from detectorkit.features._hog_numpy import CellCounter, IntegerCounter

__all__ = ["choose_counter", "compile_counter"]

PATIENCE: Final = 4096 * 128 * 128
"""Number of 8-bit pixels that a process counts in numpy before it turns to numba."""

_MAX_ORIENTATIONS: Final = 2**16


class _State:
    """State of the choice, shared by all threads of the process."""

    def __init__(self) -> None:
        self.n_pixels = 0
        self.compiled: type[CellCounter] | None = None
        self.is_settled = False  # whether the choice is final
        self.lock = threading.Lock()


_state = _State()


def choose_counter(n_pixels: int, orientations: int) -> type[CellCounter]:
    """Choose the counter class for a number of 8-bit pixels."""
    if not _state.is_settled:
        _state.n_pixels += n_pixels
        # One thread compiles while the others go on in numpy.
        if _state.n_pixels > PATIENCE and _state.lock.acquire(blocking=False):
            try:
                _settle()
            finally:
                _state.lock.release()
    if _state.compiled is None or orientations > _MAX_ORIENTATIONS:
        return IntegerCounter
    return _state.compiled


def compile_counter() -> bool:
    """Turn to the compiled counter now, if numba is installed."""
    with _state.lock:
        _settle()
    return _state.compiled is not None


def _settle() -> None:
    if _state.is_settled:
        return
    if find_spec("numba") is not None:
        try:
            from detectorkit.features._hog_compiled import CompiledCounter
        except ImportError:  # numba does not support this version of numpy, or is broken
            pass
        else:
            _state.compiled = CompiledCounter
    _state.is_settled = True
