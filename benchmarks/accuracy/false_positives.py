"""What false-positive rate comes when 1, 5 or 10 % is asked for, and what mends the difference.

    python -m benchmarks false-positives DATA --detector hog-svm

For each collection of photographs, a detector is trained on everything else (protocol D, aligned
images). Thresholds are set on the validation photographs; then the rate is counted on test
photographs of the same collections, and on the collection that was left out. Tried against the
difference:

abstention  `ConformalAbstention`, set on the validation part: at most the wanted share of
            photographs called generated, at most 10 % of generated images called real, else
            "can't tell"
shift       the score is shifted by one number, fitted on 50 labelled images of the new world: 25
            photographs of the left-out collection and 25 generated images of the test part; all
            figures are on the others, as means over 20 draws
median      the same with photographs alone: by how much the median of the 25 is above that of the
            validation photographs

The result is benchmarks/results/false_positives_NAME.json; what is in it is not measured again. "n"
are test photographs of the same collections and of the one left out, and generated test images;
"shift" and "median" are the rate on the collection left out and the recall.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.describe import describe, describe_detector
from benchmarks.accuracy.detectors import DETECTORS
from benchmarks.arguments import add_data
from benchmarks.files import RESULTS, read_json, write_json
from detectorkit.evaluation import (
    ConformalAbstention,
    Estimate,
    Evaluation,
    TrialResult,
    abstention_metrics,
    fit_calibration,
    fpr_threshold,
    run_trial,
)
from detectorkit.metrics.estimates import proportion

TARGETS = (0.01, 0.05, 0.1)
FNR = 0.1  # of the abstention
N_LABELLED = 25  # of each class
N_DRAWS = 20
ABSTENTION = ("decided", "false_positive_rate", "false_positive_rate_where_decided")


def rate(scores: np.ndarray, threshold: float) -> Estimate:
    """Return the share of scores above a threshold with its interval."""
    return proportion(int(np.sum(scores > threshold)), len(scores))


def by_class(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of photographs and of generated images."""
    return tuple(evaluation.scores[evaluation.y_true == label] for label in (0, 1))


def measure(result: TrialResult) -> dict[str, Any]:
    """Work out what was asked and what came, for one left-out collection."""
    val_real, _ = by_class(result.val)
    own_real, generated = by_class(result.test["self"])
    foreign = result.test["foreign"].scores
    rows = {}
    for target in TARGETS:
        promised = fpr_threshold(val_real, target)
        rows[str(target)] = {
            "n": [len(own_real), len(foreign), len(generated)],
            "promised": promised.rate,
            "same_sources": rate(own_real, promised.threshold),
            "left_out_source": rate(foreign, promised.threshold),
            "recall": rate(generated, promised.threshold),
            "shift": after_shift(result, promised.threshold, fitted_shift),
            "median": after_shift(result, promised.threshold, median_shift),
            **abstain(result, target),
        }
    return rows


def abstain(result: TrialResult, target: float) -> dict[str, list[float]]:
    """Decide with the right to say nothing; return the figures that ABSTENTION names."""
    rule = ConformalAbstention(fpr=target, fnr=FNR).fit(result.val.scores, result.val.y_true)
    figures = {}
    for name, part in (("same_sources", "self"), ("left_out_source", "foreign")):
        evaluation = result.test[part]
        metrics = abstention_metrics(evaluation.y_true, rule.predict(evaluation.scores))
        figures[f"abstention_{name}"] = [metrics[key].value for key in ABSTENTION]
    return figures


def fitted_shift(result: TrialResult, real: np.ndarray, generated: np.ndarray) -> float:
    """Fit the offset of the probabilities on labelled images of both classes."""
    calibration = result.detector.calibration_
    y = np.repeat([0, 1], [len(real), len(generated)])
    scores = np.concatenate([real, generated])
    shifted = fit_calibration(scores, y, method="shift", slope=calibration.slope)
    return shifted.offset - calibration.offset


def median_shift(result: TrialResult, real: np.ndarray, generated: np.ndarray) -> float:  # noqa: ARG001
    """Compare photographs with photographs."""
    return float(np.median(real) - np.median(by_class(result.val)[0]))


def after_shift(result: TrialResult, threshold: float, find: Callable[..., float]) -> list[float]:
    """Return rate and recall after a shift, on the images that it was not fitted on."""
    foreign, generated = result.test["foreign"].scores, by_class(result.test["self"])[1]
    found = []
    for draw in range(N_DRAWS):
        random = np.random.default_rng(draw)
        photographs, fakes = random.permutation(foreign), random.permutation(generated)
        offset = find(result, photographs[:N_LABELLED], fakes[:N_LABELLED])
        moved = threshold + offset
        found.append(
            [
                np.mean(photographs[N_LABELLED:] > moved),
                np.mean(fakes[N_LABELLED:] > moved),
            ]
        )
    return np.mean(found, axis=0).tolist()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")


def run(arguments: argparse.Namespace) -> None:
    """Leave out each collection in turn."""
    name, data = arguments.detector, Data(arguments.data)
    path = RESULTS / f"false_positives_{name}.json"
    result = describe(f"python -m benchmarks false-positives DATA --detector {name}", data) | {
        "detector": describe_detector(name, DETECTORS[name]()),
        "treatment": "aligned",
        "fnr_of_abstention": FNR,
        "n_labelled": 2 * N_LABELLED,
        "n_draws": N_DRAWS,
        "sources": read_json(path).get("sources", {}),
    }
    images = data.images("aligned")
    for trial in make_trials(data)["D"]:
        if trial.name in result["sources"]:
            continue
        found = run_trial(DETECTORS[name](), images, data.y, trial=trial, **data.columns)
        result["sources"][trial.name] = measure(found)
        write_json(path, result)
        for target, row in result["sources"][trial.name].items():
            print(f"{trial.name}: asked {target}, came {row['left_out_source']}", flush=True)
