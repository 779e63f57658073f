"""Tables of training beyond memory: what was measured, and the plan for more images."""

from __future__ import annotations

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import table
from benchmarks.pages.speed import load

__all__ = ["training", "training_difference", "training_plan"]

RESULT = RESULTS / "speed_training.json"
FLOAT16_ROW = 2 * 8100  # bytes, in the temporary file


def training() -> str:
    """Return time and memory of the streaming fit, and of the one in memory."""
    found = read_json(RESULT)
    rows = [
        [
            f"{one['n']}, {solver}",
            f"{one['processor_seconds']:.0f} s",
            f"{one['processor_seconds'] / one['n'] * 1000:.2f} ms",
            f"{one['peak_mb']:.0f} MB",
        ]
        for solver, fits in (("stream", found["stream"]), ("gram", [found["gram"]]))
        for one in fits
    ]
    return table(["rows, solver", "processor time", "for a row", "memory at the peak"], rows)


def training_difference() -> str:
    """Return how far the weights of both solvers are apart."""
    return f"{read_json(RESULT)['gram']['relative_difference_of_weights']:.1e}"


def training_plan() -> str:
    """Return what more images take, in proportion to the largest measured numbers."""
    first, *_, last = read_json(RESULT)["stream"]
    per_row = last["processor_seconds"] / last["n"]
    growth = (last["peak_mb"] - first["peak_mb"]) / (last["n"] - first["n"])
    per_image = load()["hog"]["us_per_image"]["files_two_threads"] / 1e6
    rows = [
        [
            f"{n / 1e6:.0f} million",
            f"{n * per_image / 3600:.1f} h",
            f"{n * last['cache_bytes_per_row'] / 1e9:.0f} GB",
            f"{n * FLOAT16_ROW / 1e9:.0f} GB",
            f"{n * per_row / 3600:.1f} h",
            f"{(last['peak_mb'] + growth * (n - last['n'])) / 1000:.1f} GB",
        ]
        for n in (10**6, 10**7, 10**8)
    ]
    headings = [
        "files",
        "features, two cores",
        "cache",
        "temporary file",
        "fit, one core",
        "memory",
    ]
    return table(headings, rows)
