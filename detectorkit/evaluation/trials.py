"""Fit and evaluate a detector on a trial of a protocol, and average over trials."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from detectorkit.evaluation.decisions import balanced_threshold, fpr_threshold
from detectorkit.evaluation.evaluate import Evaluation, evaluate
from detectorkit.evaluation.origins import OriginMetrics, macro_balanced_accuracy
from detectorkit.evaluation.protocols import Trial, check_columns
from detectorkit.metrics.binary import verdict_metrics
from detectorkit.metrics.estimates import Estimate
from detectorkit.model_selection.split import take_items

__all__ = ["TrialResult", "run_trial", "set_thresholds", "summarize_trials"]

FPR_TARGET = 0.05
"""False-positive rate for which the threshold "fpr_5" is set on the validation photographs."""


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial: the fitted detector and its evaluations.

    Attributes
    ----------
    trial : Trial
        The trial that was run.
    detector : classifier
        The detector, fitted on the training images of the trial.
    val : Evaluation
        Evaluation on the validation images, at the detector's own threshold.
    test : dict of str to Evaluation
        Evaluations on the test sets, by name, at the detector's own threshold.
    thresholds : dict of str to float
        Further thresholds, set on the validation images: "validation" has the best balanced
        accuracy, "fpr_5" a false-positive rate of at most 5 %. The latter is nan if there were too
        few photographs.
    fit_seconds : float
        Wall time of `fit`, in seconds.
    """

    trial: Trial
    detector: Any
    val: Evaluation = field(repr=False)
    test: dict[str, Evaluation] = field(repr=False)
    thresholds: dict[str, float]
    fit_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            Under "test", for each test set, all metrics at the detector's own threshold; under
            "at", those that change with the threshold, at each of `thresholds`.
        """
        parts = {}
        for name, evaluation in self.test.items():
            parts[name] = evaluation.to_dict()
            parts[name]["at"] = {
                key: _threshold_dict(evaluation.at(threshold))
                for key, threshold in self.thresholds.items()
                if not np.isnan(threshold)
            }
        return {
            "n_train": len(self.trial.train),
            "n_val": len(self.trial.val),
            "fit_seconds": self.fit_seconds,
            "validation_roc_auc": self.val.metrics["roc_auc"].to_dict(),
            "test": parts,
        }


def _threshold_dict(evaluation: Evaluation) -> dict[str, Any]:
    names = ("accuracy", "balanced_accuracy", "recall", "false_positive_rate")
    called = evaluation.scores > evaluation.threshold
    figures = verdict_metrics(evaluation.y_true == 1, called, evaluation.confidence)
    return {
        "threshold": evaluation.threshold,
        **{name: figures[name].to_dict() for name in names},
        "macro_balanced_accuracy": evaluation.macro_balanced_accuracy.to_dict(),
        "called_generated": {
            row.name: row.called_generated.to_dict() for row in evaluation.origins
        },
    }


def run_trial(
    detector: Any,
    X: Any,
    y: Any,
    origin: Any,
    trial: Trial,
    *,
    picture: Any = None,
    n_resamples: int = 1000,
) -> TrialResult:
    """Fit a detector on the training images of a trial and evaluate it on the others.

    Parameters
    ----------
    detector : classifier
        The detector to evaluate; a clone of it is fitted.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph. It is passed to `fit` as
        ``origin`` if the detector takes that.
    trial : Trial
        The images to train on, to set thresholds on and to test on.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image; "" counts as a picture of its own, as does None for all
        images. It is passed to `fit` as ``groups`` if the detector takes that.
    n_resamples : int, default=1000
        Number of bootstrap samples for the intervals.

    Returns
    -------
    result : TrialResult
        The fitted detector and its evaluations.
    """
    y, origin, picture = check_columns("run_trial", y, origin, picture)
    fitted = clone(detector)
    columns = {"groups": picture, "origin": origin}
    taken = {
        name: column[trial.train]
        for name, column in columns.items()
        if has_fit_parameter(fitted, name)
    }
    start = time.perf_counter()
    fitted.fit(take_items(X, trial.train), y[trial.train], **taken)
    seconds = time.perf_counter() - start

    def measure(index: NDArray[np.intp]) -> Evaluation:
        return evaluate(
            fitted, take_items(X, index), y[index], origin=origin[index], n_resamples=n_resamples
        )

    val = measure(trial.val)
    return TrialResult(
        trial=trial,
        detector=fitted,
        val=val,
        test={name: measure(index) for name, index in trial.test.items()},
        thresholds=set_thresholds(val),
        fit_seconds=seconds,
    )


def set_thresholds(val: Evaluation) -> dict[str, float]:
    """Set the thresholds of a trial on its validation images."""
    photographs = val.scores[val.y_true == 0]
    enough = (len(photographs) + 1) * FPR_TARGET >= 1
    return {
        "validation": balanced_threshold(val.scores, val.y_true),
        "fpr_5": fpr_threshold(photographs, FPR_TARGET).threshold if enough else np.nan,
    }


def summarize_trials(trials: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Average the trials of a protocol, with the same weight for every origin.

    Parameters
    ----------
    trials : iterable of dict
        Results of the trials, as `TrialResult.to_dict` returns them.

    Returns
    -------
    summary : dict
        For each test set, "mean_roc_auc" (mean over the generators), and for each threshold
        ("default" is the detector's own): "false_positive_rate" (mean over the sources),
        "worst_source" with its rate, "recall" (mean over the generators), and
        "macro_balanced_accuracy", which has an interval if no origin was in more than one trial.
        Values that are not defined are None.
    """
    trials = list(trials)
    parts = dict.fromkeys(name for trial in trials for name in trial["test"])
    return {part: _summarize_part([t["test"][part] for t in trials]) for part in parts}


def _summarize_part(parts: list[dict[str, Any]]) -> dict[str, Any]:
    areas: dict[str, list[float]] = {}
    rates: dict[str, dict[str, list[Estimate]]] = {}
    is_generator = {}
    for part in parts:
        for row in part["origins"]:
            name = row["name"]
            is_generator[name] = row["kind"] == "generator"
            called = {"default": row["called_generated"]}
            called |= {key: at["called_generated"][name] for key, at in part["at"].items()}
            for key, rate in called.items():
                rates.setdefault(key, {}).setdefault(name, []).append(Estimate(**rate))
            if is_generator[name] and row["roc_auc"]["value"] is not None:
                areas.setdefault(name, []).append(row["roc_auc"]["value"])
    return {
        "mean_roc_auc": _mean([float(np.mean(values)) for values in areas.values()]),
        **{key: _summarize_rates(by_name, is_generator) for key, by_name in rates.items()},
    }


def _summarize_rates(
    rates: dict[str, list[Estimate]], is_generator: dict[str, bool]
) -> dict[str, Any]:
    means = {name: float(np.mean([r.value for r in found])) for name, found in rates.items()}
    sources = {name: mean for name, mean in means.items() if not is_generator[name]}
    recall = _mean([mean for name, mean in means.items() if is_generator[name]])
    fpr = _mean(list(sources.values()))
    worst = max(sources, key=lambda name: sources[name], default=None)
    macro: dict[str, float | None] | None = None
    if recall is not None and fpr is not None:
        macro = {"value": (recall + 1 - fpr) / 2, "low": None, "high": None}
        if all(len(found) == 1 for found in rates.values()):
            nan = Estimate(np.nan, np.nan, np.nan)
            rows = [OriginMetrics(n, is_generator[n], 0, r[0], nan) for n, r in rates.items()]
            macro = macro_balanced_accuracy(rows).to_dict()
    return {
        "false_positive_rate": fpr,
        "worst_source": worst and {"name": worst, "false_positive_rate": sources[worst]},
        "recall": recall,
        "macro_balanced_accuracy": macro,
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
