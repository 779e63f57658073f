"""Choose the families and the head of ForensicDetector, on aligned images.

    python benchmarks/accuracy/choose_forensic.py DATA

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
import json
import platform
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from protocols import KNOWN, Data, make_trials
from scipy.linalg import cho_factor, cho_solve
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from detectorkit import ForensicDetector
from detectorkit.features.stack import FeatureStack
from detectorkit.heads.stacked import _logistic, _scale

RESULT = Path(__file__).parents[1] / "results" / "choose_forensic.json"
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
    """Give the inner products of the images by each family alone, scaled as in the detector."""
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


def main() -> None:
    """Measure all candidates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data = Data(parser.parse_args().data)
    trials = make_trials(data)
    (a,), (b,) = trials["A"], trials["B"]
    same = np.concatenate([a.train, a.val])
    tested = set(data.picture[a.test["self"]])
    foreign = np.concatenate([b.train, b.val])
    foreign = foreign[[picture not in tested for picture in data.picture[foreign]]]
    used = np.union1d(same, foreign)
    aligned = data.images("aligned")
    grams = gram_of_families([aligned[i] for i in used])
    place = {index: k for k, index in enumerate(used)}
    same, foreign = (np.array([place[i] for i in part]) for part in (same, foreign))
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
        accuracy, auc = [], []
        for folds in repeats:
            scores = np.concatenate(held_out(gram, y, head, C, folds, balanced=False))
            truth = np.concatenate([y[test] for _, test in folds])
            accuracy.append(accuracy_score(truth, scores > 0))
            auc.append(roc_auc_score(truth, scores))
        areas = [
            roc_auc_score(y[test], scores)
            for (_, test), scores in zip(
                pairs, held_out(gram, y, head, C, pairs, balanced=True), strict=True
            )
        ]
        rows.append(
            {
                "families": families,
                "classifier": head,
                "C": C,
                "same": {"accuracy": np.mean(accuracy), "roc_auc": np.mean(auc)},
                "foreign": {"mean_roc_auc": np.mean(areas), "lowest_roc_auc": np.min(areas)},
            }
        )
        print(rows[-1], flush=True)
    result = {
        "script": "benchmarks/accuracy/choose_forensic.py",
        "command": "python benchmarks/accuracy/choose_forensic.py DATA",
        "n_same": len(same),
        "n_foreign": len(foreign),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("detectorkit", "numpy", "scikit-learn")},
        },
        "candidates": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
