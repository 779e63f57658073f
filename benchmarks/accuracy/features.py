"""Measure each family of features alone by the protocols A to D.

    python -m benchmarks features DATA --feature block-dct --feature lbp

The features of benchmarks/feature_sets.py are computed once for all images of a treatment; in every
trial, the logistic regression of `ForensicDetector` is fitted on them with the same settings for
all. Scores and figures are kept as those of detectors are (see protocols), under the name of the
family; benchmarks/results/features.json has the settings. What was measured is not measured again.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.accuracy.data import Data, make_trials
from benchmarks.accuracy.describe import describe
from benchmarks.accuracy.measuring import Measured
from benchmarks.accuracy.table import TREATMENTS
from benchmarks.arguments import add_data
from benchmarks.feature_sets import FEATURES
from benchmarks.files import RESULTS, read_json, write_json
from detectorkit.heads.stacked import LinearHead, _fit_logistic, _scale

C = 100.0
RESULT = RESULTS / "features.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--feature", choices=FEATURES, action="append", help="default: all")
    parser.add_argument("--treatment", choices=TREATMENTS, action="append", help="default: all")


def run(arguments: argparse.Namespace) -> None:
    """Measure the families one by one."""
    data = Data(arguments.data)
    for treatment in arguments.treatment or TREATMENTS:
        for name in arguments.feature or FEATURES:
            measure(name, data, treatment)


class LogisticOnRows(ClassifierMixin, BaseEstimator):
    """The logistic head of `ForensicDetector` on features that were computed before."""

    def fit(self, X: Any, y: Any) -> LogisticOnRows:
        """Fit the head; without the held-out scores, as no probabilities are measured."""
        rows = np.array(X, np.float32)
        mean, scale = _scale(rows, [slice(0, rows.shape[1])])
        coef, intercept, _ = _fit_logistic(rows, y, C, None, [])
        self.classes_ = np.array([0, 1])
        self.head_ = LinearHead(coef * scale, intercept, mean)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Score the rows."""
        return self.head_.score(np.asarray(X)).astype(np.float64)


def measure(name: str, data: Data, treatment: str) -> None:
    """Measure one family on images of one treatment."""
    measured = Measured(name, data)
    for protocol, trials in make_trials(data).items():
        missing = [
            trial
            for trial in trials
            if not measured.is_done((treatment, protocol, trial.name), again=False)
        ]
        if not missing:
            continue
        rows = compute(name, data, treatment)
        for trial in missing:
            measured.run((treatment, protocol, trial.name), trial, LogisticOnRows, rows)
        measured.finish(treatment, protocol, trials)


def compute(name: str, data: Data, treatment: str) -> np.ndarray:
    """Compute the features of all images, and write down how many there are of an image."""
    start = time.perf_counter()
    rows = FEATURES[name]().set_params(n_jobs=-1).fit_transform(data.images(treatment))
    print(f"{name}, {treatment}: features, {time.perf_counter() - start:.0f} s", flush=True)
    numbers = read_json(RESULT).get("n_features", {}) | {name: rows.shape[1]}
    about = describe("python -m benchmarks features DATA", data)
    write_json(RESULT, about | {"C": C, "n_features": numbers})
    return rows
