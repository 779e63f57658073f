"""Fill a model card with the sections of a report, in the order that model hubs expect."""

from __future__ import annotations

import numpy as np

from detectorkit.report.data import ReportData
from detectorkit.report.page import Page
from detectorkit.report.sections import (
    add_audit,
    add_examples,
    add_figures,
    add_headline,
    add_known_and_unknown,
    add_origins,
    add_probabilities,
    add_provenance,
    add_record,
    add_robustness,
    add_warnings,
)
from detectorkit.report.words import INTENDED_USE, MACRO, join_names, trained_on
from detectorkit.utils.json import dumps

__all__ = ["fill_card"]


def fill_card(page: Page, report: ReportData) -> None:
    """Add the sections of a report to a page, under the headings that model hubs expect."""
    _add_model_details(page, report)
    page.heading("Intended use and limits")
    page.paragraph(INTENDED_USE)
    _add_training(page, report)
    _add_evaluation_data(page, report)
    page.heading("Metrics")
    _add_metric_meanings(page, report)
    page.heading("Results")
    add_headline(page, report)
    for add in (
        add_known_and_unknown,
        add_figures,
        add_origins,
        add_probabilities,
        add_examples,
        add_robustness,
    ):
        add(page, report, 3)
    page.heading("Caveats")
    add_warnings(page, report)
    add_audit(page, report, 3)
    add_provenance(page, report, 2)
    add_record(page, report, 2)


def _add_model_details(page: Page, report: ReportData) -> None:
    """Add a table that describes the model."""
    page.heading("Model details")
    record = report.record
    if record is None:
        page.paragraph("The detector comes without a record that describes it.")
        return
    preprocessing = record["preprocessing"]
    page.table(
        ["", ""],
        [
            ["detector", record["detector"]],
            ["features", ", ".join(str(f.get("name", "")) for f in record["features"]) or "none"],
            ["image size", " x ".join(map(str, preprocessing["image_size"] or ["as found"]))],
            ["colours", preprocessing["color_space"]],
            ["resizing", preprocessing["resize"]],
            ["threshold", f"{report.evaluation.threshold:.6g}"],
            ["probabilities", record["calibration"].get("method", "")],
            ["made by", f"detectorkit {record['library']['version']}"],
            *([["sha256", report.hashes["model"]]] if "model" in report.hashes else []),
        ],
    )


def _add_training(page: Page, report: ReportData) -> None:
    """Add the origins of the training data and the settings of the training."""
    page.heading("Training data")
    page.paragraph(trained_on(report.training))
    rows = [
        [key, value if isinstance(value, str) else dumps(value)]
        for key, value in (report.training or {}).items()
        if key not in {"generators", "sources"}
    ]
    if rows:
        page.table(["setting", "value"], rows)


def _add_evaluation_data(page: Page, report: ReportData) -> None:
    """Add the numbers and origins of the images that the metrics are measured on."""
    evaluation = report.evaluation
    page.heading("Evaluation data")
    n_real, n_generated = np.bincount(evaluation.y_true, minlength=2)
    for label, n, what in ((0, n_real, "photographs"), (1, n_generated, "generated images")):
        names = [name for of, name in report.status if of == label]
        page.paragraph(f"{n} {what}" + (f": {join_names(names)}." if n else "."))
    if "data" in report.hashes:
        page.paragraph(f"sha256 of the data: {report.hashes['data']}")


def _add_metric_meanings(page: Page, report: ReportData) -> None:
    """Add how the intervals are computed, and what the macro balanced accuracy is."""
    confidence = 100 * report.evaluation.confidence
    page.paragraph(
        f"Intervals have a confidence level of {confidence:g} %. Those of counted proportions are "
        "Wilson's, those of balanced accuracies combine these, those of areas under the ROC curve "
        "are DeLong's, and all others come from a bootstrap within each class."
    )
    page.paragraph(MACRO)
