"""Speed as ratios against the usual tools, all in one run.

    python benchmarks/speed/ratios.py [--opencv4 PYTHON]

Four parts: HoG against scikit-image (and against the HOGDescriptor of an OpenCV 4, which OpenCV 5
no longer has, where an interpreter that has one is named); the exact linear machine against
``SVC(kernel="linear")``; the whole job on 1000 JPEG files against the usual way, each in a process
of its own; and the memory of `predict` over 20 000 paths. Times are medians of interleaved runs.
The result is benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy: one thread unless said otherwise

import cv2
import numpy as np
import skimage
import sklearn
from skimage.feature import hog
from sklearn.svm import SVC

import detectorkit
from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.features import HoGTransformer, hog_features

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "speed.json"

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


def interleaved(runs: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Give the median seconds of each function; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs + 1):  # the first turn warms up
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def measure_hog(opencv4: str | None) -> dict:
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
        seconds = interleaved(
            7,
            scikit_image=lambda: [hog(image, cells_per_block=(2, 2)) for image in few],
            ours=lambda: [hog_features(images[i : i + 64]) for i in range(0, 2048, 64)],
            one_image=lambda: hog_features(few[:1]),
            transformer=lambda: one.transform(images),
            transformer_two_threads=lambda: two.transform(images),
            files=lambda: files[1].transform(paths[:1024]),
            files_two_threads=lambda: files[2].transform(paths[:1024]),
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


def measure_svm() -> dict:
    """Time the exact solution for 2000 images of 8100 features."""
    data = make_upsampling_images(2000, random_state=0)
    features = HoGTransformer().fit_transform(data.data)
    from detectorkit.heads.linear_svm import solve_gram  # noqa: PLC0415

    settings = {"C": 0.01, "sample_weight": None, "groups": None}
    solution = solve_gram(
        features.copy(), data.target, random_state=np.random.RandomState(0), **settings
    )
    machine = SVC(kernel="linear", C=0.01, tol=1e-4).fit(features, data.target)
    scores = features @ solution.coef + solution.intercept
    seconds = interleaved(
        3,
        svc=lambda: SVC(kernel="linear", C=0.01).fit(features, data.target),
        ours=lambda: solve_gram(  # it works in place, so the copy is part of its time
            features.copy(), data.target, random_state=np.random.RandomState(0), **settings
        ),
    )
    return {
        "seconds": seconds,
        "note": "ours includes the five folds for the probabilities, SVC makes none",
        "max_difference_of_decision_values": float(
            np.abs(scores - machine.decision_function(features)).max()
        ),
        "ratio": seconds["svc"] / seconds["ours"],
    }


def make_files(folder: Path, n: int = 1000) -> float:
    """Write JPEG files of 512x512 pixels in two classes; give their mean size in bytes."""
    data = make_upsampling_images(n, image_size=(256, 256), random_state=0)
    random = np.random.default_rng(0)
    sizes = []
    for index, (image, label) in enumerate(zip(data.data, data.target, strict=True)):
        large = cv2.resize(image[..., ::-1], (512, 512), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 4, large.shape[:2])[..., None]
        path = folder / f"{label}-{index:04}.jpg"
        large = np.clip(large + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), large, [cv2.IMWRITE_JPEG_QUALITY, 90])
        sizes.append(path.stat().st_size)
    return statistics.mean(sizes)


def measure_whole_job() -> dict:
    """Fit on 800 files with probabilities, predict 200: both ways, three turns each."""
    with tempfile.TemporaryDirectory() as folder:
        mean_bytes = make_files(Path(folder))
        turns: dict[str, list[dict]] = {"usual": [], "ours": []}
        for _ in range(3):
            for way, results in turns.items():
                environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
                start = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, str(HERE / f"whole_job_{way}.py"), folder],
                    capture_output=True,
                    text=True,
                    check=True,
                    env=environment,
                )
                results.append(
                    json.loads(done.stdout) | {"process_seconds": time.perf_counter() - start}
                )
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


def measure_memory() -> dict:
    """Peak memory of predicting 1000 and 20 000 paths, each in a process of its own."""
    code = (
        "import json, sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[4]); from peak import peak_mb\n"
        "from detectorkit import load_detector\n"
        "paths = [str(p) for p in Path(sys.argv[1]).glob('*.jpg')] * int(sys.argv[3])\n"
        "detector = load_detector(sys.argv[2], n_jobs=2)\n"
        "n = len(detector.predict(paths))\n"
        "print(json.dumps([n, peak_mb()]))"
    )
    fitted_code = code.replace(
        "load_detector(sys.argv[2], n_jobs=2)",
        "HoGSVMDetector(n_jobs=2, random_state=0).fit("
        "paths[:100], [int(Path(p).name[0]) for p in paths[:100]])",
    ).replace("load_detector\n", "HoGSVMDetector\n")
    peaks: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder), 200)
        paths = sorted(str(path) for path in Path(folder).glob("*.jpg"))
        labels = [int(Path(path).name[0]) for path in paths]
        model = Path(folder) / "model.onnx"
        HoGSVMDetector(random_state=0).fit(paths, labels).save(model)
        for name, program in (("OnnxDetector", code), ("HoGSVMDetector", fitted_code)):
            for times in (5, 100):
                done = subprocess.run(
                    [sys.executable, "-c", program, folder, str(model), str(times), str(HERE)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                n, peak = json.loads(done.stdout)
                peaks.setdefault(name, {})[str(n)] = peak
    return {"peak_mb_by_number_of_paths": peaks}


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opencv4", help="Python interpreter that has an OpenCV 4")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    result = {
        "script": "benchmarks/speed/ratios.py",
        "versions": {
            "detectorkit": detectorkit.__version__,
            "scikit-image": skimage.__version__,
            "scikit-learn": sklearn.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "threads": "one, except where two are named; the whole job may use two in both ways",
    }
    parts = {
        "hog": lambda: measure_hog(arguments.opencv4),
        "svm": measure_svm,
        "whole_job": measure_whole_job,
        "memory": measure_memory,
    }
    for name, part in parts.items():
        result[name] = part()
        print(name, json.dumps(result[name], indent=1), flush=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
