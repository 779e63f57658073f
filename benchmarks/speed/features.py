"""Milliseconds an image of each kind of features, on one thread.

    python -m benchmarks speed-features [--feature NAME ...]

For square JPEG files of 256, 512 and 1024 pixels, quality 90: decoding alone, the features alone
of decoded images in memory, and both together from paths; the latter two in one call for all
images and in one call for each. Of a detector, fitted on the same images, `decision_function` is
timed. Times are medians of interleaved runs. The result also says how busy the machine was after
each; above 1, other programs took part, and the times are too long.

What is measured is listed in benchmarks/feature_sets.py. Without NAME, all that is not in the
result yet; what is named is measured again. The result is benchmarks/results/speed_features.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import is_classifier
from threadpoolctl import threadpool_limits

from benchmarks.arguments import add_output
from benchmarks.feature_sets import DETECTORS, FEATURES
from benchmarks.files import RESULTS, read_json, write_json
from benchmarks.machine import find_versions, load_average
from benchmarks.speed.images import write_photographs
from benchmarks.timing import per_image
from detectorkit.images.decoding import load_image

RESULT = RESULTS / "speed_features.json"
DECODING = "decoding"
MEASURED = [DECODING, *FEATURES, *DETECTORS]
N_IMAGES = {256: 32, 512: 16, 1024: 8}
RUNS = 9


def one_by_one(function: Callable[[Any], Any], items: list[Any]) -> None:
    """Call a function with each item in a list of its own."""
    for item in items:
        function([item])


def measure_decoding(paths: list[str]) -> dict[str, float]:
    """Time the decoding of files to grey and to RGB."""

    def decode(color_space: str) -> None:
        for path in paths:
            load_image(path, color_space=color_space)

    return per_image(RUNS, len(paths), {space: partial(decode, space) for space in ("gray", "rgb")})


def measure(estimator: Any, paths: list[str], y: np.ndarray) -> dict[str, Any]:
    """Time a transformer or a detector on arrays and on files."""
    estimator.fit(paths, y)
    color_space = "gray" if getattr(estimator, "color_space", None) == "gray" else "rgb"
    arrays = [load_image(path, color_space=color_space) for path in paths]
    compute = estimator.decision_function if is_classifier(estimator) else estimator.transform
    milliseconds = per_image(
        RUNS,
        len(paths),
        {
            "arrays": lambda: compute(arrays),
            "arrays_one_by_one": lambda: one_by_one(compute, arrays),
            "files": lambda: compute(paths),
            "files_one_by_one": lambda: one_by_one(compute, paths),
        },
    )
    return {"decoded_as": color_space, "n_features": count_features(estimator), **milliseconds}


def count_features(estimator: Any) -> int:
    """Count the features of an image."""
    if is_classifier(estimator):
        return max(columns.stop for columns in estimator.families_.values())
    return int(estimator.n_features_out_)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--feature", nargs="+", choices=MEASURED, metavar="NAME")
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure what is named, or what is missing."""
    cv2.setNumThreads(1)
    output = arguments.output
    packages = ("detectorkit", "numpy", "scipy", "scikit-learn", "opencv-python-headless")
    result = {"ms_per_image": {}, "load_average": {}} | read_json(output)
    result |= {
        "command": "python -m benchmarks speed-features",
        "versions": find_versions(*packages),
        "threads": 1,
        "files": "square JPEG files, quality 90",
        "n_images": N_IMAGES,
        "runs": RUNS,
    }
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        files = {side: write_photographs(Path(folder), n, side) for side, n in N_IMAGES.items()}
        for name in arguments.feature or MEASURED:
            if name in result["ms_per_image"] and not arguments.feature:
                print(f"{name}: is there already")
                continue
            figures: dict[str, dict[str, Any]] = {}
            for side, (paths, y) in files.items():
                if name == DECODING:
                    figures[str(side)] = measure_decoding(paths)
                else:
                    figures[str(side)] = measure((FEATURES | DETECTORS)[name](), paths, y)
                print(name, side, figures[str(side)], flush=True)
            result["ms_per_image"][name] = figures
            result["load_average"][name] = load_average()
            write_json(output, result)
