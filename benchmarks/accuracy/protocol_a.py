"""Protocol A with HoG + SVM: same generator, 80/10/10, as found, aligned and crop.

    python benchmarks/accuracy/protocol_a.py DATA

DATA is a folder with a manifest.csv (path, label, source, ...). The pair "ffhq / stylegan" of one
source is taken: 1100 photographs and 1100 StyleGAN faces that went through the same hands.

Everything is chosen by five-fold cross-validation on the training and validation parts (1980
images); the test part (220) is looked at once, by the plain and by the chosen settings. So is what
nothing was trained on ("foreign"): diffusion and flow generators against photographs of other
collections, for a figure on the generator of the training data must not stand alone. The result
is benchmarks/results/protocol_a_hog_svm.json; what is already in it is not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

import detectorkit
from detectorkit import HoGSVMDetector
from detectorkit.datasets import load_images, train_val_test_split
from detectorkit.decoding import load_image, resize_image
from detectorkit.evaluation import Estimate, binary_metrics, wilson_interval
from detectorkit.features import HoGTransformer

RESULT = Path(__file__).parents[1] / "results" / "protocol_a_hog_svm.json"
SOURCE = "zoya2244"
SIDE, QUALITY = 160, 85  # of the aligned and cropped images
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
FOREIGN_REAL = ("lfw", "unsplash", "frl-london", "web-headshots", "webmorph-canada")
FOREIGN_GENERATED = ("stable-diffusion", "dreambooth-class", "lora", "sdxl", "flux1-schnell")
C_TRIED = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def treat(path: str, treatment: str) -> np.ndarray:
    """Give one image as the protocol says: the same for both classes."""
    image = load_image(path)
    height, width = image.shape[:2]
    if treatment == "crop":
        row, col = (height - SIDE) // 2, (width - SIDE) // 2
        image = image[row : row + SIDE, col : col + SIDE]
    elif treatment == "aligned":
        side = min(height, width)
        row, col = (height - side) // 2, (width - side) // 2
        image = resize_image(image[row : row + side, col : col + side], (SIDE, SIDE))
    if treatment == "as found":
        return image
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].copy()


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


def choose(images: list, y: np.ndarray, done: dict, save: Callable[[], None]) -> dict:
    """Cross-validate all candidates; give the settings of the highest accuracy."""
    for settings in CANDIDATES:
        name = json.dumps(settings)
        if name not in done:
            start = time.perf_counter()
            features = HoGTransformer(**settings, n_jobs=-1).fit_transform(images)
            done[name] = cross_validate(features, y)
            save()
            best = max(done[name], key=lambda row: row["accuracy"])
            print(f"  {name}: {best} in {time.perf_counter() - start:.0f} s", flush=True)
    row, name = max(
        ((row, name) for name, rows in done.items() for row in rows),
        key=lambda pair: (pair[0]["accuracy"], pair[0]["roc_auc"]),
    )
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(name).items()}
    return settings | {"C": row["C"]}


def measure(settings: dict, parts: dict) -> dict:
    """Fit on the training part, fix a threshold on the validation part, measure the test part."""
    detector = HoGSVMDetector(**settings, n_jobs=-1, random_state=0)
    start = time.perf_counter()
    detector.fit(*parts["train"])
    fit_seconds = time.perf_counter() - start
    scores = {name: detector.decision_function(parts[name][0]) for name in ("val", "test")}
    y_val, y_test = parts["val"][1], parts["test"][1]
    steps = np.sort(scores["val"])
    candidates = (steps[1:] + steps[:-1]) / 2
    accuracies = [accuracy_score(y_val, scores["val"] > step) for step in candidates]
    threshold = float(candidates[int(np.argmax(accuracies))])
    probabilities = detector.predict_proba(parts["test"][0])[:, 1]
    at_zero = binary_metrics(y_test, scores["test"])
    at_val = binary_metrics(y_test, scores["test"], threshold=threshold)
    return {
        "settings": settings,
        "fit_seconds": fit_seconds,
        "n_train": len(parts["train"][1]),
        "n_val": len(y_val),
        "n_test": len(y_test),
        "threshold_from_validation": threshold,
        "validation": {k: v._asdict() for k, v in binary_metrics(y_val, scores["val"]).items()},
        "test": {name: estimate._asdict() for name, estimate in at_zero.items()},
        "test_accuracy_at_validation_threshold": at_val["accuracy"]._asdict(),
        "test_brier_score": float(np.mean((probabilities - y_test) ** 2)),
        "foreign": measure_foreign(detector, *parts["foreign"]),
    }


def measure_foreign(detector: HoGSVMDetector, images: list, generator: np.ndarray) -> dict:
    """Score generators and photographs that nothing was trained on, one by one and pooled."""
    scores = detector.decision_function(images)
    is_real = np.isin(generator, FOREIGN_REAL)
    rows = {}
    for name in (*FOREIGN_REAL, *FOREIGN_GENERATED):
        mine = generator == name
        called, n = int((scores[mine] > 0).sum()), int(mine.sum())
        rows[name] = {
            "n": n,
            "called_generated": Estimate(called / n, *wilson_interval(called, n))._asdict(),
        }
        if name in FOREIGN_GENERATED:
            y = np.concatenate([np.zeros(is_real.sum()), np.ones(n)])
            metrics = binary_metrics(y, np.concatenate([scores[is_real], scores[mine]]))
            rows[name]["roc_auc_against_foreign_photographs"] = metrics["roc_auc"]._asdict()
    shares = {name: row["called_generated"]["value"] for name, row in rows.items()}
    specificity = np.mean([1 - shares[name] for name in FOREIGN_REAL])
    recall = np.mean([shares[name] for name in FOREIGN_GENERATED])
    aucs = [rows[n]["roc_auc_against_foreign_photographs"]["value"] for n in FOREIGN_GENERATED]
    return {
        "groups": rows,
        "mean_roc_auc": float(np.mean(aucs)),
        "macro_balanced_accuracy": float((specificity + recall) / 2),
    }


def main() -> None:
    """Run the protocol."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    found = load_images(arguments.data / "manifest.csv")
    mine = np.flatnonzero(found.metadata["source"] == SOURCE)
    paths, y = [found.data[i] for i in mine], found.target[mine]
    generator = found.metadata["generator"]
    foreign = np.flatnonzero(np.isin(generator, (*FOREIGN_REAL, *FOREIGN_GENERATED)))
    split = train_val_test_split(paths, y, random_state=0, n_jobs=-1)
    output = arguments.output
    result = json.loads(output.read_text()) if output.exists() else {}
    result |= {
        "script": "benchmarks/accuracy/protocol_a.py",
        "protocol": "A: ffhq against stylegan of one source, 80/10/10 stratified, random_state=0",
        "versions": {
            "detectorkit": detectorkit.__version__,
            "scikit-learn": sklearn.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }

    def save() -> None:
        output.write_text(json.dumps(result, indent=1) + "\n")

    for treatment in ("as found", "aligned", "crop"):
        print(treatment, flush=True)
        images = [[treat(path, treatment) for path in part] for part in split[:3]]
        parts = dict(
            zip(("train", "val", "test"), zip(images, split[3:], strict=True), strict=True)
        )
        entry = result.setdefault(treatment, {"cross_validation": {}})
        parts["foreign"] = [treat(found.data[i], treatment) for i in foreign], generator[foreign]
        development = images[0] + images[1], np.concatenate(split[3:5])
        chosen = choose(*development, entry["cross_validation"], save)
        for name, settings in (("plain", PLAIN | {"C": 0.01}), ("chosen", chosen)):
            known = entry.get(name, {})
            if known.get("settings") != json.loads(json.dumps(settings)) or "foreign" not in known:
                entry[name] = measure(settings, parts)
                save()
            test = entry[name]["test"]
            print(f"  {name} {settings}")
            print(f"    accuracy {test['accuracy']}, AUC {test['roc_auc']}")
            print(f"    foreign mean AUC {entry[name]['foreign']['mean_roc_auc']:.3f}", flush=True)


if __name__ == "__main__":
    main()
