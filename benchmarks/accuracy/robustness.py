"""What changed files do to the verdicts of a detector, and how fast that is measured.

    python benchmarks/accuracy/robustness.py DATA --detector hog-svm

The detector is trained on the training part of protocol A: photographs and StyleGAN faces that went
through the same hands, as found. All default perturbations are then applied to 1000 images, half of
each class: the 440 of the validation and test parts, and 560 of other generators and collections,
which the detector has not seen. Nothing is chosen by the result. The report is timed, and so is the
consistency check on the same images. The result is benchmarks/results/robustness_NAME.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from protocols import DETECTORS, RESULTS, Data, describe, make_trials

from detectorkit.evaluation import (
    RobustnessReport,
    abstention_metrics,
    consistency_check,
    robustness_report,
)

N_IMAGES = 1000


def choose(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the indices of the training images, of the held-out ones and of the others."""
    (trial,) = make_trials(data)["A"]
    held_out = np.concatenate([trial.val, trial.test["self"]])
    known = np.isin(data.origin, data.origin[trial.train])
    random, others = np.random.RandomState(0), []
    for label in (0, 1):
        pool = np.flatnonzero(~known & (data.y == label))
        n = N_IMAGES // 2 - int(np.sum(data.y[held_out] == label))
        others.append(random.choice(pool, n, replace=False))
    return trial.train, held_out, np.concatenate(others)


def measure(detector: Any, paths: list, y: np.ndarray, repeats: int) -> tuple[dict, Any]:
    """Time the report and the consistency check; give what they say."""
    seconds: dict[str, list[float]] = {"report": [], "consistency": []}
    for _ in range(repeats):
        start = time.perf_counter()
        report = robustness_report(detector, paths, y, n_jobs=-1, progress=True)
        report.to_dict()
        seconds["report"].append(time.perf_counter() - start)
        start = time.perf_counter()
        verdicts = consistency_check(detector, paths, n_jobs=-1).verdicts
        seconds["consistency"].append(time.perf_counter() - start)
    consistency = {k: v.to_dict() for k, v in abstention_metrics(y, verdicts).items()}
    return {"seconds": seconds, "consistency_check": consistency}, report


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    name = arguments.detector
    output = arguments.output or RESULTS / f"robustness_{name.replace('-', '_')}.json"
    data = Data(arguments.data)
    train, held_out, others = choose(data)
    detector = DETECTORS[name]().fit([data.paths[i] for i in train], data.y[train])
    chosen = np.concatenate([held_out, others])
    y, n = data.y[chosen], len(held_out)
    timed, report = measure(detector, [data.paths[i] for i in chosen], y, arguments.repeats)
    parts = {
        label: RobustnessReport(report.names, y[part], report.scores[:, part], report.threshold)
        for label, part in (("known", slice(0, n)), ("unknown", slice(n, None)))
    }
    command = f"python benchmarks/accuracy/robustness.py DATA --detector {name}"
    result = describe(name, DETECTORS[name](), data, command) | {
        "schema": "detectorkit robustness 1",
        "script": "benchmarks/accuracy/robustness.py",
        "n_train": len(train),
        "n_perturbations": len(report.names) - 1,
        "n_images": len(y),
        "cores": os.cpu_count(),
        **timed,
        **{label: part.to_dict() for label, part in parts.items()},
    }
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    partial.replace(output)
    for label, part in parts.items():
        print(f"{label}: {part.to_text()}\n")
    print(json.dumps(timed, indent=1))


if __name__ == "__main__":
    main()
