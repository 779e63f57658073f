"""Train the detectors that are shipped, and write them with their cards.

    python benchmarks/accuracy/ship.py DATA [--detector NAME ...]

DATA is as for protocols.py. Each detector is fitted on all images but a tenth of the pictures,
aligned, since nothing of an image but its pixels may count. The rest sets the thresholds for 1, 5
and 10 % false positives. Those hold for photographs of the same collections only, so the cards give
the rates for collections that were left out, from protocols_NAME.json. What kinds are shipped, and
with which settings, was decided on validation parts. Long trainings keep their state in
benchmarks/cache and go on where they were.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from protocols import CACHE, COMMON, RESULTS, TRAINED, Data

from detectorkit import BackboneDetector, CNNDetector, ForensicDetector
from detectorkit.evaluation import StratifiedGroupShuffleSplit, evaluate, fpr_threshold
from detectorkit.model_selection.split import take_items

sys.path.insert(0, str(Path(__file__).parents[1]))
from card_page import card

MODELS = Path(__file__).parents[2] / "detectorkit" / "models"

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
MEASURED_AS = {"forensic": "forensic", "cnn": "cnn", "transfer": "efficientnet_frozen"}


def ship(name: str, data: Data, images: list[Any]) -> None:
    """Train one, set its thresholds, write it and its card."""
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
        "manifest_sha256": data.sha256,
        "sources": np.unique(data.origin[data.y == 0]).tolist(),
        "generators": np.unique(data.origin[data.y == 1]).tolist(),
        "thresholds": {
            f"fpr_{percent}": fpr_threshold(photographs, percent / 100).threshold
            for percent in (1, 5, 10)
        },
    }
    detector.save(MODELS / f"{name}.onnx")
    path = RESULTS / f"shipped_{name}.json"
    result = {
        "schema": "detectorkit shipped 1",
        "script": "benchmarks/accuracy/ship.py",
        "command": f"python benchmarks/accuracy/ship.py DATA --detector {name}",
        "name": name,
        "bytes": (MODELS / f"{name}.onnx").stat().st_size,
        "training": detector.training_summary_,
        "validation": found.to_dict(),
    }
    path.write_text(json.dumps(result, indent=1, default=str) + "\n")
    print(f"{name}: {result['bytes'] / 1e6:.1f} MB, {found.metrics['accuracy']}")


def write_cards() -> None:
    """Write the card of every detector that is there, from what was measured."""
    for name, measured in MEASURED_AS.items():
        shipped = RESULTS / f"shipped_{name}.json"
        protocols = RESULTS / f"protocols_{measured}.json"
        if shipped.exists():
            found = json.loads(protocols.read_text()) if protocols.exists() else None
            (MODELS / f"{name}.md").write_text(card(json.loads(shipped.read_text()), found))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", choices=SHIPPED, action="append")
    parser.add_argument("--cards-only", action="store_true", help="write the cards anew")
    arguments = parser.parse_args()
    if not arguments.cards_only:
        data = Data(arguments.data)
        images = data.images("aligned")
        for name in arguments.detector or SHIPPED:
            ship(name, data, images)
    write_cards()


if __name__ == "__main__":
    main()
