"""Measure each family of features alone by the protocols A to D.

    python benchmarks/accuracy/features.py DATA --feature block-dct --feature lbp

DATA is a folder with a manifest.csv, as for protocols.py, whose trials these are. The features of
benchmarks/feature_sets.py are computed once for all images of a treatment; in every trial, the
logistic regression of `ForensicDetector` is fitted on them with the same settings for all. The
result is benchmarks/results/features.json; what is already in it is not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from protocols import RESULTS, Data, describe, make_trials
from sklearn.base import BaseEstimator, ClassifierMixin

from detectorkit.datasets import TREATMENTS
from detectorkit.evaluation import run_trial, summarize_trials
from detectorkit.heads.stacked import LinearHead, _fit_logistic, _scale

sys.path.insert(0, str(Path(__file__).parents[1]))

from feature_sets import FEATURES

C = 100.0
N_RESAMPLES = 100  # only figures with intervals by formula are kept
RESULT = RESULTS / "features.json"


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


def shorten(trials: dict[str, Any], protocol: str) -> dict[str, Any]:
    """Keep the means of a protocol, and of A and B what the tables show."""
    kept: dict[str, Any] = {"summary": summarize_trials(trials.values())}
    if protocol in "AB":
        (trial,) = trials.values()
        kept["validation_roc_auc"] = trial["validation_roc_auc"]
        for name, part in trial["test"].items():
            metrics = {key: part["metrics"][key] for key in ("accuracy", "roc_auc")}
            kept[name] = metrics | {"balanced_accuracy": part["metrics"]["balanced_accuracy"]}
            kept[name]["origins"] = [
                {"name": row["name"], "n": row["n"], "roc_auc": row["roc_auc"]}
                for row in part["origins"]
                if row["kind"] == "generator"
            ]
    return kept


def measure(name: str, data: Data, result: dict[str, Any], treatments: list[str]) -> None:
    """Measure one family; write after every protocol."""
    by_treatment = result["features"].setdefault(name, {})
    all_trials = make_trials(data)
    for treatment in treatments:
        done = by_treatment.setdefault(treatment, {})
        missing = [protocol for protocol in all_trials if protocol not in done]
        if not missing:
            continue
        transformer = FEATURES[name]().set_params(n_jobs=-1)
        start = time.perf_counter()
        rows = transformer.fit_transform(data.images(treatment))
        by_treatment["n_features"] = rows.shape[1]
        print(f"{name}, {treatment}: features, {time.perf_counter() - start:.0f} s", flush=True)
        for protocol in missing:
            start, trials = time.perf_counter(), {}
            for trial in all_trials[protocol]:
                columns = {"origin": data.origin, "picture": data.picture}
                columns["n_resamples"] = N_RESAMPLES
                found = run_trial(LogisticOnRows(), rows, data.y, trial=trial, **columns)
                trials[trial.name] = found.to_dict()
            done[protocol] = shorten(trials, protocol)
            partial = RESULT.with_suffix(".partial")
            partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
            partial.replace(RESULT)
            print(
                f"{name}, {treatment}, {protocol}: {time.perf_counter() - start:.0f} s", flush=True
            )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--feature", choices=FEATURES, action="append")
    parser.add_argument("--treatment", choices=TREATMENTS, action="append")
    arguments = parser.parse_args()
    data = Data(arguments.data)
    command = "python benchmarks/accuracy/features.py DATA"
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"features": {}}
    about = describe("features", LogisticOnRows(), data, command)
    result |= {key: about[key] for key in ("command", "data", "versions")}
    result |= {"script": "benchmarks/accuracy/features.py", "C": C}
    for treatment in arguments.treatment or ("aligned", "crop", "as-found"):
        for name in arguments.feature or FEATURES:
            measure(name, data, result, [treatment])


if __name__ == "__main__":
    main()
