"""Measure a saved detector on labelled images.

Prints every metric with its 95 % interval, and for each source of photographs and each generator
the proportion of images that are called generated: the false-positive rate for photographs, the
true-positive rate for generators. Generators with an area under the ROC curve below 0.5 are marked
as inverted: the detector takes their images to be more real than photographs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

import numpy as np

from detectorkit.cli._common import (
    add_jobs,
    add_json,
    add_model_and_data,
    add_part,
    get_column,
    load_data,
    process_paths,
    take_model_and_data,
)
from detectorkit.utils.json import dumps
from detectorkit.utils.text import printable

__all__ = ["add_arguments", "run"]

_MAX_NAMES: Final = 12


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit evaluate``."""
    add_model_and_data(
        parser, "[--part NAME] [--groups COLUMN] [--threshold SCORE] [--json] [--jobs N]"
    )
    add_part(parser)
    parser.add_argument(
        "--groups",
        metavar="COLUMN",
        help="column whose values are measured one by one (default: generators and sources)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="score above which an image is called generated, with no verdict can't tell (default: "
        "the model's own threshold and band)",
    )
    add_json(parser)
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit evaluate``."""
    take_model_and_data(arguments)

    from detectorkit.detectors import load_detector
    from detectorkit.evaluation import Evaluation

    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    found = load_data(arguments)
    column = get_column(found, "--groups", arguments.groups)
    scores, read, failures = process_paths(detector.decision_function, found.data, "Evaluating")
    origin = found.origin if column is None else np.where(column == "", "(none)", column)
    threshold = detector.threshold_ if arguments.threshold is None else arguments.threshold
    evaluation = Evaluation(
        y_true=found.target[read],
        scores=scores,
        threshold=threshold,
        probabilities=detector.calibration_.predict(scores),
        origin=origin[read],
        band=detector.band_ if arguments.threshold is None else None,
    )
    training = detector.record_.training
    if arguments.json:
        summary = {
            "model": str(arguments.model),
            "n_unreadable": len(failures),
            "treatment": detector.record_.treatment_text(),
            "training": training,
            **evaluation.to_dict(),
        }
        print(dumps(summary, indent=1))
    else:
        trained_on = list(training.get("generators") or [])
        print(f"{len(read)} images; the model was trained on: {_list_names(trained_on)}")
        here = set(found.origin[read][found.target[read] == 1])
        if known := [name for name in trained_on if name in here]:
            print(
                f"Generators of these images that were in training: {_list_names(known)}. Metrics "
                "on them say little about other generators."
            )
        print(f"Treatment of every image: {detector.record_.treatment_text()}")
        print(evaluation.to_text())
    return 1 if failures else 0


def _list_names(names: Sequence[str]) -> str:
    """Write names in a line, or how many there are if the line would be long."""
    if len(names) > _MAX_NAMES:
        return f"{len(names)} generators, which --json lists"
    return printable(", ".join(names)) or "not recorded"
