"""The streaming solver: as good as the exact one, and 100 000 files in bounded memory.

    python benchmarks/speed/stream.py

Fits both solvers on the same 10 000 images and compares them on 4000 others; then fits the
streaming one on 100 000 paths (2000 files, fifty times each) in a process of its own and reads its
peak memory. The result is benchmarks/results/stream.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "stream.json"
CELLS = {"pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}

FIT = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from peak import peak_mb
from detectorkit import HoGSVMDetector
paths = sorted(str(path) for path in Path(sys.argv[1]).glob("*.jpg")) * 50
y = [int(Path(path).name[0]) for path in paths]
start = time.perf_counter()
HoGSVMDetector(C=0.001, n_jobs=2, random_state=0).fit(paths, y)
print(json.dumps([len(paths), time.perf_counter() - start, peak_mb()]))
"""


def compare() -> dict:
    """Fit both solvers on the same images."""
    train = make_upsampling_images(10_000, random_state=0)
    test = make_upsampling_images(4000, random_state=1)
    result: dict = {"n_train": 10_000, "n_test": 4000}
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


def measure_memory() -> dict:
    """Fit on 100 000 paths."""
    with tempfile.TemporaryDirectory() as folder:
        data = make_upsampling_images(2000, random_state=0)
        for index, (image, label) in enumerate(zip(data.data, data.target, strict=True)):
            cv2.imwrite(str(Path(folder) / f"{label}-{index:04}.jpg"), image[..., ::-1])
        command = [sys.executable, "-c", FIT, folder, str(HERE)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    n, seconds, peak = json.loads(done.stdout)
    return {"n": n, "fit_seconds": seconds, "peak_mb": peak}


if __name__ == "__main__":
    outcome = {
        "script": "benchmarks/speed/stream.py",
        "comparison": compare(),
        "memory": measure_memory(),
    }
    print(json.dumps(outcome, indent=1))
    RESULT.write_text(json.dumps(outcome, indent=1) + "\n")
    np.testing.assert_equal(outcome["memory"]["n"], 100_000)
