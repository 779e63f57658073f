"""Choose what a frozen network gives and how its head learns, without a test image.

    python -m benchmarks choose-networks DATA [--weights FOLDER] [--part recipes]

Two questions are asked of each candidate, and only of training and validation parts of
the protocols: "same", five-fold cross-validation over those of A, and "left out", where of the
training part of B a GAN and a collection of photographs are left out together, for each GAN.
FOLDER holds the weights of the tiny autoencoder that makes pairs; without it the part "pairs" is
passed over. The part "recipes" also asks CLIP, see `detectorkit backbones add`. The result is
results/choose_networks.json, of which a run replaces the parts that it was asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.detectors import CROPS, vote_of
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, RESULTS, read_json, write_json
from detectorkit import BackboneDetector
from detectorkit.backbones import embed_images, find_backbone
from detectorkit.datasets import align_image
from detectorkit.detectors._trained import balanced_chances
from detectorkit.heads.mlp import HeadSettings, fit_network_head
from detectorkit.images.decoding import load_image
from detectorkit.images.sequence import check_images
from detectorkit.training.augmentation import Augmentation

LEVELS = {
    "after 2 pixels (16 maps)": 16,
    "after 4 pixels (24 maps)": 24,
    "after 8 pixels (40 maps)": 40,
    "after 16 pixels (80 maps)": 80,
    "after 16 pixels (112 maps)": 112,
    "after 32 pixels (192 maps)": 192,
}
LEFT_OUT = (("stylegan", "ffhq"), ("stylegan2", "celeba"), ("stylegan2-like", "utkface"))
HEADS: dict[str, dict[str, Any]] = {
    "bottleneck of 64 (default)": {},
    "linear": {"bottleneck": None},
    "bottleneck of 64, alpha=1": {"alpha": 1.0},
    "bottleneck of 64, alpha=10": {"alpha": 10.0},
    "bottleneck of 64, learning rate 1e-4": {"learning_rate": 1e-4},
}
N_PAIRS = 300  # photographs of each collection that are reconstructed
RECIPES: dict[str, dict[str, Any]] = {
    'EfficientNet at 224 pixels, balance="origin"': {},
    "balance=None": {"balance": None},
    'validation="origins"': {"validation": "origins"},
    "160 pixels, not enlarged": {"image_size": (160, 160)},
    "5 crops of 96 pixels, not enlarged": CROPS,
    "CLIP": {"backbone": "clip-vit-b16"},
}
AUGMENTED = "with augmented copies"
VOTES: dict[str, tuple[dict[str, Any], ...]] = {
    "vote of EfficientNet and CLIP, balance=None": ({}, {"backbone": "clip-vit-b16"}),
    "vote of 5 crops and CLIP, balance=None": (CROPS, {"backbone": "clip-vit-b16"}),
}
PARTS = ("levels", "heads", "pairs", "recipes")

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Study:
    """The images that may be looked at, and what is asked of them."""

    def __init__(self, data: Data) -> None:
        self.data = data
        trials = make_trials(data)
        (a,), (b,) = trials["A"], trials["B"]
        self.same = np.concatenate([a.train, a.val])
        self.b_train = b.train

    def left_out(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Choose training and test images without a GAN and a collection."""
        for names in LEFT_OUT:
            out = np.isin(self.data.origin[self.b_train], names)
            yield self.b_train[~out], self.b_train[out]

    def ask(self, score: Scorer, *, same: bool = True) -> dict[str, Any]:
        """Ask both questions of what fits on some images and scores others."""
        y, origin = self.data.y, self.data.origin
        answer: dict[str, Any] = {}
        if same:
            scores = np.zeros(len(self.same))
            folds = StratifiedKFold(5, shuffle=True, random_state=0)
            for train, test in folds.split(self.same, y[self.same]):
                scores[test] = score(self.same[train], self.same[test])
            answer["same"] = {
                "accuracy": float(np.mean((scores > 0) == y[self.same])),
                "roc_auc": float(roc_auc_score(y[self.same], scores)),
            }
        areas, macros = [], []
        for train, test in self.left_out():
            scores = score(train, test)
            areas.append(float(roc_auc_score(y[test], scores)))
            called = [
                float(np.mean(scores[origin[test] == o] > 0)) for o in np.unique(origin[test])
            ]
            is_fake = [bool(y[test][origin[test] == o][0]) for o in np.unique(origin[test])]
            macros.append(
                float(np.mean([c if f else 1 - c for c, f in zip(called, is_fake, strict=True)]))
            )
        answer["left_out"] = {"roc_auc": areas, "macro_balanced_accuracy": float(np.mean(macros))}
        return answer


def logistic(
    features: np.ndarray, study: Study, extra: Any = None, *, only_extra: bool = False
) -> Scorer:
    """Make a scorer: logistic regression, with all origins of the same weight."""
    y, origin = study.data.y, study.data.origin

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        rows, codes, names = features[train], y[train], origin[train]
        if extra is not None:
            index, twins = extra
            known = np.isin(index, train)
            kept = codes == 0 if only_extra else np.ones(len(codes), bool)
            rows = np.concatenate([rows[kept], twins[known]])
            codes = np.concatenate([codes[kept], np.ones(known.sum(), int)])
            names = np.concatenate([names[kept], np.full(known.sum(), "twin")])
        weight = balanced_chances(codes, names) * len(codes)
        machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300))
        machine.fit(rows, codes, logisticregression__sample_weight=weight)
        return machine.decision_function(features[test])

    return score


def network_head(features: np.ndarray, study: Study, **changes: Any) -> Scorer:
    """Make a scorer: the head of BackboneDetector."""
    settings = {
        "bottleneck": 64,
        "learning_rate": 1e-3,
        "alpha": 1e-4,
        "dropout": 0.2,
        "mixup": 0.0,
        "n_heads": 1,
        "batch_size": 32,
        "max_epochs": 50,
        "patience": 6,
        "seed": 0,
        "verbose": False,
    } | changes

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        order = np.random.default_rng(0).permutation(len(train))
        cut = len(train) // 10
        weight = balanced_chances(study.data.y[train], study.data.origin[train]) * len(train)
        head = fit_network_head(
            features[train],
            study.data.y[train],
            weight,
            order[cut:],
            order[:cut],
            HeadSettings(**settings),
        )
        return head.score(features[test])

    return score


def make_twins(study: Study, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reconstruct photographs of the training part of B, cropped at native resolution."""
    from detectorkit.training import TinyAutoencoder  # noqa: PLC0415 - needs torch

    autoencoder = TinyAutoencoder(folder)
    random = np.random.RandomState(0)
    chosen: list[int] = []
    for name in ("ffhq", "celeba", "utkface"):
        of_source = study.b_train[study.data.origin[study.b_train] == name]
        chosen += random.permutation(of_source)[:N_PAIRS].tolist()
    twins = []
    for index in chosen:
        image = load_image(study.data.paths[index])
        top, left = (image.shape[0] - 160) // 2, (image.shape[1] - 160) // 2
        crop = image[top : top + 160, left : left + 160]
        noise = random.uniform(0, 0.3)
        twin = autoencoder.reconstruct(crop, noise=noise, random_state=random)
        twins.append(align_image(twin, "crop"))
    return np.array(chosen), np.stack(twins)


def head_of(images: np.ndarray, study: Study, copies: Any = None, **settings: Any) -> Scorer:
    """Make a scorer: BackboneDetector with some settings; its training sees the copies too."""
    y, origin = study.data.y, study.data.origin
    common = {"balance": "origin", "cache_dir": CACHE, "n_jobs": -1, "random_state": 0}

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        shown, index = images[train], train
        if copies is not None:
            shown, index = np.concatenate([shown, copies[train]]), np.tile(train, 2)
        detector = BackboneDetector(**common | settings)
        # A copy is on the side of its original when a part is set aside for stopping.
        detector.fit(shown, y[index], origin=origin[index], groups=index)
        return detector.decision_function(images[test])

    return score


def vote(images: np.ndarray, study: Study, *settings: dict[str, Any]) -> Scorer:
    """Make a scorer: the mean probability of several heads."""

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        detector = vote_of(*settings).fit(images[train], study.data.y[train])
        return detector.predict_proba(images[test])[:, 1] - 0.5

    return score


def ask_recipes(study: Study) -> dict[str, Any]:
    """Ask each way to train a head, one by one, on aligned images."""
    images = np.stack(study.data.images("aligned"))
    random = np.random.default_rng(0)
    copies = np.stack([Augmentation().apply(image, (160, 160), random) for image in images])
    scorers = {name: head_of(images, study, **settings) for name, settings in RECIPES.items()}
    scorers[AUGMENTED] = head_of(images, study, copies)
    scorers |= {name: vote(images, study, *settings) for name, settings in VOTES.items()}
    result = {}
    for name, score in scorers.items():
        result[name] = study.ask(score, same=name != 'validation="origins"')  # A has one of each
        print(name, result[name], flush=True)
    return result


def ask_levels(study: Study, treatment: str) -> dict[str, Any]:
    """Ask each level of EfficientNet-Lite0."""
    features = embed(study, treatment)
    levels: dict[str, Any] = {}
    start = 0
    for name, width in LEVELS.items():
        levels[name] = features[:, start : start + 2 * width]
        start += 2 * width
    levels |= {"last layer": features[:, start:], "all levels": features}
    result = {}
    for name, columns in levels.items():
        result[name] = study.ask(logistic(columns, study))
        print(treatment, name, result[name], flush=True)
    return result


def ask_heads(study: Study) -> dict[str, Any]:
    """Ask each head on all levels."""
    features = embed(study, "aligned")
    result = {}
    for name, changes in HEADS.items():
        result[name] = study.ask(network_head(features, study, **changes))
        print(name, result[name], flush=True)
    return result


def ask_pairs(study: Study, folder: Path) -> dict[str, Any]:
    """Ask what pairs with reconstructions add."""
    features = embed(study, "crop")
    index, twins = make_twins(study, folder)
    backbone = find_backbone("efficientnet-lite0")
    extra = (index, embed_images(backbone, check_images(twins), cache_dir=CACHE, n_jobs=-1))
    result = {}
    for name, taken, only in (
        ("GANs", None, False),
        ("GANs and pairs", extra, False),
        ("pairs", extra, True),
    ):
        result[name] = study.ask(logistic(features, study, taken, only_extra=only), same=False)
        print(name, result[name], flush=True)
    return result


def embed(study: Study, treatment: str) -> np.ndarray:
    """Compute the features of all images; they are kept on disk."""
    images = check_images(np.stack(study.data.images(treatment)))
    return embed_images(find_backbone("efficientnet-lite0"), images, cache_dir=CACHE, n_jobs=-1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--weights", type=Path, help="folder of the tiny autoencoder's weights")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")


def run(arguments: argparse.Namespace) -> None:
    """Ask everything and write the answers."""
    study = Study(Data(arguments.data))
    path = RESULTS / "choose_networks.json"
    command = "python -m benchmarks choose-networks DATA --weights FOLDER"
    result: dict[str, Any] = read_json(path) | {"command": command}
    for part in arguments.part or PARTS:
        if part == "levels":
            result[part] = {t: ask_levels(study, t) for t in ("aligned", "crop")}
        elif part == "heads":
            result[part] = ask_heads(study)
        elif part == "recipes":
            result[part] = ask_recipes(study)
        elif arguments.weights is not None:
            result[part] = ask_pairs(study, arguments.weights)
        write_json(path, result)
