"""Which explanation to trust: faithfulness of every method for every detector, on real images.

    python benchmarks/accuracy/saliency.py DATA [--n-images N] [--detector NAME ...]

DATA is as for protocols.py. The images are aligned, and from the validation part of the shipped
detectors (see ship.py), so none was trained on; no test part of a protocol is involved beyond what
those detectors had seen already. HoG + SVM is fitted on the training part of the same cut.

Every map is smoothed by a Gaussian of 3 pixels first, random maps too: a map of single pixels takes
the image apart into noise, which is itself something that detectors look at. "random" is a smoothed
map of noise; each method is compared with it on the same images.

- insertion - deletion: area under the insertion curve less that under the deletion curve, of the
  probability of the verdict, for three replacements.
- pointing: share of spliced images, half real, half generated, whose map is largest in the
  generated half; only where maps are signed by construction does it have to be above one half.
- randomization: rank correlation with the map of the detector when all weights are permuted.
- sensitivity: largest relative change of the map under noise of 2 %.

Also the gradient analysis of the original study (`gradient_statistics`), for each detector that has
a gradient. The result is benchmarks/results/saliency.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from protocols import COMMON, RESULTS, Data
from sklearn.utils import resample

from detectorkit import HoGSVMDetector, load_detector
from detectorkit.evaluation import StratifiedGroupShuffleSplit
from detectorkit.exceptions import ModelFileError
from detectorkit.model_selection.split import take_items
from detectorkit.saliency import (
    GradCAM,
    GradientSaliency,
    IntegratedGradients,
    OcclusionSaliency,
    SmoothGrad,
    deletion_insertion,
    gradient_statistics,
    max_sensitivity,
    pointing_game,
    randomization_check,
)

SMOOTHING = 3.0  # pixels
REPLACEMENTS = ("blur", "patch", "jpeg")
N_SENSITIVE = 4  # images; of each, many maps are made
N_SPLICES = 60
N_STATISTICS = 200  # images of each class


class Smoothed:
    """Another explainer, whose maps are smoothed."""

    def __init__(self, explainer: Any) -> None:
        self.explainer, self.detector = explainer, explainer.detector

    def transform(self, X: Any) -> list[Any]:
        """Make the maps."""
        return [cv2.GaussianBlur(one, (0, 0), SMOOTHING) for one in self.explainer.transform(X)]


class RandomMap:
    """Maps of noise, by which the others are judged."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        self._random = np.random.default_rng(0)

    def transform(self, X: Any) -> list[Any]:
        """Make the maps."""
        return [self._random.standard_normal(one.shape[:2], np.float32) for one in X]


METHODS: dict[str, Callable[[Any], Any]] = {
    "gradient": GradientSaliency,
    "gradient x input": lambda d: GradientSaliency(d, times_input=True),
    "smooth-grad": lambda d: SmoothGrad(d, n_samples=15, noise_level=0.05),
    "integrated gradients": lambda d: IntegratedGradients(d, n_steps=24),
    "grad-cam": lambda d: GradCAM(d, signed=True),
    "occlusion": lambda d: OcclusionSaliency(d, window_shape=(24, 24)),
    "random": RandomMap,
}


def interval(values: np.ndarray) -> dict[str, float]:
    """Give the mean with a bootstrap interval of 95 %."""
    means = [resample(values, random_state=k).mean() for k in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def gains(detector: Any, images: list[Any], maps: list[Any]) -> dict[str, np.ndarray]:
    """Give insertion less deletion of each image, by the replacement."""
    found = {
        one: deletion_insertion(detector, images, maps, replacement=one, n_steps=12)
        for one in REPLACEMENTS
    }
    return {one: areas.insertion - areas.deletion for one, areas in found.items()}


def measure(
    detector: Any, real: list[Any], generated: list[Any], halves: tuple[list[Any], list[Any]]
) -> dict[str, Any]:
    """Measure every method that works for a detector; the halves are what splices are made of."""
    images = real + generated
    maps = Smoothed(RandomMap(detector)).transform(images)
    chance = gains(detector, images, maps)
    result: dict[str, Any] = {}
    for name, make in METHODS.items():
        try:
            maps = Smoothed(make(detector)).transform(images)
        except (ModelFileError, ValueError) as error:
            result[name] = {"not possible": str(error)}
            continue
        entry = result.setdefault(name, {})
        for one, gain in gains(detector, images, maps).items():
            entry[one] = {
                "insertion_less_deletion": interval(gain),
                "above_random": interval(gain - chance[one]),
            }
        entry["pointing"] = point(make, detector, halves)
        if name != "random":
            few = [*real[: N_SENSITIVE // 2], *generated[: N_SENSITIVE // 2]]
            entry["sensitivity"] = float(
                np.median(max_sensitivity(Smoothed(make(detector)), few, n_samples=4))
            )
            entry["randomization"] = randomized(make, detector, few)
        print(name, json.dumps(entry), flush=True)
    return result


def point(
    make: Callable[[Any], Any], detector: Any, halves: tuple[list[Any], list[Any]]
) -> dict[str, Any]:
    """Play the pointing game."""
    game = pointing_game(Smoothed(make(detector)), *halves, random_state=0)
    return {**game.hit_rate._asdict(), "mass_share": game.mass_share, "n": game.n}


def randomized(make: Callable[[Any], Any], detector: Any, images: list[Any]) -> float | None:
    """Give the mean rank correlation with the maps of permuted weights, where there are any."""
    try:
        found = randomization_check(detector, lambda d: Smoothed(make(d)), images)
    except (ModelFileError, ValueError):
        return None
    return float(found.correlation[-1].mean())


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--n-images", type=int, default=12, help="images of each class")
    parser.add_argument("--detector", nargs="+", default=["hog-svm", "forensic", "transfer", "cnn"])
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "saliency.json")
    arguments = parser.parse_args()
    data = Data(arguments.data)
    images = data.images("aligned")
    splitter = StratifiedGroupShuffleSplit(1, test_size=0.1, random_state=0)
    train, val = next(splitter.split(data.y, data.y, data.picture))
    val = np.random.default_rng(0).permutation(val)
    by_class = [val[data.y[val] == code] for code in (0, 1)]
    real, generated = (take_items(images, part[: arguments.n_images]) for part in by_class)
    many = np.concatenate([part[:N_STATISTICS] for part in by_class])
    halves = tuple(take_items(images, part[:N_SPLICES]) for part in by_class)
    result = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    result |= {
        "script": "benchmarks/accuracy/saliency.py",
        "command": "python benchmarks/accuracy/saliency.py DATA",
        "manifest_sha256": data.sha256,
        "n_images": 2 * arguments.n_images,
        "smoothing": SMOOTHING,
    }
    for name in arguments.detector:
        if name == "hog-svm":
            detector: Any = HoGSVMDetector(**COMMON)
            detector.fit(take_items(images, train), data.y[train], groups=data.picture[train])
        else:
            detector = load_detector(name, n_jobs=-1)
        entry = result.setdefault("detectors", {}).setdefault(name, {})
        if name != "forensic":
            statistics = gradient_statistics(
                detector, take_items(images, many), data.y[many], n_jobs=-1
            )
            entry["gradients"] = statistics.to_dict()
        entry["methods"] = measure(detector, real, generated, halves)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
