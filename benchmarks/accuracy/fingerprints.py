"""Attribute images to generators by fingerprints, and ask whose fingerprints they are.

    python -m benchmarks fingerprints DATA

attribution   48 images of every generator that has as many, in two halves that take turns as
              training and test part. Generators with at least 24 images outside of their largest
              repository are split by repository ("across"), the others within theirs ("within").
              Treated as "aligned" (160 pixels) or "crop" (160 pixels at the resolution of the
              file), then as JPEG 85. Confusion matrix without "unknown", and with it at a
              false-alarm rate of 5 % which is set on photographs of half of the sources;
              "photographs" is the rate on the other half. "known_auc" is how well the highest
              score tells test images of known generators from those of one whose fingerprint is
              taken away
native        crops of 256 x 256 original pixels, by the column native: no generator has 48 of them,
              so one fingerprint is made of all generated ones, on sources left out in five folds
pairs         correlation of the fingerprints of two groups of images, as it would be without noise:
              1 is the same pattern. The interval resamples images
stability     strength of each fingerprint, and how many images it needs for a reliability of 0.9
cost          milliseconds of a processor an image by residual, seconds by number of images, and
              the peak of memory
planted       detection of known patterns against the formula (planted_patterns.py)

Intervals of 95 % are Wilson's, over images, if nothing else is said; images of one repository are
not independent. Takes some two minutes of a processor. The results are
benchmarks/results/fingerprints.json, and docs/figures/fingerprints.png with the spectra of the
crops.
"""

from __future__ import annotations

import argparse
import io
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.accuracy.planted_patterns import measure_planted
from benchmarks.arguments import add_data
from benchmarks.files import DOCS, RESULTS, read_json, write_json
from benchmarks.machine import describe_machine, find_versions
from detectorkit.datasets import load_images
from detectorkit.fingerprint import FingerprintDisplay, FingerprintEstimator, noise_residuals
from detectorkit.fingerprint.residuals import RESIDUALS
from detectorkit.images import Preprocessing, Treatment, check_images
from detectorkit.metrics.auc import roc_auc_estimate
from detectorkit.metrics.estimates import Estimate, proportion

RESULT = RESULTS / "fingerprints.json"
TREATMENTS = {"aligned": Treatment(), "crop": Treatment("crop")}
N = 48
N_REAL = 240
RATE = 0.05
PACKAGES = ("detectorkit", "numpy", "opencv-python-headless", "scikit-learn")
PAIRS = {
    "stylegan2 of two repositories": ("stylegan2@junguler", "stylegan2@joujoucous"),
    "stylegan2-like of two repositories": (
        "stylegan2-like@sakshisalunkhe601",
        "stylegan2-like@hmdghoul",
    ),
    "sd15 of two halves of its repositories": ("sd15@half 0", "sd15@half 1"),
    "gemini-image of two halves": ("gemini-image@half 0", "gemini-image@half 1"),
    "sdxl and flux1-schnell of one repository": ("sdxl@sfhq-t2i", "flux1-schnell@sfhq-t2i"),
    "stylegan and photographs of one repository": ("stylegan@zoya2244", "ffhq@zoya2244"),
    "stylegan2 and photographs of one repository": ("stylegan2@joujoucous", "ffhq@joujoucous"),
    "ffhq photographs of two repositories": ("ffhq@zoya2244", "ffhq@joujoucous"),
    "stylegan and stylegan2 of two repositories": ("stylegan@zoya2244", "stylegan2@junguler"),
    "stylegan and sdxl of two repositories": ("stylegan@zoya2244", "sdxl@sfhq-t2i"),
}
N_PAIR = 60  # images of each group at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")


def run(arguments: argparse.Namespace) -> None:
    """Measure what is asked for, and keep each part as soon as it is there."""
    images = Images(arguments.data)
    for part in arguments.part or PARTS:
        measured = PARTS[part](images)
        result = {
            "command": "python -m benchmarks fingerprints DATA",
            "versions": find_versions(*PACKAGES),
            "machine": describe_machine(),
        }
        write_json(RESULT, read_json(RESULT) | result | {part: measured})
        print(part, measured, flush=True)


def measure_attribution(images: Images) -> dict[str, Any]:
    """Attribute images by both treatments."""
    chosen, folds = images.choose()
    labels = images.labels[chosen]
    found: dict[str, Any] = {"n": N, "generators": images.describe(chosen)}
    for name, treatment in TREATMENTS.items():
        pixels = images.read(chosen, treatment)
        found[name] = attribute(pixels, labels, folds, "highpass", full=True)
        found[name]["stability"] = measure_stability(pixels, labels)
        right = found[name]["confusion"]
        for kind in ("across", "within"):
            names = [n for n in right if images.splits[n] == kind]
            hits = sum(right[n][list(right).index(n)] for n in names)
            found[name][f"accuracy_{kind}"] = proportion(hits, N * len(names))
        found[name]["accuracy_by_residual"] = {
            r: attribute(pixels, labels, folds, r)["accuracy"] for r in ("wavelet", "median")
        }
        if name == "crop":
            draw(pixels, labels)
    return found


class Images:
    """The images of the manifest, with labels: generators, or "real"."""

    def __init__(self, folder: Path) -> None:
        found = load_images(folder / "manifest.csv")
        self.folder, self.paths = folder, np.array(found.data, dtype=object)
        self.origin, self.source = found.metadata["generator"], found.metadata["source"]
        self.native = found.metadata["native"]
        self.splits: dict[str, str] = {}  # how each generator is halved
        self.labels = np.where(found.target == 0, "real", self.origin.astype(str))

    def choose(self) -> tuple[np.ndarray, np.ndarray]:
        """Choose as many images of every generator, and their halves."""
        random = np.random.default_rng(0)
        names, counts = np.unique(self.labels, return_counts=True)
        chosen, folds = [], []
        for name in names[counts >= N]:
            if name.startswith("unknown-"):  # of many generators
                continue
            index = np.flatnonzero(self.labels == name)
            largest = np.unique(self.source[index], return_counts=True)[1].max()
            self.splits[name] = "within" if len(index) - largest < N // 2 else "across"
            n = N_REAL if name == "real" else N
            for half, part in enumerate(self.halve(index, random)):
                picked = self.take_turns(part, n // 2, random)
                chosen.extend(picked)
                folds.extend([half] * len(picked))
        return np.array(chosen), np.array(folds)

    def halve(self, index: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        """Split images in halves, by source if there are enough outside of the largest."""
        sources, counts = np.unique(self.source[index], return_counts=True)
        largest = sources[counts.argmax()]
        if counts.sum() - counts.max() < N // 2:
            mine = random.permutation(index[self.source[index] == largest])
            return [mine[::2], mine[1::2]]
        total, half = [0, 0], {}
        for source, count in sorted(zip(sources, counts, strict=True), key=lambda x: (-x[1], x[0])):
            half[source] = int(total[1] < total[0])
            total[half[source]] += count
        side = np.array([half[source] for source in self.source[index]])
        return [index[side == 0], index[side == 1]]

    def take_turns(self, index: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
        """Draw images from all sources in turn."""
        order = random.permutation(index)
        seen: dict[str, int] = {}
        rank = []
        for source in self.source[order]:
            seen[source] = seen.get(source, 0) + 1
            rank.append(seen[source])
        return order[np.argsort(rank, kind="stable")[:n]]

    def describe(self, chosen: np.ndarray) -> dict[str, Any]:
        """Count the images and sources of each generator."""
        found = {}
        for name in np.unique(self.labels[chosen]):
            mine = chosen[self.labels[chosen] == name]
            sources = len(np.unique(self.source[mine]))
            found[str(name)] = {"n": len(mine), "n_sources": sources, "split": self.splits[name]}
        return found

    def read(self, index: np.ndarray, treatment: Treatment | None) -> np.ndarray:
        """Read images as grey planes of one size."""
        preparation = Preprocessing(None, "gray", treatment=treatment)
        images = check_images(list(self.paths[index]))
        return np.stack([images.read(i, preparation) for i in range(len(images))])

    def compare_pairs(self, treatment: Treatment) -> dict[str, Any]:
        """Correlate the fingerprints of pairs of groups, treated in one way."""
        names = sorted({name for pair in PAIRS.values() for name in pair})
        residuals = {}
        for name in names:
            index = self.group(name)
            residuals[name] = noise_residuals(self.read(index, treatment)).reshape(len(index), -1)
        found = {}
        for title, (one, two) in PAIRS.items():
            estimate = noise_free_correlation(residuals[one], residuals[two])
            sizes = len(residuals[one]), len(residuals[two])
            found[title] = {"groups": (one, two), "n": sizes, "correlation": estimate}
        return found

    def group(self, name: str) -> np.ndarray:
        """Return images of a generator, or collection, in a repository or half of several."""
        origin, _, where = name.partition("@")
        mine = np.flatnonzero(self.origin == origin)
        random = np.random.default_rng(0)
        if where.startswith("half "):
            return random.permutation(self.halve(mine, random)[int(where[-1])])[:N_PAIR]
        return random.permutation(mine[self.source[mine] == where])[:N_PAIR]

    def measure_native(self) -> dict[str, Any]:
        """Measure one common fingerprint against photographs, on sources left out."""
        has = np.array([bool(v) and str(v) != "nan" for v in self.native])
        index = np.flatnonzero(has)
        paths = [self.folder / str(v) for v in self.native[index]]
        y = np.where(self.labels[index] == "real", "real", "generated")
        sources = np.unique(self.source[index])
        fold_of = dict(
            zip(sources, np.random.default_rng(0).permutation(len(sources)) % 5, strict=True)
        )
        folds = np.array([fold_of[s] for s in self.source[index]])
        scores = np.empty((len(y), 2))
        for fold in range(5):
            train = np.flatnonzero(folds != fold)
            test = np.flatnonzero(folds == fold)
            estimator = FingerprintEstimator(crop_size=(256, 256), false_alarm_rate=None)
            estimator.fit([paths[i] for i in train], y[train])
            scores[test] = estimator.transform([paths[i] for i in test])
        truth = (y == "generated").astype(int)
        largest = np.unique(self.labels[index][truth == 1], return_counts=True)[1].max()
        return {
            "n_generated": int(truth.sum()),
            "n_real": int((truth == 0).sum()),
            "n_sources": len(sources),
            "largest_generator": int(largest),
            "auc_correlation": roc_auc_estimate(truth, scores[:, 0]),
            "auc_pce": roc_auc_estimate(truth, scores[:, 1]),
        }


def attribute(
    pixels: np.ndarray, labels: np.ndarray, folds: np.ndarray, residual: str, *, full: bool = False
) -> dict[str, Any]:
    """Attribute each half by the fingerprints of the other."""
    names = [str(n) for n in np.unique(labels) if n != "real"]
    margins = np.empty((len(labels), len(names)))
    for fold in (0, 1):
        train, test = folds != fold, folds == fold
        estimator = FingerprintEstimator(residual, crop_size=None, false_alarm_rate=RATE)
        estimator.fit(pixels[train], labels[train])
        margins[test] = estimator.decision_function(pixels[test])
    is_known = labels != "real"
    closed = np.array(names)[margins.argmax(axis=1)]
    right = closed[is_known] == labels[is_known]
    found: dict[str, Any] = {
        "accuracy": proportion(int(right.sum()), len(right)),
        "chance": 1 / len(names),
    }
    if not full:
        return found
    answers = np.where(margins.max(axis=1) > 0, closed, "unknown")
    known = labels[is_known]
    found["recall"] = {n: proportion(int(right[known == n].sum()), N) for n in names}
    found["confusion"] = {n: [int(np.sum(closed[labels == n] == m)) for m in names] for n in names}
    found["with_unknown"] = {
        n: [int(np.sum(answers[labels == n] == m)) for m in [*names, "unknown"]]
        for n in [*names, "real"]
    }
    alarms = int(np.sum(answers[~is_known] != "unknown"))
    found["photographs"] = proportion(alarms, int(np.sum(~is_known)))
    found["known_auc"] = {n: _known_auc(margins, labels, names, n) for n in names}
    values = [e.value for e in found["known_auc"].values()]
    found["known_auc_mean"] = float(np.mean(values))
    highest = margins.max(axis=1)
    found["photographs_auc"] = roc_auc_estimate(is_known.astype(int), highest)
    return found


def _known_auc(margins: np.ndarray, labels: np.ndarray, names: list[str], name: str) -> Estimate:
    """Measure images of known generators against those of one whose fingerprint is taken away."""
    others = np.delete(margins, names.index(name), axis=1).max(axis=1)
    is_known = labels != "real"
    return roc_auc_estimate((labels[is_known] != name).astype(int), others[is_known])


def noise_free_correlation(one: np.ndarray, two: np.ndarray) -> Estimate:
    """Correlate fingerprints without what images do not have in common.

    The mean product of residuals of both groups, over the root of those of pairs in each group.
    """
    joined = np.concatenate([one, two])
    products = (joined @ joined.T).astype(np.float64) / joined.shape[1]
    n = len(one)
    random = np.random.default_rng(0)

    def correlate(a: np.ndarray, b: np.ndarray) -> float:
        strengths = [
            (w @ p @ w - w**2 @ np.diag(p)) / (w.sum() ** 2 - (w**2).sum())
            for w, p in ((a, products[:n, :n]), (b, products[n:, n:]))
        ]
        cross = a @ products[:n, n:] @ b / (a.sum() * b.sum())
        return float(cross / np.sqrt(np.prod(strengths))) if min(strengths) > 0 else np.nan

    drawn = [
        correlate(
            random.multinomial(n, np.full(n, 1 / n)),
            random.multinomial(len(two), np.full(len(two), 1 / len(two))),
        )
        for _ in range(500)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(correlate(np.ones(n), np.ones(len(two))), float(low), float(high))


def measure_stability(pixels: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Measure the strength of each fingerprint, and of photographs."""
    estimator = FingerprintEstimator(crop_size=None, random_state=0)
    found = {}
    for name, s in estimator.stability(pixels, labels).items():
        needed = [n if np.isfinite(n) else np.nan for n in s.n_images_needed(0.9)]
        found[name] = {"n": s.n_images, "strength": s.strength, "n_needed": needed}
    return found


def measure_cost() -> dict[str, Any]:
    """Measure time and memory by residual and by the number of images."""
    images = np.random.default_rng(0).integers(0, 256, (400, 256, 256), dtype=np.uint8)
    found: dict[str, Any] = {"size": (256, 256), "ms_per_image": {}}
    for residual in RESIDUALS:
        start = time.process_time()
        noise_residuals(images[:24], residual)
        found["ms_per_image"][residual] = (time.process_time() - start) / 24 * 1000
    counts = (50, 100, 200, 400)
    seconds, peaks = [], []
    for n in counts:
        y = np.repeat("generator", n)
        estimator = FingerprintEstimator(crop_size=(256, 256), false_alarm_rate=None)
        start = time.process_time()
        estimator.fit(images[:n], y)
        seconds.append(time.process_time() - start)
        tracemalloc.start()
        estimator.fit(images[:n], y)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    found |= {"n": counts, "fit_seconds": seconds, "peak_mb": peaks}
    found["seconds_per_doubling"] = [b / a for a, b in pairwise(seconds)]
    found["transform_ms"] = _time_transform(images)
    return found


def _time_transform(images: np.ndarray) -> dict[str, float]:
    """Measure the milliseconds an image of scores with ten fingerprints."""
    y = np.arange(100) % 10
    estimator = FingerprintEstimator(crop_size=(256, 256), false_alarm_rate=None)
    estimator.fit(images[:100], y)
    found = {}
    for name in ("score_samples", "transform"):
        start = time.process_time()
        getattr(estimator, name)(images[:100])
        found[name] = (time.process_time() - start) * 10
    return found


def draw(pixels: np.ndarray, labels: np.ndarray) -> None:
    """Draw the spectra and autocorrelations."""
    estimator = FingerprintEstimator(crop_size=None, false_alarm_rate=None).fit(pixels, labels)
    figure = Figure(figsize=(14, 3), layout="constrained")
    FingerprintDisplay.from_estimator(estimator, figure=figure)
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=70)
        few_colors = Image.open(file).convert("RGB").quantize(48, dither=Image.Dither.NONE)
        few_colors.save(DOCS / "figures" / "fingerprints.png", optimize=True)


PARTS = {
    "attribution": measure_attribution,
    "planted": lambda _: measure_planted(),
    "pairs": lambda images: {k: images.compare_pairs(t) for k, t in TREATMENTS.items()},
    "native": Images.measure_native,
    "cost": lambda _: measure_cost(),
}
"""Function that measures each part of the result."""
