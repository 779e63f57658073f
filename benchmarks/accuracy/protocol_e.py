"""Measure detectors by protocol E: whole sources left out in eight folds.

    python -m benchmarks protocol-e DATA hog-svm --treatment aligned --cache FOLDER

Detectors are those of benchmarks/accuracy/detectors.py; with --parameters, a variant of one is
measured under the name of --name. Treated copies of the images and the features of frozen networks
are kept in the folder --cache, so a run that was stopped loses little; other features are computed
once a run. Left-out scores go to benchmarks/results/sources (benchmarks/accuracy/source_images.py),
figures with intervals over units to benchmarks/results/protocol_e.json. "ms_per_image" is the time
on a processor of the saved detector on files as they are, loaded before; "bytes" is its size. With
--curve, the learning curve over sources is measured too, which takes four times as many trainings.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.describe import PACKAGES, describe_detector
from benchmarks.accuracy.detectors import DETECTORS, Remembering
from benchmarks.accuracy.source_images import SourceImages
from benchmarks.accuracy.table import TREATMENTS
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, RESULTS, read_json, write_json
from benchmarks.machine import find_versions, load_average
from detectorkit import load_detector
from detectorkit.evaluation import cross_source_evaluation, source_learning_curve
from detectorkit.evaluation.cross_source import SourceData

RESULT = RESULTS / "protocol_e.json"
N_TIMED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("detector", choices=DETECTORS)
    parser.add_argument("--parameters", type=json.loads, default={}, help="JSON, of a variant")
    parser.add_argument("--name", help="of the variant")
    parser.add_argument("--treatment", choices=TREATMENTS, action="append", help="default: aligned")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder, best outside the checkout"
    )
    parser.add_argument("--curve", action="store_true", help="the learning curve too")


def run(arguments: argparse.Namespace) -> None:
    """Measure one detector by the treatments that are asked for."""
    if arguments.parameters and not arguments.name:
        raise SystemExit("--parameters: pass --name for the variant, too.")
    name = arguments.name or arguments.detector
    detector = DETECTORS[arguments.detector]().set_params(**arguments.parameters)
    if hasattr(detector, "cache_dir"):
        detector.set_params(cache_dir=arguments.cache)
    images = SourceImages(arguments.data)
    for treatment in arguments.treatment or ["aligned"]:
        Remembering.known.clear()
        row = measure(name, detector, images, treatment, arguments)
        write_row(f"{name}.{treatment}", row, images)


def measure(
    name: str, detector: Any, images: SourceImages, treatment: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure a detector on left-out sources; return its row of the result."""
    paths = images.treated(treatment, arguments.cache)
    columns = {**images.columns, "picture": images.picture}
    start = time.perf_counter()
    result = cross_source_evaluation(detector, paths, images.y, **columns)
    seconds = time.perf_counter() - start
    images.keep(f"{name}.{treatment}", result)
    print(f"{name}, {treatment}, {seconds:.0f} s\n{result}", flush=True)
    row = {
        "detector": describe_detector(name, detector),
        **result.to_dict(),
        "seconds": round(seconds, 1),
        **weigh(detector, SourceData.check("protocol-e", paths, images.y, **columns), images),
    }
    if arguments.curve:
        curve = source_learning_curve(detector, paths, images.y, **columns)
        print(curve, flush=True)
        row["curve"] = curve.to_dict()
    return row


def weigh(detector: Any, data: SourceData, images: SourceImages) -> dict[str, Any]:
    """Fit on all images, save, and measure the bytes and the time of what was saved."""
    fitted = data.fit(detector, np.arange(len(data.y)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        fitted.save(path)
        saved = load_detector(path, n_jobs=1)
        timed = images.paths[:: max(1, len(images.paths) // N_TIMED)][:N_TIMED]
        saved.predict_proba(timed[:2])
        start = time.process_time()  # what other programs do counts less than on the wall clock
        saved.predict_proba(timed)
        milliseconds = 1000 * (time.process_time() - start) / len(timed)
        n_bytes = path.stat().st_size
    return {
        "bytes": n_bytes,
        "ms_per_image": round(milliseconds, 1),
        "load_average": load_average(),
    }


def write_row(key: str, row: dict[str, Any], images: SourceImages) -> None:
    """Put a row in the place of the one with its key."""
    known = read_json(RESULT)
    result = {
        "command": "python -m benchmarks protocol-e DATA DETECTOR",
        "data": images.describe(),
        "versions": find_versions(*PACKAGES),
        "rows": known.get("rows", {}) if known.get("data") == images.describe() else {},
    }
    result["rows"][key] = row
    write_json(RESULT, result)
