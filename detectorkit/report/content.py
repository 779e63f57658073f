"""Convert a report to a dict that can be saved as JSON."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.report.data import ReportData
from detectorkit.report.familiarity import training_names
from detectorkit.report.histogram import count_scores
from detectorkit.report.words import describe_inverted
from detectorkit.utils.json import to_plain

__all__ = ["SCHEMA", "report_to_dict"]

SCHEMA: Final = "detectorkit-report/1"
"""Name and version of the format; the version rises when programs must read it differently."""


def report_to_dict(report: ReportData) -> dict[str, Any]:
    """Return a report in a form that JSON can hold."""
    evaluation, training = report.evaluation, report.training
    content = {
        "schema": SCHEMA,
        "title": report.title,
        "headline": report.headline,
        "inverted": describe_inverted(evaluation.origins),
        "notes": list(report.notes),
        "trained_on": {
            "generators": training_names(training, 1),
            "sources": training_names(training, 0),
        },
        "confidence": evaluation.confidence,
        "evaluation": _figures(report),
        "self_and_foreign": {name: _summarise(part) for name, part in report.parts.items()},
        "reliability": [
            row._asdict() | {"generated": row.generated.to_dict()} for row in evaluation.reliability
        ],
        "score_histogram": _histogram(evaluation),
        "examples": {group.title: group.examples for group in report.examples},
        "robustness": None if report.robustness is None else report.robustness.to_dict(),
        "audit": None if report.audit is None else report.audit.to_dict(),
        "hashes": report.hashes,
        "command": report.command,
        "date": report.date,
        "versions": report.versions,
        "record": report.record,
    }
    plain: dict[str, Any] = to_plain(content)
    return plain


def _figures(report: ReportData) -> dict[str, Any]:
    figures = report.evaluation.to_dict()
    for row, origin in zip(figures["origins"], report.evaluation.origins, strict=True):
        row["training"] = report.status[int(origin.is_generator), origin.name]
    return figures


def _summarise(evaluation: Evaluation) -> dict[str, Any]:
    y, origin = evaluation.y_true, evaluation.origin
    return {
        "n": len(y),
        "n_real": int(np.sum(y == 0)),
        "n_generated": int(np.sum(y == 1)),
        "sources": [str(name) for name in np.unique(origin[y == 0])],
        "generators": [str(name) for name in np.unique(origin[y == 1])],
        "metrics": {name: estimate.to_dict() for name, estimate in evaluation.metrics.items()},
        "macro_balanced_accuracy": evaluation.macro_balanced_accuracy.to_dict(),
    }


def _histogram(evaluation: Evaluation) -> dict[str, list[float]]:
    edges, counts = count_scores(evaluation.scores, evaluation.y_true, evaluation.threshold)
    return {
        "edges": edges.tolist(),
        "real": counts[0].tolist(),
        "generated": counts[1].tolist(),
    }
