"""Which explanation to trust: faithfulness of every method for every detector, on real images.

    python -m benchmarks saliency DATA [--n-images N] [--detector NAME ...]

The images are aligned faces. HoG + SVM is fitted on the training part of a cut and measured on the
rest. The other detectors are those that come along when this is run; all but the cnn of today were
trained on these images too, which are of protocol E. What they look at is measured, not how good
they are.

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
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sklearn.utils import resample

from benchmarks.accuracy.data import Data
from benchmarks.accuracy.detectors import COMMON
from benchmarks.arguments import add_data, add_output
from benchmarks.files import RESULTS, read_json, to_json, write_json
from detectorkit import HoGSVMDetector, load_detector
from detectorkit.evaluation import Estimate, StratifiedGroupShuffleSplit
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
from detectorkit.saliency.methods import make_explainer

SMOOTHING = 3.0  # pixels
REPLACEMENTS = ("blur", "patch", "jpeg")
N_SENSITIVE = 4  # images; of each, many maps are made
N_SPLICES = 60
N_STATISTICS = 200  # images of each class
KINDS = ("real", "generated")


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


AS_EXPLAIN_DRAWS = {"occlusion": make_explainer, "random": RandomMap}
SLOW = ("clip",)  # some .3 s an image: the map that ``detectorkit explain`` draws, and no gradients


def interval(values: np.ndarray) -> Estimate:
    """Return the mean with a bootstrap interval of 95 %."""
    means = [resample(values, random_state=k).mean() for k in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def gains(detector: Any, images: list[Any], maps: list[Any]) -> dict[str, np.ndarray]:
    """Return insertion less deletion of each image, by the replacement."""
    found = {
        one: deletion_insertion(detector, images, maps, replacement=one, n_steps=12)
        for one in REPLACEMENTS
    }
    return {one: areas.insertion - areas.deletion for one, areas in found.items()}


def measure(
    methods: dict[str, Callable[[Any], Any]],
    detector: Any,
    real: list[Any],
    generated: list[Any],
    halves: tuple[list[Any], list[Any]],
) -> dict[str, Any]:
    """Measure the methods that work for a detector; the halves are what splices are made of."""
    images = real + generated
    maps = Smoothed(RandomMap(detector)).transform(images)
    chance = gains(detector, images, maps)
    result: dict[str, Any] = {}
    for name, make in methods.items():
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
        print(name, to_json(entry), flush=True)
    return result


def point(
    make: Callable[[Any], Any], detector: Any, halves: tuple[list[Any], list[Any]]
) -> dict[str, Any]:
    """Play the pointing game."""
    game = pointing_game(Smoothed(make(detector)), *halves, random_state=0)
    return {"hit_rate": game.hit_rate, "mass_share": game.mass_share, "n": game.n}


def randomized(make: Callable[[Any], Any], detector: Any, images: list[Any]) -> float | None:
    """Return the mean rank correlation with the maps of permuted weights, where there are any."""
    try:
        found = randomization_check(detector, lambda d: Smoothed(make(d)), images)
    except (ModelFileError, ValueError):
        return None
    return float(found.correlation[-1].mean())


def shorten(statistics: dict[str, Any]) -> dict[str, Any]:
    """Keep what the documentation shows of the gradients of a class."""
    distribution = statistics["distribution"]
    return {
        "n": statistics["n"],
        **{key: distribution[key] for key in ("std", "kurtosis", "near_zero")},
        "regions": {
            name: list(region["ratio"].values()) for name, region in statistics["regions"].items()
        },
        "texture_correlation": list(statistics["texture_correlation"].values()),
        "histogram": distribution["histogram"],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--n-images", type=int, default=12, help="images of each class")
    parser.add_argument("--detector", nargs="+", default=["hog-svm", "forensic", "transfer", "cnn"])
    add_output(parser, RESULTS / "saliency.json")


def run(arguments: argparse.Namespace) -> None:
    """Measure the detectors one by one; write after each."""
    data = Data(arguments.data)
    images = data.images("aligned")
    splitter = StratifiedGroupShuffleSplit(1, test_size=0.1, random_state=0)
    train, val = next(splitter.split(data.y, data.y, data.picture))
    val = np.random.default_rng(0).permutation(val)
    by_class = [val[data.y[val] == code] for code in (0, 1)]
    real, generated = (take_items(images, part[: arguments.n_images]) for part in by_class)
    many = np.concatenate([part[:N_STATISTICS] for part in by_class])
    halves = tuple(take_items(images, part[:N_SPLICES]) for part in by_class)
    result = {
        "command": "python -m benchmarks saliency DATA",
        "data": data.describe(),
        "smoothing": SMOOTHING,
        "detectors": read_json(arguments.output).get("detectors", {}),
    }
    for name in arguments.detector:
        if name == "hog-svm":
            detector: Any = HoGSVMDetector(**COMMON)
            detector.fit(take_items(images, train), data.y[train], groups=data.picture[train])
        else:
            detector = load_detector(name, n_jobs=-1)
        entry = result["detectors"].setdefault(name, {})
        if name not in ("forensic", *SLOW):
            shown = take_items(images, many)
            found = gradient_statistics(detector, shown, data.y[many], n_jobs=-1).to_dict()
            entry["gradients"] = found | {kind: shorten(found[kind]) for kind in KINDS}
        entry["n_images"] = 2 * arguments.n_images
        methods = AS_EXPLAIN_DRAWS if name in SLOW else METHODS
        entry["methods"] = measure(methods, detector, real, generated, halves)
        write_json(arguments.output, result)
