"""Train the detectors that are shipped, and write them with their cards.

    python -m benchmarks ship DATA [--detector NAME ...]

Each detector is fitted on all images but a tenth of the pictures, aligned, since nothing of an
image but its pixels may count. The rest sets the thresholds for 1, 5 and 10 % false positives.
Those hold for photographs of the same collections only, so the cards give the rates for
collections that were left out, from the table of trials. What kinds are shipped, and with which
settings, was decided on validation parts. Long trainings keep their state in benchmarks/cache and
go on where they were.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Data
from benchmarks.accuracy.detectors import COMMON, TRAINED
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, MODELS, RESULTS, write_json, write_text
from benchmarks.pages.cards import card
from detectorkit import BackboneDetector, CNNDetector, ForensicDetector
from detectorkit.evaluation import (
    Evaluation,
    StratifiedGroupShuffleSplit,
    evaluate,
    fpr_threshold,
)
from detectorkit.model_selection.split import take_items

SHIPPED: dict[str, Callable[[], Any]] = {
    "forensic": lambda: ForensicDetector(**COMMON),
    "cnn": lambda: CNNDetector(
        (64, 64),
        batch_size=16,
        max_epochs=8,
        quantize="static",
        checkpoint=CACHE / "cnn.pt",
        **TRAINED,
    ),
    "transfer": lambda: BackboneDetector(
        balance="origin", quantize="float16", cache_dir=CACHE, verbose=True, **COMMON
    ),
}


def ship(name: str, data: Data, images: list[Any]) -> None:
    """Train one, set its thresholds, write it, what came of it, and its card."""
    splitter = StratifiedGroupShuffleSplit(1, test_size=0.1, random_state=0)
    train, val = next(splitter.split(data.y, data.y, data.picture))
    detector = SHIPPED[name]()
    columns = {"groups": data.picture[train]}
    if name != "forensic":
        columns["origin"] = data.origin[train]
    detector.fit(take_items(images, train), data.y[train], **columns)
    found = evaluate(detector, take_items(images, val), data.y[val], origin=data.origin[val])
    photographs = found.scores[found.y_true == 0]
    detector.training_summary_ |= {
        "treatment": "aligned: centre square, 160 x 160, JPEG 85",
        "rows_sha256": data.sha256,
        "sources": np.unique(data.origin[data.y == 0]).tolist(),
        "generators": np.unique(data.origin[data.y == 1]).tolist(),
        "thresholds": {
            f"fpr_{percent}": fpr_threshold(photographs, percent / 100).threshold
            for percent in (1, 5, 10)
        },
    }
    detector.save(MODELS / f"{name}.onnx")
    size = (MODELS / f"{name}.onnx").stat().st_size
    result = {
        "command": f"python -m benchmarks ship DATA --detector {name}",
        "name": name,
        "bytes": size,
        "training": detector.training_summary_,
        "validation": shorten(found),
    }
    write_json(RESULTS / f"shipped_{name}.json", result)
    write_text(MODELS / f"{name}.md", card(name))
    print(f"{name}: {size / 1e6:.1f} MB, {found.metrics['accuracy']}")


def shorten(found: Evaluation) -> dict[str, Any]:
    """Keep what the cards show."""
    content = found.to_dict()
    return {
        **{key: content[key] for key in ("n", "n_real", "n_generated", "threshold")},
        **{key: found.metrics[key] for key in ("accuracy", "roc_auc")},
        "macro_balanced_accuracy": found.macro_balanced_accuracy,
        "origins": {
            row.name: {
                "kind": "generator" if row.is_generator else "photographs",
                "n": row.n,
                "called_generated": row.called_generated,
            }
            for row in found.origins
        },
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=SHIPPED, action="append", help="default: all")


def run(arguments: argparse.Namespace) -> None:
    """Train and write the detectors one by one."""
    data = Data(arguments.data)
    images = data.images("aligned")
    for name in arguments.detector or SHIPPED:
        ship(name, data, images)
