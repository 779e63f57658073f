"""Speed as ratios against the usual tools, all in one run.

    python -m benchmarks speed-ratios [--opencv4 PYTHON]

Four parts: HoG against scikit-image (and against the HOGDescriptor of an OpenCV 4, which OpenCV 5
no longer has, where an interpreter that has one is named); the exact linear machine against
``SVC(kernel="linear")``; the whole job on 1000 JPEG files against the usual way, each in a process
of its own; and the memory of `predict` over 20 000 paths. Times are medians of interleaved runs.
The result is benchmarks/results/speed_ratios.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.feature import hog
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, to_json, write_json
from benchmarks.machine import find_versions
from benchmarks.processes import run_apart
from benchmarks.speed.images import write_photographs
from benchmarks.timing import take_turns
from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.features import HoGTransformer, hog_features
from detectorkit.heads.linear_svm import solve_gram

RESULT = RESULTS / "speed_ratios.json"

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

OPENCV_4 = """
import sys, time, cv2, numpy as np
cv2.setNumThreads(1)
images = np.load(sys.argv[1])
descriptor = cv2.HOGDescriptor((128, 128), (16, 16), (8, 8), (8, 8), 9)
times = []
for _ in range(7):
    start = time.perf_counter()
    for image in images: descriptor.compute(image)
    times.append((time.perf_counter() - start) / len(images))
print(cv2.__version__, sorted(times)[3] * 1e6)
"""


def measure_hog(opencv4: str | None) -> dict[str, Any]:
    """Time 128x128 8-bit grey images: 9 orientations, 8x8 cells, 2x2 blocks, L2-Hys."""
    color = make_upsampling_images(2048, random_state=0).data
    images = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in color])
    few = images[:64]
    expected = np.stack([hog(image, cells_per_block=(2, 2)) for image in few])
    one, two = (HoGTransformer(n_jobs=n).fit(images) for n in (1, 2))
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i}.jpg") for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            cv2.imwrite(path, cv2.resize(image, (512, 512), interpolation=cv2.INTER_CUBIC))
        files = {n: HoGTransformer(image_size=(128, 128), n_jobs=n).fit(paths) for n in (1, 2)}
        seconds = take_turns(
            7,
            {
                "scikit_image": lambda: [hog(image, cells_per_block=(2, 2)) for image in few],
                "ours": lambda: [hog_features(images[i : i + 64]) for i in range(0, 2048, 64)],
                "one_image": lambda: hog_features(few[:1]),
                "transformer": lambda: one.transform(images),
                "transformer_two_threads": lambda: two.transform(images),
                "files": lambda: files[1].transform(paths[:1024]),
                "files_two_threads": lambda: files[2].transform(paths[:1024]),
            },
        )
        np.save(Path(folder) / "images.npy", images[:512])
        n_images = {"scikit_image": 64, "one_image": 1, "files": 1024, "files_two_threads": 1024}
        us = {k: v / n_images.get(k, len(images)) * 1e6 for k, v in seconds.items()}
        result = {
            "us_per_image": us,
            "max_difference": float(np.abs(hog_features(few) - expected).max()),
            "ratio_to_scikit_image": us["scikit_image"] / us["ours"],
            "ratio_to_scikit_image_one_at_a_time": us["scikit_image"] / us["one_image"],
            "ratio_two_threads_arrays": us["transformer"] / us["transformer_two_threads"],
            "ratio_two_threads_files": us["files"] / us["files_two_threads"],
        }
        if opencv4:
            command = [opencv4, "-c", OPENCV_4, str(Path(folder) / "images.npy")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            version, opencv_us = done.stdout.split()
            result["opencv_4_version"] = version
            result["us_per_image"]["opencv_4"] = float(opencv_us)
            result["ratio_to_opencv_4"] = float(opencv_us) / us["ours"]
    return result


def measure_svm() -> dict[str, Any]:
    """Time the exact solution for 2000 images of 8100 features."""
    data = make_upsampling_images(2000, random_state=0)
    features = HoGTransformer().fit_transform(data.data)
    settings = {"C": 0.01, "sample_weight": None, "groups": None}
    solution = solve_gram(
        features.copy(), data.target, random_state=np.random.RandomState(0), **settings
    )
    machine = SVC(kernel="linear", C=0.01, tol=1e-4).fit(features, data.target)
    scores = features @ solution.coef + solution.intercept
    seconds = take_turns(
        3,
        {
            "svc": lambda: SVC(kernel="linear", C=0.01).fit(features, data.target),
            "ours": lambda: solve_gram(  # it works in place, so the copy is part of its time
                features.copy(), data.target, random_state=np.random.RandomState(0), **settings
            ),
        },
    )
    return {
        "seconds": seconds,
        "note": "ours includes the five folds for the probabilities, SVC makes none",
        "max_difference_of_decision_values": float(
            np.abs(scores - machine.decision_function(features)).max()
        ),
        "ratio": seconds["svc"] / seconds["ours"],
    }


def measure_whole_job() -> dict[str, Any]:
    """Fit on 800 files with probabilities, predict 200: both ways, three turns each."""
    two_threads = dict.fromkeys(THREADS, "2")
    turns: dict[str, list[dict[str, float]]] = {"usual": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = write_photographs(Path(folder), 1000, 512)
        mean_bytes = statistics.mean(Path(path).stat().st_size for path in paths)
        for _ in range(3):
            for way, results in turns.items():
                job = f"benchmarks.speed.whole_job_{way}"
                start = time.perf_counter()
                found = run_apart("-m", job, folder, environment=two_threads)
                results.append(found | {"process_seconds": time.perf_counter() - start})
    median = {
        way: {key: statistics.median(result[key] for result in results) for key in results[0]}
        for way, results in turns.items()
    }
    usual, ours = median["usual"], median["ours"]
    return {
        "files": f"1000 JPEG files, 512x512, quality 90, {mean_bytes:.0f} bytes on average",
        **median,
        "ratio_without_imports": usual["job_seconds"] / ours["job_seconds"],
        "ratio_whole_process": usual["process_seconds"] / ours["process_seconds"],
        "ratio_cpu": usual["cpu_seconds"] / ours["cpu_seconds"],
        "ratio_peak_memory": ours["peak_mb"] / usual["peak_mb"],
    }


PREDICT = """
import json, sys
from pathlib import Path
from benchmarks.memory import peak_mb
from detectorkit import HoGSVMDetector, load_detector
folder, model, times = sys.argv[1:]
paths = sorted(map(str, Path(folder).glob("*.jpg")), key=lambda path: path[-8:])  # both classes
if model:
    detector = load_detector(model, n_jobs=2)
else:
    y = [int(Path(path).name[0]) for path in paths[:100]]
    detector = HoGSVMDetector(n_jobs=2, random_state=0).fit(paths[:100], y)
n = len(detector.predict(paths * int(times)))
print(json.dumps([n, peak_mb()]))
"""


def measure_memory() -> dict[str, Any]:
    """Peak memory of predicting 1000 and 20 000 paths, each in a process of its own."""
    peaks: dict[str, dict[str, float]] = {}
    one_thread = dict.fromkeys(THREADS, "1")
    with tempfile.TemporaryDirectory() as folder:
        paths, labels = write_photographs(Path(folder), 200, 512)
        model = Path(folder) / "model.onnx"
        HoGSVMDetector(random_state=0).fit(paths, labels).save(model)
        for name, saved in (("OnnxDetector", str(model)), ("HoGSVMDetector", "")):
            for times in (5, 100):
                words = ("-c", PREDICT, folder, saved, str(times))
                n, peak = run_apart(*words, environment=one_thread)
                peaks.setdefault(name, {})[str(n)] = peak
    return {"peak_mb_by_number_of_paths": peaks}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--opencv4", help="Python interpreter that has an OpenCV 4")
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure all parts, with one thread unless said otherwise."""
    cv2.setNumThreads(1)
    packages = ("detectorkit", "scikit-image", "scikit-learn", "opencv-python-headless", "numpy")
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-ratios",
        "versions": find_versions(*packages),
        "threads": "one, except where two are named; the whole job may use two in both ways",
    }
    parts = {
        "hog": lambda: measure_hog(arguments.opencv4),
        "svm": measure_svm,
        "whole_job": measure_whole_job,
        "memory": measure_memory,
    }
    with threadpool_limits(1):
        for name, part in parts.items():
            result[name] = part()
            print(name, to_json(result[name]), flush=True)
            write_json(arguments.output, result)
