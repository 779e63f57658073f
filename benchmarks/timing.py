"""Times of functions that take turns, so that what else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def take_turns(
    runs: int, functions: Mapping[Key, Callable[[], object]], *, pause: float = 0.0
) -> dict[Key, float]:
    """Return the median seconds of each function.

    The first turn warms up. With a pause before each, threads that look out for more work for a
    while, as those of onnxruntime and torch, have gone to sleep.
    """
    times: dict[Key, list[float]] = {key: [] for key in functions}
    for _ in range(runs + 1):
        for key, function in functions.items():
            time.sleep(pause)
            start = time.perf_counter()
            function()
            times[key].append(time.perf_counter() - start)
    return {key: statistics.median(values[1:]) for key, values in times.items()}


def per_image(
    runs: int, n_images: int, functions: Mapping[Key, Callable[[], object]]
) -> dict[Key, float]:
    """Return the median milliseconds an image of functions that go over the same images."""
    seconds = take_turns(runs, functions)
    return {key: round(value / n_images * 1000, 4) for key, value in seconds.items()}
