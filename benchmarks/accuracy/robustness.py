"""What changed files do to the verdicts of a detector, and how fast that is measured.

    python -m benchmarks robustness DATA --detector hog-svm

The detector is trained on the training part of protocol A: photographs and StyleGAN faces that went
through the same hands, as found. All default perturbations are then applied to 1000 images, half of
each class: the 440 of the validation and test parts, and 560 of other generators and collections,
which the detector has not seen. Nothing is chosen by the result. The report is timed, and so is the
consistency check on the same images. The result is benchmarks/results/robustness_NAME.json.

With --sources N, the detector is trained without an eighth of the sources of protocol E, with the
weights of what is shipped, and N images of these sources are changed, as many of each class.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.describe import PACKAGES, describe, describe_detector
from benchmarks.accuracy.detectors import DETECTORS
from benchmarks.accuracy.ship import origin_weights
from benchmarks.accuracy.source_images import SourceImages
from benchmarks.arguments import add_data, add_repeats
from benchmarks.files import CACHE, RESULTS, write_json
from benchmarks.machine import find_versions
from detectorkit import load_detector
from detectorkit.evaluation import (
    RobustnessReport,
    abstention_metrics,
    consistency_check,
    robustness_report,
)
from detectorkit.evaluation.cross_source import SourceData

N_IMAGES = 1000
SHIFTS = ("relative_shift_real", "relative_shift_generated")
RATES = ("false_positive_rate", "true_positive_rate", "roc_auc")


def choose(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the indices of the training images, of the held-out ones and of the others."""
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
    """Time the report and the consistency check; return what they say."""
    seconds: dict[str, list[float]] = {"report": [], "consistency": []}
    for _ in range(repeats):
        start = time.perf_counter()
        report = robustness_report(detector, paths, y, n_jobs=-1, verbose=True)
        report.to_dict()
        seconds["report"].append(time.perf_counter() - start)
        start = time.perf_counter()
        verdicts = consistency_check(detector, paths, n_jobs=-1).verdicts
        seconds["consistency"].append(time.perf_counter() - start)
    consistency = abstention_metrics(y, verdicts)
    return {"seconds": seconds, "consistency_check": consistency}, report


def shorten(report: RobustnessReport) -> dict[str, Any]:
    """Keep what the documentation shows: values of the shifts, and rates with their intervals."""
    content = report.to_dict()
    rows = [
        {"name": row["name"]}
        | {key: row[key]["value"] for key in SHIFTS}
        | {key: list(row[key].values()) for key in RATES}
        for row in content["rows"]
    ]
    kept = ("n", "n_real", "n_generated", "threshold", "spread")
    return {key: content[key] for key in kept} | {"rows": rows}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    add_repeats(parser, 2)
    parser.add_argument("--sources", type=int, metavar="N", help="change N images of new sources")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of features, with --sources")


def run(arguments: argparse.Namespace) -> None:
    """Train a detector, then change images of both classes."""
    if arguments.sources:
        run_on_sources(arguments)
    else:
        run_on_generators(arguments)


def run_on_sources(arguments: argparse.Namespace) -> None:
    """Train on seven eighths of the sources, then change images of the others."""
    name, images = arguments.detector, SourceImages(arguments.data)
    detector = DETECTORS[name]()
    if hasattr(detector, "cache_dir"):
        detector.set_params(cache_dir=arguments.cache)
    weights = {"sample_weight": origin_weights(images)}
    columns = {**images.columns, "picture": images.picture, "fit_params": weights}
    data = SourceData.check("robustness", images.paths, images.y, **columns)
    train, others = data.folds(8, 0)[0]
    fitted = data.fit(detector, train)
    random = np.random.RandomState(0)
    each = [random.permutation(others[images.y[others] == label]) for label in (0, 1)]
    chosen = np.concatenate([part[: arguments.sources // 2] for part in each])
    with tempfile.TemporaryDirectory() as folder:  # as saved, features of images are not kept
        fitted.save(Path(folder) / "detector.onnx")
        saved = load_detector(Path(folder) / "detector.onnx", n_jobs=-1)
    paths = [images.paths[i] for i in chosen]
    report = robustness_report(saved, paths, images.y[chosen], n_jobs=-1, verbose=True)
    result = {
        "command": f"python -m benchmarks robustness DATA --detector {name} --sources N",
        "data": images.describe(),
        "versions": find_versions(*PACKAGES),
        "detector": describe_detector(name, detector),
        "n_train": len(train),
        "n_images": len(chosen),
        "unknown": shorten(report),
    }
    write_json(RESULTS / f"robustness_{name}.json", result)
    print(report.to_text())


def run_on_generators(arguments: argparse.Namespace) -> None:
    """Train on photographs and StyleGAN faces, then change the images of both classes."""
    name, data = arguments.detector, Data(arguments.data)
    train, held_out, others = choose(data)
    detector = DETECTORS[name]().fit([data.paths[i] for i in train], data.y[train])
    chosen = np.concatenate([held_out, others])
    y, n = data.y[chosen], len(held_out)
    timed, report = measure(detector, [data.paths[i] for i in chosen], y, arguments.repeats)
    parts = {
        label: RobustnessReport(report.names, y[part], report.scores[:, part], report.threshold)
        for label, part in (("known", slice(0, n)), ("unknown", slice(n, None)))
    }
    result = describe(f"python -m benchmarks robustness DATA --detector {name}", data) | {
        "detector": describe_detector(name, DETECTORS[name]()),
        "n_train": len(train),
        "n_perturbations": len(report.names) - 1,
        "n_images": len(y),
        "cores": os.cpu_count(),
        **timed,
        **{label: shorten(part) for label, part in parts.items()},
    }
    write_json(RESULTS / f"robustness_{name}.json", result)
    for label, part in parts.items():
        print(f"{label}: {part.to_text()}\n")
