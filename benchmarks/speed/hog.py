"""HoG as a multiple of scikit-image's speed, in each of its forms.

    python -m benchmarks speed-hog [--data FOLDER] [--trials N]

Grey 8-bit images of 128x128 pixels; 9 orientations, 8x8 cells, 2x2 blocks, L2-Hys. Two kinds of
images: photographs, which are cut from those that come with scikit-image, or are the JPEG and PNG
files of FOLDER, resized; and uniform noise. Three forms: numpy, compiled by numba, and compiled on
two threads, which is `HoGTransformer(n_jobs=2)` on 2048 images against `n_jobs=1`, or two calls of
`hog_features` at once, with half of them each, against one. 64 images are
described in one call, and in one call for each.

Times are medians of interleaved runs, and all is measured anew in each trial. What is compared with
scikit-image runs on one thread, whose processor time is taken: other programs on the machine
disturb it less. Two threads are compared with one by the clock, and need a calm machine. The
result, which holds the largest difference from scikit-image too, is
benchmarks/results/speed_hog.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from skimage.feature import hog
from threadpoolctl import threadpool_limits

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import describe_machine, find_versions, load_average
from detectorkit.features import HoGTransformer, _hog_choice, hog_features
from detectorkit.features.hog import compile_hog

RESULT = RESULTS / "speed_hog.json"
SIDE = 128
N_IMAGES = 64
N_MANY = 2048
RUNS = 7
FORMS = ("numpy", "compiled")
PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "hubble_deep_field", "rocket")


def cut_photographs() -> NDArray[np.uint8]:
    """Cut squares of random places and sizes from the photographs of scikit-image."""
    random = np.random.default_rng(0)
    whole = []
    for name in PHOTOGRAPHS:
        image = getattr(skimage.data, name)()
        whole.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image)
    cut = []
    for index in range(N_IMAGES):
        image = whole[index % len(whole)]
        side = int(random.integers(SIDE, min(image.shape) + 1))
        top, left = (int(random.integers(0, n - side + 1)) for n in image.shape)
        cut.append(to_size(image[top : top + side, left : left + side]))
    return np.stack(cut)


def read_photographs(folder: Path) -> NDArray[np.uint8]:
    """Read the first images of a folder in grey."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths[:N_IMAGES]]
    if len(images) < N_IMAGES:
        raise SystemExit(f"{folder} has {len(images)} JPEG and PNG files; {N_IMAGES} are needed.")
    return np.stack([to_size(image) for image in images])


def to_size(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize an image as the library does where it shrinks."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def describe_by_scikit_image(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the same features one by one."""
    return np.stack([hog(image, cells_per_block=(2, 2)) for image in images])


def describe_one_by_one(images: NDArray[np.uint8]) -> None:
    """Call for each image."""
    for index in range(len(images)):
        hog_features(images[index : index + 1])


@contextmanager
def counting(form: str) -> Iterator[None]:
    """Choose the form: "numpy" or "compiled"."""
    before, state = _hog_choice._state, _hog_choice._State()  # noqa: SLF001 - no user needs it
    _hog_choice._state = state  # noqa: SLF001
    state.is_settled = form == "numpy"
    if form == "compiled" and not compile_hog():
        raise SystemExit("numba cannot be imported. Install detectorkit[fast].")
    yield
    _hog_choice._state = before  # noqa: SLF001


def in_form(form: str, function: Callable[[], object]) -> Callable[[], object]:
    """Wrap a function so that it counts in a form."""

    def run() -> None:
        with counting(form):
            function()

    return run


def take_turns(
    functions: dict[str, Callable[[], object]], clock: Callable[[], float]
) -> dict[str, float]:
    """Return the median seconds of each function."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(RUNS + 1):  # the first turn warms up
        for name, function in functions.items():
            start = clock()
            function()
            times[name].append(clock() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def measure(images: NDArray[np.uint8]) -> dict[str, Any]:
    """Time all forms on one kind of images."""
    functions = {"scikit-image": lambda: describe_by_scikit_image(images)}
    for form in FORMS:
        functions |= {
            f"{form}, 64 at once": in_form(form, lambda: hog_features(images)),
            f"{form}, one at a time": in_form(form, lambda: describe_one_by_one(images)),
        }
    seconds = take_turns(functions, time.thread_time)
    usual = seconds["scikit-image"]
    us = {name: round(value / len(images) * 1e6, 1) for name, value in seconds.items()}
    ratios = {k: round(usual / v, 1) for k, v in seconds.items() if k != "scikit-image"}
    return {"us_per_image": us, "ratio": ratios | measure_threads(images)}


def measure_threads(images: NDArray[np.uint8]) -> dict[str, float]:
    """Say how many times as fast two threads are as one."""
    many = np.tile(images, (N_MANY // len(images), 1, 1))
    transformers = {n: HoGTransformer(n_jobs=n).fit(many) for n in (1, 2)}
    functions = {
        f"{form} {n}": in_form(form, partial(transformer.transform, many))
        for form in FORMS
        for n, transformer in transformers.items()
    }
    for form in FORMS:
        functions[f"{form} whole"] = in_form(form, partial(hog_features, many))
        functions[f"{form} halves"] = in_form(form, partial(describe_halves, many))
    seconds = take_turns(functions, time.perf_counter)
    ratios = {
        f"{form}, two threads to one": round(seconds[f"{form} 1"] / seconds[f"{form} 2"], 2)
        for form in FORMS
    }
    return ratios | {
        f"{form}, two calls to one": round(seconds[f"{form} whole"] / seconds[f"{form} halves"], 2)
        for form in FORMS
    }


def describe_halves(images: NDArray[np.uint8]) -> None:
    """Describe both halves at once, each in a thread of its own."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(hog_features, np.array_split(images, 2)))


def largest_differences(images: NDArray[np.uint8]) -> dict[str, float]:
    """Compare each form with scikit-image, and both with each other."""
    expected, found = describe_by_scikit_image(images), {}
    for form in FORMS:
        with counting(form):
            found[form] = hog_features(images)
    differences = {form: float(np.abs(one - expected).max()) for form, one in found.items()}
    between = float(np.abs(found["numpy"] - found["compiled"]).max())
    return differences | {"between the forms": between}


def print_table(kind: str, trials: list[dict[str, Any]], differences: dict[str, float]) -> None:
    """Print the ratios of all trials."""
    print(f"\n{kind}: times scikit-image's speed, in {len(trials)} trials")
    for name in trials[0]["ratio"]:
        print(f"  {name:38}" + "".join(f"{trial['ratio'][name]:8}" for trial in trials))
    for name, difference in differences.items():
        print(f"  largest difference, {name:18}{difference:8.1e}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", type=Path, help="folder of photographs")
    parser.add_argument("--trials", type=int, default=3, help="how often all is measured")
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure both kinds of images."""
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).integers(0, 256, (N_IMAGES, SIDE, SIDE), dtype=np.uint8)
    photographs = read_photographs(arguments.data) if arguments.data else cut_photographs()
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-hog",
        "versions": find_versions("detectorkit", "numpy", "scikit-image", "numba"),
        "machine": describe_machine(),
        "images": {
            "photographs": "files of a folder" if arguments.data else "cut from scikit-image's",
            "n_images": N_IMAGES,
            "side": SIDE,
        },
        "runs": RUNS,
        "kinds": {},
    }
    with threadpool_limits(1):
        for kind, images in {"photographs": photographs, "noise": noise}.items():
            trials = [measure(images) for _ in range(arguments.trials)]
            differences = largest_differences(images)
            result["kinds"][kind] = {"trials": trials, "largest_difference": differences}
            print_table(kind, trials, differences)
    result["machine"]["load_average_after"] = load_average()
    write_json(arguments.output, result)
