"""Milliseconds an image of each kind of features, on one thread.

    python benchmarks/speed/features.py [--feature NAME ...]

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
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy

import cv2
import numpy as np
from ratios import interleaved
from sklearn.base import is_classifier
from threadpoolctl import threadpool_limits

from detectorkit.datasets import make_upsampling_images
from detectorkit.images.decoding import load_image

sys.path.insert(0, str(Path(__file__).parents[1]))
from feature_sets import DETECTORS, FEATURES

RESULT = Path(__file__).parents[1] / "results" / "speed_features.json"
DECODING = "decoding"
MEASURED = [DECODING, *FEATURES, *DETECTORS]
N_IMAGES = {256: 32, 512: 16, 1024: 8}
RUNS = 9


def make_files(folder: Path, side: int) -> tuple[list[str], np.ndarray]:
    """Write JPEG files with noise, as a camera would leave it; give their paths and labels."""
    data = make_upsampling_images(N_IMAGES[side], image_size=(256, 256), random_state=0)
    random = np.random.default_rng(0)
    paths = []
    for index, image in enumerate(data.data):
        large = cv2.resize(image[..., ::-1], (side, side), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 4, large.shape[:2])[..., None]
        paths.append(str(folder / f"{side}-{index}.jpg"))
        noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(paths[-1], noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths, data.target


def one_by_one(function: Callable[[Any], Any], items: list[Any]) -> None:
    """Call a function with each item in a list of its own."""
    for item in items:
        function([item])


def measure_decoding(paths: list[str]) -> dict[str, float]:
    """Time the decoding of files to grey and to RGB."""

    def decode(color_space: str) -> None:
        for path in paths:
            load_image(path, color_space=color_space)

    return per_image(len(paths), gray=partial(decode, "gray"), rgb=partial(decode, "rgb"))


def measure(estimator: Any, paths: list[str], y: np.ndarray) -> dict[str, Any]:
    """Time a transformer or a detector on arrays and on files."""
    estimator.fit(paths, y)
    color_space = "gray" if getattr(estimator, "color_space", None) == "gray" else "rgb"
    arrays = [load_image(path, color_space=color_space) for path in paths]
    compute = estimator.decision_function if is_classifier(estimator) else estimator.transform
    milliseconds = per_image(
        len(paths),
        arrays=lambda: compute(arrays),
        arrays_one_by_one=lambda: one_by_one(compute, arrays),
        files=lambda: compute(paths),
        files_one_by_one=lambda: one_by_one(compute, paths),
    )
    return {"decoded_as": color_space, "n_features": count_features(estimator), **milliseconds}


def count_features(estimator: Any) -> int:
    """Give the number of features of an image."""
    if is_classifier(estimator):
        return max(columns.stop for columns in estimator.families_.values())
    return int(estimator.n_features_out_)


def per_image(n: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Give the median milliseconds an image."""
    seconds = interleaved(RUNS, **functions)
    return {name: round(value / n * 1000, 4) for name, value in seconds.items()}


def main() -> None:
    """Measure what is named, or what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feature", nargs="+", choices=MEASURED, metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    output = arguments.output
    result = json.loads(output.read_text()) if output.exists() else {"ms_per_image": {}}
    packages = ("detectorkit", "numpy", "scipy", "scikit-learn", "opencv-python-headless")
    result |= {
        "script": "benchmarks/speed/features.py",
        "command": "python benchmarks/speed/features.py",
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "threads": 1,
        "files": "square JPEG files, quality 90",
        "n_images": N_IMAGES,
        "runs": RUNS,
    }
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        files = {side: make_files(Path(folder), side) for side in N_IMAGES}
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
            result.setdefault("load_average", {})[name] = round(os.getloadavg()[0], 2)
            output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
