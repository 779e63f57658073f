"""Measure detectors by the protocols A to D, aligned, cropped and as found.

    python -m benchmarks protocols DATA --detector hog-svm --treatment aligned

DATA and the protocols are described in benchmarks/accuracy/data.py, the detectors are listed in
benchmarks/accuracy/detectors.py. After every trial, its scores go to
benchmarks/results/scores/NAME.npz, its figures to benchmarks/results/trials.csv, and what was
trained to benchmarks/results/detectors/NAME.json; an interrupted run goes on where it was. Figures
from before scores were kept count as done; --again measures these anew.

Thresholds are set on validation parts only; the settings of the detectors were fixed before (see
choose-hog-svm and its like). Networks that are trained as a whole get a `Budget` of epochs and
images, which the result names.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.describe import describe, describe_detector
from benchmarks.accuracy.detectors import (
    DETECTORS,
    Budget,
    Remembering,
    budget_of,
    make_detector,
    thin_out,
)
from benchmarks.accuracy.measuring import Measured
from benchmarks.accuracy.table import TREATMENTS
from benchmarks.arguments import add_data
from benchmarks.files import RESULTS, read_json, write_json
from detectorkit.evaluation import Trial, TrialResult

PROTOCOLS = "ABCD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", choices=DETECTORS, default="hog-svm")
    parser.add_argument("--treatment", choices=TREATMENTS, action="append", help="default: all")
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append", help="default: all")
    parser.add_argument("--again", action="store_true", help="what has figures but no scores, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure one detector."""
    name, data = arguments.detector, Data(arguments.data)
    trials = make_trials(data)
    measured, about = Measured(name, data), About(name, data)
    for treatment in arguments.treatment or TREATMENTS:
        Remembering.known.clear()
        images = None
        for protocol in arguments.protocol or PROTOCOLS:
            budget = budget_of(name, treatment, protocol)
            about.check_budget(treatment, protocol, budget)
            for trial in trials[protocol]:
                key = treatment, protocol, trial.name
                if measured.is_done(key, again=arguments.again):
                    continue
                images = data.images(treatment) if images is None else images
                is_first = not measured.has_scores(treatment, protocol)
                thin = thin_out(trial, data.origin, budget)
                result = measured.run(key, thin, lambda b=budget: make_detector(name, b), images)
                about.add(treatment, protocol, budget, result, is_first=is_first)
            measured.finish(treatment, protocol, trials[protocol])


class About:
    """What is said of a detector beside its figures: parameters, versions, cost of trainings."""

    def __init__(self, name: str, data: Data, folder: Path = RESULTS / "detectors") -> None:
        self.path = folder / f"{name}.json"
        command = f"python -m benchmarks protocols DATA --detector {name}"
        self.new = describe(command, data)
        self.new["detector"] = describe_detector(name, DETECTORS[name]())

    def check_budget(self, treatment: str, protocol: str, budget: Budget | None) -> None:
        """Refuse to add to trials under another budget."""
        known = self._trainings().get(treatment, {}).get(protocol, {}).get("budget")
        if known is not None and known != (budget and asdict(budget)):
            raise SystemExit(
                f"{self.path.name}: trials of {protocol}, {treatment}, were measured with {known}: "
                "remove them, or restore that budget."
            )

    def add(
        self,
        treatment: str,
        protocol: str,
        budget: Budget | None,
        result: TrialResult,
        *,
        is_first: bool,
    ) -> None:
        """Write what a training took; the first one begins the count anew."""
        trainings = self._trainings()
        by_protocol = trainings.setdefault(treatment, {})
        known = {} if is_first else by_protocol.get(protocol, {})
        by_protocol[protocol] = add_training(known, budget, result)
        keys = ("command", "detector", "data", "versions")
        write_json(self.path, {key: self.new[key] for key in keys} | {"trainings": trainings})

    def _trainings(self) -> dict[str, Any]:
        return read_json(self.path).get("trainings", {})


def add_training(
    known: dict[str, Any], budget: Budget | None, result: TrialResult
) -> dict[str, Any]:
    """Add a training to the least and the most images so far, and to the seconds of all."""
    trial: Trial = result.trial
    sizes = {"n_train": len(trial.train), "n_val": len(trial.val)}
    return {
        **({} if budget is None else {"budget": asdict(budget)}),
        **{
            key: [min([size, *known.get(key, [])]), max([size, *known.get(key, [])])]
            for key, size in sizes.items()
        },
        "fit_seconds": round(known.get("fit_seconds", 0.0) + result.fit_seconds, 1),
    }
