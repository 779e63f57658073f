"""Calls of code that may never return."""

import threading
import time

import pytest

from detectorkit.utils.time_limit import call_within


def test_what_returns_in_time_is_returned_or_raised():
    assert call_within(5, lambda: 3, stop=pytest.fail) == 3
    with pytest.raises(ZeroDivisionError):
        call_within(5, lambda: 1 / 0, stop=pytest.fail)


def test_what_does_not_is_stopped():
    stopped = threading.Event()
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not end within 0\.1 seconds"):
        call_within(0.1, stopped.wait, stop=stopped.set)
    assert stopped.is_set()
    assert time.monotonic() - start < 1
