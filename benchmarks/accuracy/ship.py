"""Train the detectors that are shipped, and write them with their cards.

    python -m benchmarks ship DATA [--detector NAME ...] [--cache FOLDER]

Each detector is fitted on all images of protocol E, as they are, with its treatment in the record.
Images of an origin weigh by the root of their number. Eight trainings without an eighth of the
sources each give the scores of all images by a detector that never saw their source. These set the
probabilities, the thresholds for 1, 5 and 10 % of the photographs (every source alike), the band of
"can't tell" and the figures of the cards. What was trained on is in detectorkit/models/sources.csv.
Features of frozen networks are kept in the folder --cache.

The cnn is kept as it was trained, on aligned images of 8 sources of photographs and 9 generators:
trained on all of protocol E as the others, in two ways, it was no better on sources left out (area
under the ROC curve .556 and .525). It is measured on all images of other sources and generators.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from sklearn.base import clone

from benchmarks.accuracy.describe import describe_detector
from benchmarks.accuracy.detectors import (
    CLIP,
    Remembering,
    RememberingBackbone,
    RememberingForensic,
    RememberingHoG,
)
from benchmarks.accuracy.protocol_e import write_row
from benchmarks.accuracy.source_images import SourceImages
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, MODELS, RESULTS, rounded, write_json, write_text
from benchmarks.machine import load_average
from benchmarks.pages.cards import card
from detectorkit import (
    BackboneDetector,
    ForensicDetector,
    HoGSVMDetector,
    OnnxDetector,
    load_detector,
)
from detectorkit.calibration import SigmoidCalibration, fit_band
from detectorkit.calibration.fit import fit_platt_slope
from detectorkit.evaluation import SourceEvaluation, cross_source, sources
from detectorkit.graph.record import RECORD_KEY
from detectorkit.images import Treatment
from detectorkit.models import SHIPPED_BACKBONES

COMMON: dict[str, Any] = {"n_jobs": -1, "random_state": 0, "verbose": True}

SHIPPED: dict[str, Callable[[Path], Any]] = {
    "clip": lambda cache: BackboneDetector(**CLIP, cache_dir=cache, **COMMON),
    "hog-svm": lambda _: HoGSVMDetector(treatment="aligned", solver="gram", **COMMON),
    "forensic": lambda _: ForensicDetector(treatment="aligned", **COMMON),
    "transfer": lambda cache: BackboneDetector(
        n_views=1, quantize="float16", cache_dir=cache, **COMMON
    ),
    "cnn": lambda _: with_treatment(MODELS / "cnn.onnx", Treatment()),
}
REMEMBER = {
    "clip": RememberingBackbone,
    "hog-svm": RememberingHoG,
    "forensic": RememberingForensic,
}
KEPT = ("cnn",)
PERCENTS = (1, 5, 10)
N_TIMED = 100


def ship(name: str, images: SourceImages, cache: Path) -> None:
    """Train one, set what follows from left-out sources, write it, its figures and its card."""
    data = cross_source.SourceData.check(
        "ship",
        images.paths,
        images.y,
        **images.columns,
        picture=images.picture,
        fit_params={"sample_weight": origin_weights(images)},
    )
    fitted, used, result = train(name, data, SHIPPED[name](cache), images.in_first_layer)
    slope = fit_platt_slope(result.scores, result.y_true, None)
    fitted.calibration_ = SigmoidCalibration(slope)
    fitted.band_ = find_band(result, fitted.threshold_)
    path = MODELS / f"{name}.onnx"
    metrics = {key: estimate.value for key, estimate in result.metrics.items()}
    if name not in KEPT:
        fitted.training_summary_ |= {
            "rows_sha256": images.sha256,
            "sources": np.unique(data.source[used][data.y[used] == 0]).tolist(),
            "generators": np.unique(data.generator[used][data.y[used] == 1]).tolist(),
        }
    fitted.training_summary_ |= {
        "thresholds": {f"fpr_{n}": threshold_at(result, n / 100) for n in PERCENTS},
        "protocol_e": {
            "macro_balanced_accuracy": rounded(metrics["macro_balanced_accuracy"]),
            "roc_auc": rounded(metrics["roc_auc"]),
            "found_at_5": rounded(metrics["recall@fpr_5"]),
        },
        "ms_per_image": round(milliseconds(fitted, images.paths), 1),
    }
    save(fitted, path)
    if len(result.scores) == len(images.y):
        images.keep(f"{name}.as-found", result)
        row = {
            "detector": describe_detector(name, fitted),
            **result.to_dict(),
            "bytes": bytes_in_all(fitted, path),
            "ms_per_image": fitted.training_summary_["ms_per_image"],
            "load_average": load_average(),
            "band": fitted.band_ and fitted.band_.to_record(),
        }
        write_row(f"{name}.as-found", row, images)
    write_text(MODELS / "sources.csv", source_table(images))
    content = {
        "command": f"python -m benchmarks ship DATA --detector {name}",
        "name": name,
        "bytes": path.stat().st_size,  # a backbone in a file of its own comes to it
        "treatment": fitted.record_.treatment_text(),
        "training": fitted.training_summary_,
        "left_out": result.to_dict(),
        "found": {f"fpr_{n}": found_above(result, threshold_at(result, n / 100)) for n in PERCENTS},
    }
    write_json(RESULTS / f"shipped_{name}.json", content)
    write_text(MODELS / f"{name}.md", card(name))
    print(f"{name}: {path.stat().st_size / 1e6:.2f} MB\n{result}", flush=True)


def origin_weights(images: SourceImages) -> np.ndarray:
    """Weigh images of an origin, so that it counts by the root of its number of images."""
    origin = sources.name_origins(images.y, images.columns["generator"], images.columns["source"])
    _, number, counts = np.unique(origin, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(counts[number])
    return weight / weight.mean()


def train(
    name: str, data: cross_source.SourceData, detector: Any, first: np.ndarray
) -> tuple[Any, np.ndarray, SourceEvaluation]:
    """Return the detector that is shipped, its images, and scores of images of sources left out."""
    folds, everything = data.folds(8, 0), np.arange(len(data.y))
    if name in KEPT:
        fitted = detector
        used, chosen = split_known(data, first)
        scores = fitted.decision_function([data.X[i] for i in chosen])
    else:
        used = chosen = everything
        scores = np.empty(len(everything))
        for train_part, test in folds:
            scores[test], _ = data.fit_and_score(for_folds(name, detector), train_part, test)
            print(f"{name}: {len(test)} images of sources left out", flush=True)
        fitted = data.fit(detector, used)
    kept = (data.source, data.generator, data.unit, data.subset)
    columns = [None if column is None else column[chosen] for column in kept]
    threshold = np.full(len(chosen), fitted.threshold_)
    return fitted, used, SourceEvaluation(data.y[chosen], scores, threshold, *columns)


def split_known(data: cross_source.SourceData, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the images of repositories, collections and generators of `first`, and the others."""
    is_known = np.isin(data.source, data.source[first])
    is_known |= np.isin(data.generator, data.generator[first])
    return np.flatnonzero(is_known), np.flatnonzero(~is_known)


def with_treatment(path: Path, treatment: Treatment) -> OnnxDetector:
    """Load a detector that was saved before the treatment of its images was in the record."""
    model = onnx.load(path)
    (entry,) = (one for one in model.metadata_props if one.key == RECORD_KEY)
    record = json.loads(entry.value)
    record["preprocessing"]["treatment"] = treatment.to_record()
    record["training"].pop("treatment", None)
    entry.value = json.dumps(record)
    return OnnxDetector(model.SerializeToString(), n_jobs=-1).fit([np.zeros((8, 8, 3), np.uint8)])


def for_folds(name: str, detector: Any) -> Any:
    """Return the same detector in a form that computes the features of an image once."""
    parameters = detector.get_params(deep=False)
    if parameters.get("quantize"):  # it would run the graph, in spite of kept features
        return clone(detector).set_params(quantize=None)
    if name in REMEMBER and parameters["n_views"] == 0:
        return REMEMBER[name](**parameters)
    return detector


def find_band(result: SourceEvaluation, threshold: float) -> Any:
    """Set the band of "can't tell" on left-out scores; None where none keeps to the limits."""
    origin = sources.name_origins(result.y_true, result.generator, result.source)
    try:
        return fit_band(
            result.scores, result.y_true, origin, units=result.unit, threshold=threshold
        )
    except ValueError as error:
        print(f"No band: {error}", flush=True)
        return None


def threshold_at(result: SourceEvaluation, rate: float) -> float:
    """Find the lowest threshold with a rate on photographs, every source of them alike."""
    real = result.y_true == 0
    scores, (_, source, counts) = (
        result.scores[real],
        np.unique(result.source[real], return_inverse=True, return_counts=True),
    )
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum((1 / counts[source] / len(counts))[order])  # up to each score, with it
    return rounded(scores[order][np.searchsorted(above, rate * (1 + 1e-9), side="right")])


def found_above(result: SourceEvaluation, threshold: float) -> float:
    """Return the proportion of the generated images above a threshold."""
    return float(np.mean(result.scores[result.y_true == 1] > threshold))


def save(fitted: Any, path: Path) -> None:
    """Write a detector; a head without the shipped backbone that it refers to."""
    if getattr(fitted, "backbone", None) == CLIP["backbone"]:
        fitted.save(path, with_backbone=False)
    else:
        fitted.save(path)


def bytes_in_all(fitted: Any, path: Path) -> int:
    """Return the size of a saved detector, with that of the shipped backbone that it refers to."""
    beside = SHIPPED_BACKBONES / f"{getattr(fitted, 'backbone', '')}.onnx"
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


def milliseconds(fitted: Any, paths: list[str]) -> float:
    """Measure the processor time for a file, of the saved detector in one thread, loaded before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        save(fitted, path)
        saved = load_detector(path, n_jobs=1)
    timed = paths[:: max(1, len(paths) // N_TIMED)][:N_TIMED]
    saved.predict(timed[:2])
    start = time.process_time()
    saved.predict(timed)
    return 1000 * (time.process_time() - start) / len(timed)


def source_table(images: SourceImages) -> str:
    """Return the table of what was trained on, as CSV: source, label, generator, n."""
    columns = images.columns["source"], images.y.tolist(), images.columns["generator"]
    counts = Counter(zip(*columns, strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "label", "generator", "n"])
    writer.writerows([*cell, n] for cell, n in sorted(counts.items()))
    return text.getvalue()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=SHIPPED, action="append", help="default: all")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder, best outside the checkout"
    )


def run(arguments: argparse.Namespace) -> None:
    """Train and write the detectors one by one."""
    images = SourceImages(arguments.data)
    for name in arguments.detector or SHIPPED:
        Remembering.known.clear()  # features of another kind
        ship(name, images, arguments.cache)
