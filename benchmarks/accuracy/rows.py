"""Which figures of a trial the table keeps.

All others follow from the scores, where these were kept (benchmarks/accuracy/scores.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.table import MEAN, Row
from detectorkit.evaluation import Estimate, summarize_trials

ALL = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "balanced_accuracy",
    "false_positive_rate",
    "roc_auc",
    "average_precision",
    "fpr_at_95_tpr",
    "calibration_gap",
    "accuracy@validation",
    "accuracy_at_one_half",
    "brier_score",
    "log_loss",
    "ece",
    "precision@0.5",
    "precision@0.1",
    "precision@0.01",
)
MACRO = ("mean_roc_auc", "macro_balanced_accuracy", "macro_balanced_accuracy@validation")
AREAS = ("called_generated", "roc_auc")

PARTS: dict[tuple[str, str], Sequence[str]] = {
    ("A", "self"): ALL,
    ("B", "self"): ("balanced_accuracy", "roc_auc", *MACRO),
    ("B", "foreign"): ("balanced_accuracy", "roc_auc", *MACRO),
    ("C", "self"): ("balanced_accuracy", "roc_auc"),
}
"""Figures of a whole part."""

ORIGINS: dict[tuple[str, str], Sequence[str]] = {
    ("A", "self"): AREAS,
    ("B", "self"): AREAS,
    ("B", "foreign"): AREAS,
    ("C", "foreign"): AREAS,
    ("D", "foreign"): ("called_generated", "called_generated@fpr_5"),
}
"""Figures of each generator and of each collection of photographs."""

MEANS: dict[tuple[str, str], Sequence[str]] = {
    ("C", "self"): MACRO[1:],
    ("C", "foreign"): MACRO,
    ("D", "self"): ("recall@fpr_5",),
    ("D", "foreign"): ("false_positive_rate@fpr_5", "worst_source@fpr_5"),
}
"""Means over the trials, in which every origin counts the same."""

Key = tuple[str, str, str, str]  # detector, treatment, protocol, trial


def trial_rows(key: Key, content: dict[str, Any]) -> Iterator[Row]:
    """Choose the figures of a trial, from what `TrialResult.to_dict` gives."""
    for part, found in content["test"].items():
        place = key[2], part
        for metric in PARTS.get(place, ()):
            yield Row(*key, part, "", metric, found["n"], *find_figure(found, metric))
        for origin in found["origins"]:
            for metric in ORIGINS.get(place, ()):
                estimate = find_origin_figure(found, origin, metric)
                if estimate is not None:
                    yield Row(*key, part, origin["name"], metric, origin["n"], *estimate)


def mean_rows(key: Key, contents: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Average the trials of a protocol, from what `TrialResult.to_dict` gives of each."""
    for part, found in summarize_trials(contents).items():
        for metric in MEANS.get((key[2], part), ()):
            origin, estimate = find_mean(found, metric)
            yield Row(*key[:3], MEAN, part, origin, metric, len(contents), *estimate)


def find_figure(found: dict[str, Any], metric: str) -> Estimate:
    """Look up a figure of a part."""
    name, _, at = metric.partition("@")
    if at in found["at"]:
        found = found["at"][at]
    elif at:
        return as_estimate(found["precision_at_prevalence"][at])
    known = found | found.get("metrics", {}) | found.get("probability_metrics", {})
    return as_estimate(known.get(name))


def find_origin_figure(
    found: dict[str, Any], origin: dict[str, Any], metric: str
) -> Estimate | None:
    """Look up a figure of an origin; photographs have no area of their own."""
    name, _, at = metric.partition("@")
    if at:
        return as_estimate(found["at"].get(at, {}).get(name, {}).get(origin["name"]))
    return as_estimate(origin[name]) if name in origin else None


def find_mean(found: dict[str, Any], metric: str) -> tuple[str, Estimate]:
    """Look up a mean, and the origin that it names."""
    name, _, at = metric.partition("@")
    if name == "mean_roc_auc":
        return "", as_estimate(found[name])
    at_threshold = found.get(at or "default", {})
    if name == "worst_source":
        worst = at_threshold.get(name) or {"name": "", "false_positive_rate": None}
        return worst["name"], as_estimate(worst["false_positive_rate"])
    return "", as_estimate(at_threshold.get(name))


def as_estimate(value: Any) -> Estimate:
    """Read a figure with or without an interval, or None."""
    ends = value if isinstance(value, dict) else {"value": value, "low": None, "high": None}
    return Estimate(*(np.nan if ends[key] is None else ends[key] for key in Estimate._fields))
