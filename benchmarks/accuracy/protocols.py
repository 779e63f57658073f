"""Measure detectors by the protocols A to D, as found, aligned and cropped.

    python benchmarks/accuracy/protocols.py DATA --detector hog-svm

DATA is a folder with a manifest.csv that has the columns path, label, generator, source and photo.
A new detector needs one line in DETECTORS. The result is benchmarks/results/protocols_NAME.json, of
the form of protocols.schema.json beside this file. It is written after every trial, and what is
already in it is not computed again: an interrupted run goes on where it was.

A  same generator: the photographs and StyleGAN faces of one source, 80/10/10
B  self and foreign: trained on StyleGANs against FFHQ, CelebA and UTKFace; foreign are diffusion
   and flow generators against all other photographs
C  leave out each generator with 48 images or more, and a collection of photographs with it
D  leave out each collection of photographs

"Origin" is the column generator: of a photograph it names the collection. Copies of a photograph,
by the column photo or by their looks, are on one side of every cut. Thresholds are set on
validation parts only; the settings of the detectors were fixed before (see choose_hog_svm.py).
Networks that are trained as a whole get a `Budget` of epochs and images, which the result names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier

from detectorkit import (
    BackboneDetector,
    CNNDetector,
    ForensicDetector,
    HoGSVMDetector,
    ResNetDetector,
)
from detectorkit.datasets import (
    TREATMENTS,
    align_image,
    load_images,
    near_duplicate_groups,
    perceptual_hash,
)
from detectorkit.evaluation import (
    Trial,
    leave_one_generator_out_trials,
    leave_one_source_out_trials,
    run_trial,
    same_generator_trials,
    self_and_foreign_trials,
    summarize_trials,
)
from detectorkit.images.batches import iter_slices
from detectorkit.images.decoding import load_image
from detectorkit.images.sequence import ImageSequence
from detectorkit.model_selection.split import merge_groups
from detectorkit.training.augmentation import Augmentation

RESULTS = Path(__file__).parents[1] / "results"
CACHE = Path(__file__).parents[1] / "cache"  # of features of backbones; not committed

# The settings that cross-validation chose for aligned images; see choose_hog_svm.py.
FINE = {
    "image_size": (240, 240),
    "pixels_per_cell": (6, 6),
    "block_norm": "L2",
    "orientations": 12,
}


class RememberingForensic(ForensicDetector):
    """The same detector, which computes the features of an image once for all trials."""

    known: ClassVar[dict[Any, np.ndarray]] = {}

    def _describe(self, images: Any, stack: Any, n_features: int, score: Any = None) -> Any:
        # Arrays live as long as the trials of a treatment, so their identity names them.
        keys = [item if isinstance(item, str) else id(item) for item in images.items]
        new = [i for i, key in enumerate(keys) if key not in self.known]
        if new:
            chosen = ImageSequence([images.items[i] for i in new])
            rows = (row for part in super()._describe(chosen, stack, n_features) for row in part)
            self.known.update(zip((keys[i] for i in new), rows, strict=True))
        for part in iter_slices(len(keys)):
            features = np.stack([self.known[key] for key in keys[part]])
            yield features if score is None else score(features)


COMMON: dict[str, Any] = {"n_jobs": -1, "random_state": 0}
FROZEN: dict[str, Any] = {**COMMON, "balance": "origin", "cache_dir": CACHE}
CROPS: dict[str, Any] = {"image_size": (96, 96), "n_crops": 5}  # of EfficientNet-Lite0
# Small images, light changes and few epochs: on two cores, all protocols would take days.
LIGHT = Augmentation(resample=0.1, blur=0.1, noise=0.1, jpeg=0.3)
TRAINED: dict[str, Any] = {
    **COMMON,
    "balance": "origin",
    "augmentation": LIGHT,
    "patience": 6,
    "verbose": True,
}


@dataclass(frozen=True)
class Budget:
    """What a training may cost, as the protocols differ in how many there are.

    Attributes
    ----------
    max_epochs : int
        Passes over the training images.
    max_images : int or None
        Training images at most, as many of each origin as there are or as fit. None takes all.
    """

    max_epochs: int
    max_images: int | None = None


ALIGNED_BUDGETS: dict[str, dict[str, Budget]] = {  # their figures count
    "efficientnet-tuned": {"A": Budget(3), "B": Budget(1), **dict.fromkeys("CD", Budget(1, 2000))},
    "cnn": {"A": Budget(25), "B": Budget(8), **dict.fromkeys("CD", Budget(2))},
    "resnet": {"A": Budget(10), "B": Budget(3), **dict.fromkeys("CD", Budget(1))},
}
OTHER_BUDGETS: dict[str, dict[str, Budget]] = {
    "efficientnet-tuned": {"A": Budget(2), "B": Budget(1), **dict.fromkeys("CD", Budget(1, 1000))},
    "cnn": {"A": Budget(12), "B": Budget(4), **dict.fromkeys("CD", Budget(1, 1000))},
    "resnet": {"A": Budget(5), "B": Budget(2), **dict.fromkeys("CD", Budget(1, 1000))},
}


def vote_of(*settings: dict[str, Any]) -> VotingClassifier:
    """Average the probabilities of heads; they are not balanced by origin, as no vote passes it."""
    heads = [BackboneDetector(**COMMON, cache_dir=CACHE, **own) for own in settings]
    return VotingClassifier([(f"head {n}", head) for n, head in enumerate(heads)], voting="soft")


DETECTORS: dict[str, Callable[[], Any]] = {
    "clip": lambda: BackboneDetector("clip-vit-b16", **FROZEN),
    "efficientnet-crops": lambda: BackboneDetector(**CROPS, **FROZEN),
    "clip-and-crops": lambda: vote_of({"backbone": "clip-vit-b16"}, CROPS),
    "efficientnet-frozen": lambda: BackboneDetector(**FROZEN),
    "efficientnet-tuned": lambda: BackboneDetector(
        fine_tune=True, image_size=(160, 160), **TRAINED
    ),
    "cnn": lambda: CNNDetector((64, 64), batch_size=16, **TRAINED),
    "resnet": lambda: ResNetDetector((96, 96), batch_size=16, learning_rate=3e-4, **TRAINED),
    "forensic": lambda: RememberingForensic(n_jobs=-1, random_state=0),
    "hog-svm": lambda: HoGSVMDetector(n_jobs=-1, random_state=0),
    "hog-svm-fine": lambda: HoGSVMDetector(**FINE, n_jobs=-1, random_state=0),
}

UNIMPORTANT = {"n_jobs", "verbose", "cache_dir", "checkpoint"}  # to what is measured
PAIRED_SOURCE = "zoya2244"  # FFHQ and StyleGAN through the same hands
KNOWN = ("stylegan", "stylegan2", "stylegan2-like", "ffhq", "celeba", "utkface")
MIN_GROUP_SIZE = 48  # of a generator that is left out; the five of "dreambooth" are an anecdote


def budget_of(name: str, treatment: str, protocol: str) -> Budget | None:
    """Give what a training may cost; None where there is no limit."""
    budgets = ALIGNED_BUDGETS if treatment == "aligned" else OTHER_BUDGETS
    return budgets.get(name, {}).get(protocol)


def note_budget(entry: dict[str, Any], budget: Budget | None) -> None:
    """Write down what trainings may cost; trials under another budget are not added to."""
    if budget is None:
        return
    known = entry.setdefault("budget", asdict(budget))
    if known != asdict(budget):
        raise SystemExit(f"Trials were measured with {known}: remove them, or restore that budget.")


def make_detector(name: str, budget: Budget | None) -> Any:
    """Make the detector that is measured."""
    detector = DETECTORS[name]()
    return detector if budget is None else detector.set_params(max_epochs=budget.max_epochs)


def thin_out(trial: Trial, origin: np.ndarray, budget: Budget | None) -> Trial:
    """Keep as many of the training images as the budget allows, the same number of each origin."""
    max_images = None if budget is None else budget.max_images
    if max_images is None or len(trial.train) <= max_images:
        return trial
    order = np.random.default_rng(0).permutation(trial.train)
    rank = np.zeros(len(order), int)  # of each image within its origin
    for name in np.unique(origin[order]):
        own = origin[order] == name
        rank[own] = np.arange(own.sum())
    return replace(trial, train=np.sort(order[np.argsort(rank, kind="stable")[:max_images]]))


class Data:
    """The images with what is known of each."""

    def __init__(self, folder: Path) -> None:
        found = load_images(folder / "manifest.csv")
        self.paths, self.y = found.data, found.target
        self.origin, self.source = found.metadata["generator"], found.metadata["source"]
        self.picture = _pictures(found)
        self.sha256 = hashlib.sha256((folder / "manifest.csv").read_bytes()).hexdigest()

    def images(self, treatment: str) -> list[Any]:
        """Give the treated images in memory, or the paths where nothing is done to them."""
        if treatment == "as-found":
            return self.paths
        treat = delayed(lambda path: align_image(load_image(path), treatment))
        return Parallel(n_jobs=-1, prefer="threads")(treat(path) for path in self.paths)


def _pictures(found: Any) -> np.ndarray:
    """Give each image the number of its picture, by the column photo and by its looks."""
    photo = found.metadata["photo"]
    named = np.where(photo == "", [f"row {i}" for i in range(len(photo))], photo)
    copies = near_duplicate_groups(perceptual_hash(found.data, n_jobs=-1, progress=True))
    by_name = np.unique(named, return_inverse=True)[1]
    return merge_groups([by_name, copies], len(photo)).astype(str)


def make_trials(data: Data) -> dict[str, list[Trial]]:
    """Give the trials of every protocol, with indices into all images."""
    y, origin, picture = data.y, data.origin, data.picture
    paired = np.flatnonzero(data.source == PAIRED_SOURCE)
    names, counts = np.unique(origin, return_counts=True)
    large = np.flatnonzero(np.isin(origin, names[counts >= MIN_GROUP_SIZE]) | (y == 0))
    return {
        "A": _within(paired, same_generator_trials, y, origin, picture),
        "B": _within(large, self_and_foreign_trials, y, origin, picture, known=KNOWN),
        "C": leave_one_generator_out_trials(
            y, origin, picture=picture, min_group_size=MIN_GROUP_SIZE
        ),
        "D": leave_one_source_out_trials(y, origin, picture=picture),
    }


def _within(
    chosen: np.ndarray,
    make: Callable[..., list[Trial]],
    y: Any,
    origin: Any,
    picture: Any,
    **more: Any,
) -> list[Trial]:
    """Make the trials of some images only."""
    trials = make(y[chosen], origin[chosen], picture=picture[chosen], **more)
    return [
        Trial(
            trial.name,
            chosen[trial.train],
            chosen[trial.val],
            {name: chosen[index] for name, index in trial.test.items()},
        )
        for trial in trials
    ]


def public_name(detector: Any) -> str:
    """Give the class of the library that a detector is of, or else its own."""
    kinds = [kind for kind in type(detector).__mro__ if kind.__module__.startswith("detectorkit.")]
    return (kinds or [type(detector)])[0].__name__


def plain(value: Any) -> Any:
    """Give a parameter as JSON has it."""
    if isinstance(value, Augmentation):
        return repr(value)
    if isinstance(value, list) and isinstance(value[0], tuple):  # the detectors of a vote
        parts = [clone(part).set_params(n_jobs=None, cache_dir=None) for _, part in value]
        return [" ".join(repr(part).split()) for part in parts]
    return value


def describe(name: str, detector: Any, data: Data, command: str) -> dict[str, Any]:
    """Say what is measured, on what and by what."""
    parameters = detector.get_params(deep=False)
    return {
        "schema": "detectorkit protocols 1",
        "script": "benchmarks/accuracy/protocols.py",
        "command": command,
        "detector": {
            "name": name,
            "class": public_name(detector),
            "parameters": {
                key: plain(value) for key, value in parameters.items() if key not in UNIMPORTANT
            },
        },
        "data": {
            "manifest_sha256": data.sha256,
            "n_real": int(np.sum(data.y == 0)),
            "n_generated": int(np.sum(data.y == 1)),
        },
        "versions": {
            "python": platform.python_version(),
            **{
                package: version(package)
                for package in ("detectorkit", "numpy", "opencv-python-headless", "scikit-learn")
            },
        },
    }


def run(name: str, data: Data, output: Path, treatments: list[str], protocols: list[str]) -> None:
    """Measure one detector; go on where an earlier run was."""
    command = f"python benchmarks/accuracy/protocols.py DATA --detector {name}"
    result = json.loads(output.read_text()) if output.exists() else {}
    result |= describe(name, DETECTORS[name](), data, command)
    by_treatment = result.setdefault("results", {})
    all_trials = make_trials(data)
    for treatment in treatments:
        images = None
        RememberingForensic.known.clear()
        for protocol in protocols:
            trials = all_trials[protocol]
            entry = by_treatment.setdefault(treatment, {}).setdefault(protocol, {"trials": {}})
            budget = budget_of(name, treatment, protocol)
            note_budget(entry, budget)
            for trial in trials:
                if trial.name in entry["trials"]:
                    continue
                images = data.images(treatment) if images is None else images
                start = time.perf_counter()
                columns = {"origin": data.origin, "picture": data.picture}
                thin = thin_out(trial, data.origin, budget)
                detector = make_detector(name, budget)
                found = run_trial(detector, images, data.y, trial=thin, **columns)
                entry["trials"][trial.name] = found.to_dict()
                entry["summary"] = summarize_trials(entry["trials"].values())
                _write(output, result)
                seconds = time.perf_counter() - start
                print(f"{name}, {treatment}, {protocol}, {trial.name}: {seconds:.0f} s", flush=True)
            print(f"{name}, {treatment}, {protocol}: {json.dumps(entry['summary'])}", flush=True)
    _write(output, result)


def _write(output: Path, result: dict[str, Any]) -> None:
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    partial.replace(output)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    parser.add_argument("--treatment", choices=TREATMENTS, action="append")
    parser.add_argument("--protocol", choices="ABCD", action="append")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    name = arguments.detector
    output = arguments.output or RESULTS / f"protocols_{name.replace('-', '_')}.json"
    treatments = arguments.treatment or list(TREATMENTS)
    run(name, Data(arguments.data), output, treatments, arguments.protocol or list("ABCD"))


if __name__ == "__main__":
    main()
