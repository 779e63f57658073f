"""What false-positive rate comes when 1, 5 or 10 % is asked for, and what mends the difference.

    python benchmarks/accuracy/false_positives.py DATA --detector hog-svm

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

The result is benchmarks/results/false_positives_NAME.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from protocols import DETECTORS, RESULTS, Data, describe, make_trials

from detectorkit.evaluation import (
    ConformalAbstention,
    Evaluation,
    TrialResult,
    abstention_metrics,
    fit_calibration,
    fpr_threshold,
    run_trial,
    wilson_interval,
)

TARGETS = (0.01, 0.05, 0.1)
FNR = 0.1  # of the abstention
N_LABELLED = 25  # of each class
N_DRAWS = 20


def rate(scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Give the share of scores above a threshold with its interval."""
    called, n = int(np.sum(scores > threshold)), len(scores)
    low, high = wilson_interval(called, n)
    return {"value": called / n, "low": low, "high": high, "n": n}


def by_class(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Give the scores of photographs and of generated images."""
    return tuple(evaluation.scores[evaluation.y_true == label] for label in (0, 1))


def measure(result: TrialResult) -> dict[str, Any]:
    """Give what was asked and what came, for one left-out collection."""
    val_real, _ = by_class(result.val)
    own_real, generated = by_class(result.test["self"])
    foreign = result.test["foreign"].scores
    rows = {}
    for target in TARGETS:
        promised = fpr_threshold(val_real, target)
        rows[str(target)] = {
            "threshold": promised.threshold,
            "promised": promised.rate.to_dict(),
            "same_sources": rate(own_real, promised.threshold),
            "left_out_source": rate(foreign, promised.threshold),
            "recall": rate(generated, promised.threshold),
            "abstention": abstain(result, target),
            "shift": after_shift(result, promised.threshold, fitted_shift),
            "median": after_shift(result, promised.threshold, median_shift),
        }
    return rows


def abstain(result: TrialResult, target: float) -> dict[str, Any]:
    """Decide with the right to say nothing."""
    rule = ConformalAbstention(fpr=target, fnr=FNR).fit(result.val.scores, result.val.y_true)
    figures = {}
    for name, part in (("same_sources", "self"), ("left_out_source", "foreign")):
        evaluation = result.test[part]
        metrics = abstention_metrics(evaluation.y_true, rule.predict(evaluation.scores))
        figures[name] = {key: estimate.to_dict() for key, estimate in metrics.items()}
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


def after_shift(
    result: TrialResult, threshold: float, find: Callable[..., float]
) -> dict[str, float]:
    """Give the rates after a shift, each on the images that it was not fitted on."""
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
                offset,
            ]
        )
    means, spread = np.mean(found, axis=0), np.std(found, axis=0)
    return {
        "left_out_source": float(means[0]),
        "left_out_source_spread": float(spread[0]),
        "recall": float(means[1]),
        "offset": float(means[2]),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    name = arguments.detector
    output = arguments.output or RESULTS / f"false_positives_{name.replace('-', '_')}.json"
    data = Data(arguments.data)
    command = f"python benchmarks/accuracy/false_positives.py DATA --detector {name}"
    about = describe(name, DETECTORS[name](), data, command)
    result = json.loads(output.read_text()) if output.exists() else {}
    result |= about | {
        "schema": "detectorkit false positives 1",
        "script": "benchmarks/accuracy/false_positives.py",
        "treatment": "aligned",
        "fnr_of_abstention": FNR,
        "n_labelled": 2 * N_LABELLED,
        "n_draws": N_DRAWS,
    }
    sources = result.setdefault("sources", {})
    images = data.images("aligned")
    for trial in make_trials(data)["D"]:
        if trial.name in sources:
            continue
        columns = {"origin": data.origin, "picture": data.picture}
        found = run_trial(DETECTORS[name](), images, data.y, trial=trial, **columns)
        sources[trial.name] = measure(found)
        output.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
        for target, row in sources[trial.name].items():
            print(
                f"{trial.name}: asked {target}, same sources {row['same_sources']['value']:.3f}, "
                f"left out {row['left_out_source']['value']:.3f}, "
                f"shift {row['shift']['left_out_source']:.3f}, "
                f"median {row['median']['left_out_source']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
