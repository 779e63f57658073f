"""Fill an HTML page with the sections of a report, the most important first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from detectorkit.calibration.decision import CANT_TELL
from detectorkit.evaluation.evaluate import PREVALENCES, Evaluation
from detectorkit.evaluation.origins import OriginMetrics
from detectorkit.evaluation.robustness.report import PerturbationMetrics
from detectorkit.metrics.estimates import Estimate
from detectorkit.report.data import ReportData
from detectorkit.report.familiarity import (
    IN_TRAINING,
    NOT_IN_TRAINING,
    NOT_RECORDED,
    named,
)
from detectorkit.report.page import Page, describe_value
from detectorkit.report.words import (
    AUDIT_VERDICTS,
    FIGURES,
    WARNING,
    describe_estimate,
    describe_inverted,
    trained_on,
)
from detectorkit.utils.json import dumps

__all__ = ["fill_page"]

_COMPARED = (
    "roc_auc",
    "balanced_accuracy",
    "false_positive_rate",
    "recall",
    "macro_balanced_accuracy",
)


def fill_page(page: Page, report: ReportData) -> None:
    """Add the sections of a report to a page, the most important first."""
    add_headline(page, report)
    add_known_and_unknown(page, report, 2)
    add_warnings(page, report)
    for add in (
        add_figures,
        add_origins,
        add_probabilities,
        add_curves,
        add_scores,
        add_examples,
        add_robustness,
        add_audit,
        add_provenance,
        add_record,
    ):
        add(page, report, 2)


def add_headline(page: Page, report: ReportData) -> None:
    """Add the most important metrics in words, and what the model was trained on."""
    page.paragraph(report.headline, "lead")
    page.paragraph(trained_on(report.training))
    inverted = describe_inverted(report.evaluation.origins)
    if inverted:
        page.paragraph(inverted, "warning")


def add_warnings(page: Page, report: ReportData) -> None:
    """Add the warning about unknown origins, and the notes of the user."""
    page.paragraph(WARNING, "warning")
    for note in report.notes:
        page.paragraph(note)


def add_known_and_unknown(page: Page, report: ReportData, level: int) -> None:
    """Add a comparison of origins that were in training with those that were not."""
    page.heading("What was in training, and what was not", level)
    kinds = [
        kind
        for kind in (IN_TRAINING, NOT_IN_TRAINING, NOT_RECORDED)
        if kind in report.status.values()
    ]
    rows = [
        [title, *(_names_of(report, label, kind) for kind in kinds)]
        for label, title in ((1, "generators"), (0, "photographs from"))
    ]
    page.table(["", *kinds], rows)
    if kinds == [NOT_RECORDED]:
        page.paragraph(
            "The record of the model does not say which of these it was trained on. So it is not "
            "known whether these metrics are on known or on unknown origins."
        )
    if not report.parts:
        return
    evaluations = [report.parts["self"], report.parts["foreign"]]
    page.table(["", "self: in training", "foreign: not in training"], _compare(evaluations))
    for label, what in ((1, "generated images"), (0, "photographs")):
        if len({tuple(np.unique(of.origin[of.y_true == label])) for of in evaluations}) == 1:
            page.paragraph(f"The {what} are the same in both columns.")
    page.paragraph(
        'Here "in training" means that the model was trained on images of the generator or source. '
        "It must not have been trained on the very images measured here, which this report cannot "
        "check."
    )


def _names_of(report: ReportData, label: int, kind: str) -> str:
    names = [name for (of, name), status in report.status.items() if of == label and status == kind]
    return ", ".join(named(names)) or ("(no name given)" if names else "none")


def _compare(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    counts = [np.bincount(evaluation.y_true, minlength=2) for evaluation in evaluations]
    rows = [
        ["generated images", *(str(count[1]) for count in counts)],
        ["photographs", *(str(count[0]) for count in counts)],
    ]
    figures = [
        evaluation.metrics | {"macro_balanced_accuracy": evaluation.macro_balanced_accuracy}
        for evaluation in evaluations
    ]
    return rows + [
        [FIGURES[name][0], *(describe_estimate(of[name]) for of in figures)] for name in _COMPARED
    ]


def add_figures(page: Page, report: ReportData, level: int) -> None:
    """Add a table of all metrics, each with its meaning."""
    evaluation = report.evaluation
    page.heading("All metrics", level)
    figures = evaluation.metrics | {
        "macro_balanced_accuracy": evaluation.macro_balanced_accuracy,
        "accuracy_at_one_half": evaluation.accuracy_at_one_half,
    }
    if evaluation.probabilities is None:
        del figures["accuracy_at_one_half"]
    add_metrics(page, figures, evaluation.confidence)
    page.paragraph(
        f'The positive class is "generated"; an image is called generated if its score is above '
        f"{evaluation.threshold:.4g}. Intervals cover chance in the choice of images, but not in "
        "the choice of generators and sources."
    )
    band = evaluation.band
    if band is None:
        return
    page.heading("Verdicts that may be can't tell", level + 1)
    undecided = evaluation.verdicts == CANT_TELL
    add_metrics(page, evaluation.verdict_metrics, evaluation.confidence)
    page.paragraph(
        f"The verdict is can't tell at scores from {band.low:.4g} to {band.high:.4g}, which is so "
        f"for {int(undecided.sum())} of {len(undecided)} images. The metrics above this table "
        "classify these too, by the threshold alone."
    )


def add_metrics(page: Page, figures: Mapping[str, Estimate], confidence: float) -> None:
    page.metrics(
        {FIGURES[name][0]: estimate for name, estimate in figures.items()},
        meanings=dict(FIGURES.values()),
        confidence=confidence,
    )


def add_origins(page: Page, report: ReportData, level: int) -> None:
    """Add a table with the metrics of every source and generator."""
    evaluation = report.evaluation
    page.heading("By source and generator", level)
    page.table(
        ["origin", "kind", "n", "called generated", "area under ROC curve", "inverted", "known"],
        [
            _origin_row(row, report.status[int(row.is_generator), row.name])
            for row in evaluation.origins
        ],
    )
    page.paragraph(
        "Called generated is the false-positive rate of photographs, and the proportion found of a "
        "generator's images. The area under the ROC curve is that of the generator's images "
        "against all photographs here. Inverted means that it is below 0.5."
    )
    if not np.isnan(evaluation.mean_roc_auc):
        page.paragraph(
            f"Mean area under the ROC curve over the generators: {evaluation.mean_roc_auc:.3f}."
        )


def _origin_row(row: OriginMetrics, status: str) -> list[str]:
    has_area = not np.isnan(row.roc_auc.value)
    return [
        row.name,
        "generator" if row.is_generator else "photographs",
        str(row.n),
        describe_estimate(row.called_generated),
        describe_estimate(row.roc_auc) if has_area else "",
        "yes" if row.is_inverted else "",
        status,
    ]


def add_probabilities(page: Page, report: ReportData, level: int) -> None:
    """Add how well probabilities are calibrated, and the precision by prevalence."""
    evaluation = report.evaluation
    page.heading("Probabilities", level)
    if not report.has_both_classes:
        page.paragraph("Probabilities can only be evaluated on images of both classes.")
        return
    if evaluation.probabilities is None:
        page.paragraph("The detector gives scores but no probabilities.")
    else:
        add_metrics(page, evaluation.probability_metrics, evaluation.confidence)
        page.heading("Are the probabilities right?", level + 1)
        page.table(
            ["mean probability", "proportion generated", "n"],
            [
                [f"{row.mean_probability:.3f}", describe_estimate(row.generated), row.n]
                for row in evaluation.reliability
            ],
        )
        page.paragraph(
            "Each row is a tenth of the images, sorted by probability. If probabilities are right, "
            "the two columns agree. Probabilities hold where the proportion of generated images is "
            "that of the data on which they were fitted."
        )
    page.heading("How many alarms are right?", level + 1)
    page.table(
        ["generated among all images", "precision", "false among 100 alarms"],
        [_prevalence_row(p, evaluation.precision_at(p)) for p in PREVALENCES],
    )
    page.paragraph(
        "An alarm is an image that is called generated. Precision is the proportion of alarms that "
        "are right. It falls where generated images are rare, however good the detector."
    )


def _prevalence_row(prevalence: float, precision: Estimate) -> list[str]:
    is_defined = not np.isnan(precision.value)
    false = f"{100 * (1 - precision.value):.0f}" if is_defined else "no alarms"
    return [f"{100 * prevalence:g} %", describe_estimate(precision), false]


def add_curves(page: Page, report: ReportData, level: int) -> None:
    """Add the curves as charts."""
    page.heading("Curves", level)
    if not report.curves:
        page.paragraph("Curves can only be drawn for images of both classes.")
    for curve in report.curves:
        page.figure(curve.svg, curve.caption)


def add_scores(page: Page, report: ReportData, level: int) -> None:
    """Add a histogram of the scores."""
    evaluation = report.evaluation
    page.heading("Scores", level)
    page.score_histogram(evaluation.scores, evaluation.y_true, evaluation.threshold)


def add_examples(page: Page, report: ReportData, level: int) -> None:
    """Add the example images."""
    if not report.examples:
        return
    page.heading("Images worth a look", level)
    if any(group.has_maps and group.pictures for group in report.examples):
        page.paragraph(
            "Beside each image is its saliency map. Red speaks for generated and, for methods with "
            "signs, blue against it. A map shows what this detector looks at, not what is wrong "
            "with the image."
        )
    for group in report.examples:
        if not group.captions:
            page.heading(group.title, level + 1)
            page.paragraph("None.")
        elif group.pictures is None:
            page.heading(group.title, level + 1)
            page.items(group.captions)
        else:
            page.images(
                group.title, group.pictures, group.captions, file_format="JPEG", level=level + 1
            )


def add_robustness(page: Page, report: ReportData, level: int) -> None:
    """Add the effect of perturbations on scores and verdicts."""
    robustness = report.robustness
    if robustness is None:
        return
    page.heading("When files are re-encoded, resized or otherwise changed", level)
    page.paragraph(robustness.summary)
    # Two tables, as nine columns are wider than the page.
    page.table(
        [
            "change",
            "false-positive rate",
            "generated images found",
            "balanced accuracy",
            "area under ROC curve",
        ],
        [_rates_row(row) for row in robustness.rows],
    )
    page.paragraph("Both classes are changed alike.")
    page.table(
        [
            "change",
            "shift of photographs",
            "shift of generated",
            "photographs that flip",
            "generated that flip",
        ],
        [_shifts_row(row) for row in robustness.rows],
    )
    page.paragraph(
        "Shifts are mean changes of the score, in standard deviations of the scores before; above "
        '0 is towards "generated". The last columns are the proportions of images whose verdict '
        "differs from that of the unchanged image."
    )


def _rates_row(row: PerturbationMetrics) -> list[str]:
    rates = (row.false_positive_rate, row.true_positive_rate, row.balanced_accuracy, row.roc_auc)
    return [row.name, *map(describe_estimate, rates)]


def _shifts_row(row: PerturbationMetrics) -> list[str]:
    classes = (row.real, row.generated)
    return [
        row.name,
        *(_signed(kind.relative_shift.value) for kind in classes),
        *(describe_value(kind.flips) for kind in classes),
    ]


def _signed(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:+.2f}"


def add_audit(page: Page, report: ReportData, level: int) -> None:
    """Add the findings of the audit of the files."""
    audit = report.audit
    if audit is None:
        return
    page.heading("Would the files alone give the answer away?", level)
    page.paragraph(AUDIT_VERDICTS[audit.verdict], "plain" if audit.verdict == "ok" else "warning")
    page.items(f"{finding.severity}: {finding.text}" for finding in audit.findings)
    page.table(
        ["what a classifier sees that sees no pixel", "area under ROC curve"],
        [[name, describe_estimate(area)] for name, area in audit.metadata.in_words().items()],
    )


def add_provenance(page: Page, report: ReportData, level: int) -> None:
    """Add the date, versions, hashes and command with which the report was made."""
    page.heading("How this was made", level)
    rows = [["date", report.date], *([key, value] for key, value in report.versions.items())]
    rows += [[f"sha256 of the {key}", value] for key, value in report.hashes.items()]
    page.table(["", ""], rows)
    if "data" in report.hashes:
        page.paragraph(
            "The sha256 of the data is the sha256 of a list of the sorted sha256 of its files, one "
            "on each line."
        )
    if report.command:
        page.code(report.command, "sh")


def add_record(page: Page, report: ReportData, level: int) -> None:
    """Add the record of the model as JSON."""
    if report.record is not None:
        page.heading("The model's own record", level)
        page.code(dumps(report.record, indent=1), "json")
