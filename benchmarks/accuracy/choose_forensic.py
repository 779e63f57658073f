"""Choose the families and the head of ForensicDetector, on aligned images.

    python -m benchmarks choose-forensic DATA

Two questions are asked of every candidate, both without the test parts of A and B and without any
diffusion generator:

same      the training and validation parts of protocol A in five folds, twice
foreign   the training and validation parts of B without the pictures of A's test part: leave out
          each of three StyleGAN-like generators and one of three collections of photographs, in all
          nine pairs

The result is benchmarks/results/choose_forensic.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import cho_factor, cho_solve
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from benchmarks.accuracy.data import KNOWN, Data, make_trials
from benchmarks.arguments import add_data
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import find_versions
from detectorkit import ForensicDetector
from detectorkit.features.stack import FeatureStack
from detectorkit.heads.stacked import _logistic, _scale

RESULT = RESULTS / "choose_forensic.json"
DEFAULT = ("hog", "lbp", "residual")
OTHERS = ("block_dct", "spectrum", "smoothness")
CANDIDATES: list[tuple[tuple[str, ...], str, float]] = [
    *(((name,), "svm", 10.0) for name in DEFAULT),
    (("hog", "lbp"), "svm", 10.0),
    (("lbp", "residual"), "svm", 10.0),
    (DEFAULT, "svm", 1.0),
    (DEFAULT, "svm", 10.0),
    (DEFAULT, "logistic", 10.0),
    (DEFAULT, "logistic", 100.0),
    (DEFAULT, "least squares", 30.0),
    *(((*DEFAULT, name), "svm", 10.0) for name in OTHERS),
    ((*DEFAULT, *OTHERS), "svm", 10.0),
]


def gram_of_families(images: list[Any]) -> dict[str, np.ndarray]:
    """Compute the inner products of the images by each family alone, scaled as in the detector."""
    grams = {}
    for name in (*DEFAULT, *OTHERS):
        stack = FeatureStack(ForensicDetector([name])._chosen())  # noqa: SLF001
        parts = Parallel(n_jobs=-1, prefer="threads")(
            delayed(stack.describe_families)(np.stack(images[start : start + 64]))
            for start in range(0, len(images), 64)
        )
        features = np.concatenate([part[0] for part in parts])
        _scale(features, [slice(0, features.shape[1])])
        grams[name] = features @ features.T
        print(f"{name}: {features.shape[1]} features", flush=True)
    return grams


def held_out(
    gram: np.ndarray, y: np.ndarray, head: str, C: float, folds: Any, *, balanced: bool
) -> list[np.ndarray]:
    """Score the test images of every fold."""
    coordinates = _coordinates_of(gram) if head == "logistic" else None

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        if coordinates is not None:
            return _logistic(C, coordinates[train], y[train], None).decision_function(
                coordinates[test]
            )
        inner, outer = gram[np.ix_(train, train)], gram[np.ix_(test, train)]
        if head == "least squares":
            target = 2.0 * y[train] - 1
            factor = cho_factor(inner + np.eye(len(train)) / C)
            return outer @ cho_solve(factor, target - target.mean()) + target.mean()
        weight = "balanced" if balanced else None
        machine = SVC(kernel="precomputed", C=C, class_weight=weight).fit(inner, y[train])
        return machine.decision_function(outer)

    return Parallel(n_jobs=-1, prefer="threads")(delayed(score)(*fold) for fold in folds)


def _coordinates_of(gram: np.ndarray) -> np.ndarray:
    # Rows with these inner products: the symmetric root is not needed, any will do.
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure all candidates."""
    data = Data(arguments.data)
    same, foreign = choose(data)
    used = np.union1d(same, foreign)
    aligned = data.images("aligned")
    grams = gram_of_families([aligned[i] for i in used])
    same, foreign = (np.searchsorted(used, part) for part in (same, foreign))
    y, origin = data.y[used], data.origin[used]
    repeats = [
        [(same[train], same[test]) for train, test in folds.split(same, y[same])]
        for folds in (StratifiedKFold(5, shuffle=True, random_state=r) for r in (1, 2))
    ]
    pairs = []
    for generator, source in product(KNOWN[:3], KNOWN[3:]):
        is_test = np.isin(origin[foreign], (generator, source))
        pairs.append((foreign[~is_test], foreign[is_test]))
    rows = []
    for families, head, C in CANDIDATES:
        gram = sum(grams[name] for name in families) / np.float32(len(families))
        rows.append(
            {
                "families": families,
                "classifier": head,
                "C": C,
                "same": ask_same(gram, y, head, C, repeats),
                "foreign": ask_foreign(gram, y, head, C, pairs),
            }
        )
        print(rows[-1], flush=True)
    result = {
        "command": "python -m benchmarks choose-forensic DATA",
        "n_same": len(same),
        "n_foreign": len(foreign),
        "versions": find_versions("detectorkit", "numpy", "scikit-learn"),
        "candidates": rows,
    }
    write_json(RESULT, result)


def choose(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Choose the images that may be looked at, for each question."""
    trials = make_trials(data)
    (a,), (b,) = trials["A"], trials["B"]
    tested = set(data.picture[a.test["self"]])
    foreign = np.concatenate([b.train, b.val])
    is_free = [picture not in tested for picture in data.picture[foreign]]
    return np.concatenate([a.train, a.val]), foreign[is_free]


def ask_same(
    gram: np.ndarray, y: np.ndarray, head: str, C: float, repeats: Iterable[Any]
) -> dict[str, float]:
    """Return means over the repeats of the folds."""
    accuracy, area = [], []
    for folds in repeats:
        scores = np.concatenate(held_out(gram, y, head, C, folds, balanced=False))
        truth = np.concatenate([y[test] for _, test in folds])
        accuracy.append(accuracy_score(truth, scores > 0))
        area.append(roc_auc_score(truth, scores))
    return {"accuracy": float(np.mean(accuracy)), "roc_auc": float(np.mean(area))}


def ask_foreign(
    gram: np.ndarray, y: np.ndarray, head: str, C: float, pairs: list[Any]
) -> dict[str, float]:
    """Return the mean and the lowest area where a generator and a collection are left out."""
    found = held_out(gram, y, head, C, pairs, balanced=True)
    areas = [roc_auc_score(y[test], scores) for (_, test), scores in zip(pairs, found, strict=True)]
    return {"mean_roc_auc": float(np.mean(areas)), "lowest_roc_auc": float(np.min(areas))}
