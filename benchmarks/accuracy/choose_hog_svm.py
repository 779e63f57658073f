"""Choose the settings of HoG + SVM by cross-validation, as found, aligned and cropped.

    python -m benchmarks choose-hog-svm DATA

The training and validation parts of protocol A, 1980 photographs and StyleGAN faces that went
through the same hands, are cut into five folds. The test part is not touched: "protocols" measures
it. The result is benchmarks/results/choose_hog_svm.json, with [accuracy, area] at each C; what is
already in it is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.table import TREATMENTS
from benchmarks.arguments import add_data, add_output
from benchmarks.files import RESULTS, read_json, write_json
from benchmarks.machine import find_versions
from detectorkit.features import HoGTransformer

RESULT = RESULTS / "choose_hog_svm.json"
PLAIN = {"image_size": (128, 128)}
SMALL = {"image_size": (240, 240), "pixels_per_cell": (6, 6)}
CANDIDATES = [
    PLAIN,
    PLAIN | {"color_space": "rgb"},
    PLAIN | {"orientations": 18},
    PLAIN | {"transform_sqrt": True},
    PLAIN | {"block_norm": "L2"},
    PLAIN | {"pixels_per_cell": (16, 16)},
    PLAIN | {"pixels_per_cell": (4, 4)},
    PLAIN | {"pixels_per_cell": (4, 4), "cells_per_block": (1, 1)},
    {"image_size": (160, 160), "pixels_per_cell": (4, 4)},
    SMALL,
    SMALL | {"cells_per_block": (3, 3)},
    SMALL | {"color_space": "rgb"},
    SMALL | {"block_norm": "L2"},
    SMALL | {"block_norm": "L2", "orientations": 12},
]
C_TRIED = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def cross_validate(features: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Measure accuracy and area of every C on held-out folds, from one Gram matrix."""
    features -= features.mean(axis=0)
    gram = features @ features.T
    folds = list(StratifiedKFold(5, shuffle=True, random_state=1).split(y, y))
    rows = []
    for C in C_TRIED:
        scores = np.empty(len(y))
        for train, test in folds:
            machine = SVC(kernel="precomputed", C=C).fit(gram[np.ix_(train, train)], y[train])
            scores[test] = machine.decision_function(gram[np.ix_(test, train)])
        rows.append((float(accuracy_score(y, scores > 0)), float(roc_auc_score(y, scores))))
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Cross-validate all candidates that are missing; write after each."""
    data = Data(arguments.data)
    (trial,) = make_trials(data)["A"]
    chosen = np.concatenate([trial.train, trial.val])
    known = {
        json.dumps(one["settings"]): one
        for one in read_json(arguments.output).get("candidates", [])
    }
    candidates: list[dict[str, Any]] = [
        known.get(json.dumps(settings), {"settings": settings}) for settings in CANDIDATES
    ]
    result = {
        "command": "python -m benchmarks choose-hog-svm DATA",
        "n": len(chosen),
        "versions": find_versions("detectorkit", "numpy", "scikit-learn"),
        "C": C_TRIED,
        "candidates": candidates,
    }
    for treatment in TREATMENTS:
        missing = [one for one in candidates if treatment not in one]
        images = data.images(treatment) if missing else []
        for one in missing:
            start = time.perf_counter()
            transformer = HoGTransformer(**one["settings"], n_jobs=-1)
            features = transformer.fit_transform([images[i] for i in chosen])
            one[treatment] = cross_validate(features, data.y[chosen])
            write_json(arguments.output, result)
            seconds = time.perf_counter() - start
            best = max(one[treatment])
            print(f"{treatment} {one['settings']}: {best} in {seconds:.0f} s", flush=True)
