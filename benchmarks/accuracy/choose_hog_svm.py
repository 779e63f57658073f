"""Choose the settings of HoG + SVM by cross-validation, as found, aligned and cropped.

    python benchmarks/accuracy/choose_hog_svm.py DATA

DATA is a folder with a manifest.csv, as for protocols.py. The training and validation parts of
protocol A, 1980 photographs and StyleGAN faces that went through the same hands, are cut into five
folds. The test part is not touched: protocols.py measures it. The result is
benchmarks/results/choose_hog_svm.json; what is already in it is not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from protocols import Data, make_trials
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from detectorkit.datasets import TREATMENTS, align_image
from detectorkit.features import HoGTransformer
from detectorkit.images.decoding import load_image

RESULT = Path(__file__).parents[1] / "results" / "choose_hog_svm.json"
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


def cross_validate(features: np.ndarray, y: np.ndarray) -> list[dict[str, float]]:
    """Score every C on held-out folds, from one Gram matrix."""
    features -= features.mean(axis=0)
    gram = features @ features.T
    folds = list(StratifiedKFold(5, shuffle=True, random_state=1).split(y, y))
    rows = []
    for C in C_TRIED:
        scores = np.empty(len(y))
        for train, test in folds:
            machine = SVC(kernel="precomputed", C=C).fit(gram[np.ix_(train, train)], y[train])
            scores[test] = machine.decision_function(gram[np.ix_(test, train)])
        accuracy, auc = accuracy_score(y, scores > 0), roc_auc_score(y, scores)
        rows.append({"C": C, "accuracy": accuracy, "roc_auc": auc})
    return rows


def main() -> None:
    """Cross-validate all candidates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    data = Data(arguments.data)
    (trial,) = make_trials(data)["A"]
    chosen = np.concatenate([trial.train, trial.val])
    output = arguments.output
    result = json.loads(output.read_text()) if output.exists() else {"cross_validation": {}}
    result |= {
        "script": "benchmarks/accuracy/choose_hog_svm.py",
        "n": len(chosen),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("detectorkit", "numpy", "scikit-learn")},
        },
    }
    for treatment in TREATMENTS:
        images = [align_image(load_image(data.paths[i]), treatment) for i in chosen]
        done = result["cross_validation"].setdefault(treatment, {})
        for settings in CANDIDATES:
            name = json.dumps(settings)
            if name not in done:
                start = time.perf_counter()
                features = HoGTransformer(**settings, n_jobs=-1).fit_transform(images)
                done[name] = cross_validate(features, data.y[chosen])
                output.write_text(json.dumps(result, indent=1) + "\n")
                best = max(done[name], key=lambda row: row["accuracy"])
                seconds = time.perf_counter() - start
                print(f"{treatment} {name}: {best} in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
