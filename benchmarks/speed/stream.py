"""The streaming solver: as good as the exact one, and 100 000 files in bounded memory.

    python -m benchmarks speed-stream

Fits both solvers on the same 10 000 images and compares them on 4000 others; then fits the
streaming one on 100 000 paths (2000 files, fifty times each) in a process of its own and reads its
peak memory. The result is
benchmarks/results/speed_stream.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
from sklearn.metrics import accuracy_score, roc_auc_score

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, to_json, write_json
from benchmarks.machine import find_versions
from benchmarks.processes import run_apart
from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images

RESULT = RESULTS / "speed_stream.json"
CELLS = {"pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}

FIT = """
import json, sys, time
from pathlib import Path
from benchmarks.memory import peak_mb
from detectorkit import HoGSVMDetector
paths = sorted(str(path) for path in Path(sys.argv[1]).glob("*.jpg")) * 50
y = [int(Path(path).name[0]) for path in paths]
start = time.perf_counter()
HoGSVMDetector(C=0.001, n_jobs=2, random_state=0).fit(paths, y)
print(json.dumps([len(paths), time.perf_counter() - start, peak_mb()]))
"""


def compare() -> dict[str, Any]:
    """Fit both solvers on the same images."""
    train = make_upsampling_images(10_000, random_state=0)
    test = make_upsampling_images(4000, random_state=1)
    result: dict[str, Any] = {"n_train": 10_000, "n_test": 4000}
    for C in (0.0003, 0.001, 0.01):
        for solver in ("gram", "stream"):
            detector = HoGSVMDetector(C=C, solver=solver, **CELLS, n_jobs=2, random_state=0)
            start = time.perf_counter()
            detector.fit(train.data, train.target)
            seconds = time.perf_counter() - start
            scores = detector.decision_function(test.data)
            result[f"C={C}, {solver}"] = {
                "fit_seconds": seconds,
                "accuracy": accuracy_score(test.target, scores > 0),
                "roc_auc": roc_auc_score(test.target, scores),
            }
            print(C, solver, result[f"C={C}, {solver}"], flush=True)
    return result


def measure_memory() -> dict[str, Any]:
    """Fit on 100 000 paths."""
    with tempfile.TemporaryDirectory() as folder:
        data = make_upsampling_images(2000, random_state=0)
        for index, (image, label) in enumerate(zip(data.data, data.target, strict=True)):
            cv2.imwrite(str(Path(folder) / f"{label}-{index:04}.jpg"), image[..., ::-1])
        n, seconds, peak = run_apart("-c", FIT, folder)
    return {"n": n, "fit_seconds": seconds, "peak_mb": peak}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Compare the solvers, then measure the memory of the streaming one."""
    result = {
        "command": "python -m benchmarks speed-stream",
        "versions": find_versions("detectorkit", "numpy", "scikit-learn"),
        "comparison": compare(),
        "memory": measure_memory(),
    }
    print(to_json(result))
    write_json(arguments.output, result)
