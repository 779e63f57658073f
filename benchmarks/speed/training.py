"""Training beyond memory: time and peak memory of the streaming fit, by the number of rows.

    python -m benchmarks speed-training

Writes rows of features as `cache_dir` keeps them, and fits the linear support vector machine on
them with `solve_stream`, each number of rows in a process of its own. The rows are random and have
the form of the default features of HoGSVMDetector: 225 blocks of 36 numbers, each normalised and
clipped, of both classes in the order of folders, with one label in ten wrong. The first rows are
also fitted in memory, with `solve_gram`, and the weights compared. The result is
benchmarks/results/speed_training.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, to_json, write_json
from benchmarks.machine import describe_machine, find_versions
from benchmarks.memory import peak_mb
from benchmarks.processes import run_apart
from detectorkit.heads.linear_svm import solve_gram, solve_stream
from detectorkit.utils.feature_cache import FeatureCache

RESULT = RESULTS / "speed_training.json"
N_FEATURES = 8100
C = 0.01  # of HoGSVMDetector
BATCH = 512


def draw_labels(n: int) -> NDArray[np.int64]:
    """Draw labels in the order of folders, one in ten of which is wrong."""
    y = (np.arange(n) >= n // 2).astype(np.int64)
    return np.where(np.random.default_rng(n).random(n) < 0.1, 1 - y, y)


def draw_rows(start: int, stop: int, n: int) -> NDArray[np.float32]:
    """Draw mixtures of 60 patterns with noise, whose class shifts each feature a little."""
    shared, own = np.random.default_rng(0), np.random.default_rng([n, start])
    patterns = shared.gamma(1.0, 1.0, (60, N_FEATURES)).astype(np.float32)
    shift = 0.05 * shared.normal(size=N_FEATURES).astype(np.float32)
    rows = own.dirichlet(np.full(60, 0.3), stop - start).astype(np.float32) @ patterns
    rows *= own.standard_gamma(2.0, rows.shape, np.float32)
    rows *= 1 + np.outer(np.where(np.arange(start, stop) >= n // 2, 1, -1), shift)
    blocks = rows.reshape(len(rows), 225, 36)
    for limit in (0.2, np.inf):  # as "L2-Hys" does
        blocks = np.minimum(blocks / np.linalg.norm(blocks, axis=2, keepdims=True), limit)
    return blocks.reshape(len(rows), N_FEATURES).astype(np.float32)


def key_of(row: int) -> bytes:
    """Return the key of a row."""
    return row.to_bytes(16, "big")


def write_cache(folder: Path, n: int) -> None:
    """Write the rows."""
    cache = FeatureCache(folder)
    for start in range(0, n, BATCH):
        stop = min(start + BATCH, n)
        for row, features in enumerate(draw_rows(start, stop, n), start):
            cache.put(key_of(row), features)
    cache.flush()


def read_batches(folder: Path, n: int) -> Iterator[NDArray[np.float32]]:
    """Read the rows in batches, as `fit` does."""
    cache = FeatureCache(folder)
    for start in range(0, n, 64):
        found = [cache.get(key_of(row)) for row in range(start, min(start + 64, n))]
        yield np.stack([row for row in found if row is not None])


def measure(start: float) -> dict[str, float]:
    """Return seconds since the start, those of the processor alone, and the peak memory."""
    return {
        "fit_seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time(),  # with the imports; other programs do not count
        "peak_mb": peak_mb(),
    }


def fit(folder: Path, n: int, output: Path) -> dict[str, Any]:
    """Fit on disk and keep the weights; return what it took."""
    start = time.perf_counter()
    random_state = np.random.RandomState(0)
    y = draw_labels(n)
    fitted = solve_stream(
        read_batches(folder, n), y, C=C, sample_weight=None, random_state=random_state
    )
    taken = {"n": n, **measure(start)}
    np.save(output, np.append(fitted.coef, fitted.intercept))
    held_out = np.mean((fitted.held_out_scores > 0) == y[fitted.held_out])
    return taken | {"held_out_accuracy": float(held_out)}


def compare(folder: Path, n: int, weights: Path) -> dict[str, Any]:
    """Fit the same rows in memory and compare the weights."""
    start = time.perf_counter()
    random_state = np.random.RandomState(0)
    features = np.concatenate(list(read_batches(folder, n)))
    exact = solve_gram(
        features, draw_labels(n), C=C, sample_weight=None, groups=None, random_state=random_state
    )
    taken = {"n": n, **measure(start)}
    *coef, intercept = np.load(weights)
    apart = np.linalg.norm(coef - exact.coef) / np.linalg.norm(exact.coef)
    return taken | {
        "relative_difference_of_weights": float(apart),
        "difference_of_intercepts": float(abs(intercept - exact.intercept)),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Fit each number of rows, and the first also in memory."""
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-training",
        "versions": find_versions("detectorkit", "numpy", "scikit-learn"),
        "machine": describe_machine(),
        "n_features": N_FEATURES,
        "C": C,
        "stream": [],
    }
    for n in arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            folder, weights = Path(name) / "cache", Path(name) / "weights.npy"
            write_cache(folder, n)
            size = sum(path.stat().st_size for path in folder.iterdir())
            taken = run_apart("-m", __name__, "fit", str(folder), str(n), str(weights))
            result["stream"].append({**taken, "cache_bytes_per_row": size / n})
            if "gram" not in result:
                result["gram"] = run_apart(
                    "-m", __name__, "compare", str(folder), str(n), str(weights)
                )
        print(to_json(result), flush=True)
    write_json(arguments.output, result)


if __name__ == "__main__":
    step, cached, count, file = sys.argv[1:]
    done = {"fit": fit, "compare": compare}[step](Path(cached), int(count), Path(file))
    print(json.dumps(done))
