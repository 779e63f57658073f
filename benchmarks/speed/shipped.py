"""Measure what the detectors that come along cost: time and size of each.

    python -m benchmarks speed-shipped DATA

The files are 100 of protocol E, as they are; a detector is loaded before and reads, treats and
judges them one after the other. "ms_per_image" is the time of one processor on one thread, the
least of three runs; "wall_ms_per_image" that of `predict` with as many threads as the machine has
cores. "bytes" are those of all files of a detector. The result is
benchmarks/results/speed_shipped.json, and detectorkit/models/speed.csv for ``detectorkit models``.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.accuracy.ship import N_TIMED
from benchmarks.accuracy.source_images import SourceImages
from benchmarks.arguments import add_data
from benchmarks.files import MODELS, RESULTS, write_json, write_text
from benchmarks.machine import describe_machine, find_versions
from detectorkit import load_detector
from detectorkit.graph.record import ModelRecord
from detectorkit.models import SHIPPED_BACKBONES

RESULT = RESULTS / "speed_shipped.json"
SPEEDS = MODELS / "speed.csv"
N_RUNS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure all detectors, and write the result."""
    paths = SourceImages(arguments.data).paths
    timed = paths[:: max(1, len(paths) // N_TIMED)][:N_TIMED]
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-shipped DATA",
        "machine": describe_machine(),
        "versions": find_versions("python", "detectorkit", "numpy", "onnxruntime"),
        "n_images": len(timed),
        "detectors": {},
    }
    for path in sorted(MODELS.glob("*.onnx")):
        alone, together = load_detector(path, n_jobs=1), load_detector(path, n_jobs=-1)
        one = least(time.process_time, partial(alone.predict, timed))
        all_ = least(time.perf_counter, partial(together.predict, timed))
        row = {
            "ms_per_image": round(one / len(timed), 1),
            "wall_ms_per_image": round(all_ / len(timed), 1),
            "bytes": path.stat().st_size + bytes_beside(alone.record_),
        }
        print(path.stem, row, flush=True)
        result["detectors"][path.stem] = row
    write_json(RESULT, result)
    write_text(SPEEDS, speed_table(result["detectors"]))


def least(clock: Callable[[], float], work: Callable[[], object]) -> float:
    """Return the milliseconds of the fastest run, as other programs only add to it."""
    seconds = []
    for _ in range(N_RUNS):
        start = clock()
        work()
        seconds.append(clock() - start)
    return 1000 * min(seconds)


def bytes_beside(record: ModelRecord) -> int:
    """Return the size of the backbone in a file of its own that a detector refers to."""
    beside = SHIPPED_BACKBONES / f"{record.backbone.name if record.backbone else ''}.onnx"
    return beside.stat().st_size if beside.exists() else 0


def speed_table(detectors: dict[str, dict[str, Any]]) -> str:
    """Return the times as CSV: name, ms_per_image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "ms_per_image"])
    writer.writerows([name, row["ms_per_image"]] for name, row in sorted(detectors.items()))
    return text.getvalue()
