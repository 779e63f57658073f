"""The sentences of a report: its headline, its warnings and the meanings of the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.evaluation.origins import OriginMetrics
from detectorkit.metrics.estimates import Estimate
from detectorkit.report.familiarity import named, training_names
from detectorkit.report.page import describe_interval, describe_value

__all__ = [
    "AUDIT_VERDICTS",
    "FIGURES",
    "INTENDED_USE",
    "MACRO",
    "WARNING",
    "describe_estimate",
    "describe_inverted",
    "headline",
    "join_names",
    "trained_on",
]

WARNING: Final = (
    "Metrics on generators that were in training say little about other generators: detectors "
    "that find nine in ten images of known generators have been no better than chance on a new "
    "one, and have called most photographs from a new source generated. And a verdict is not a "
    "proof. It must not be the only ground for anything that is said or done about a person."
)

INTENDED_USE: Final = (
    "For research on detection, and for choosing which images a person looks at first. Not for "
    "proving that an image is generated, or that it is real; not as the only ground for a "
    "decision about a person; and not for generators, sources of photographs or treatments of "
    "files that are unlike those measured here."
)

FIGURES: Final = {
    "accuracy": (
        "accuracy",
        "proportion of right verdicts; depends on the proportion of generated images",
    ),
    "precision": (
        "precision",
        "proportion of alarms that are right; depends on the proportion of generated images",
    ),
    "recall": ("recall", "proportion of generated images that are called generated"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "balanced_accuracy": (
        "balanced accuracy",
        "mean over both classes of the proportion of right verdicts; 0.5 is chance",
    ),
    "false_positive_rate": (
        "false-positive rate",
        "proportion of photographs that are called generated",
    ),
    "roc_auc": (
        "area under ROC curve",
        "probability that a generated image scores above a photograph; 0.5 is chance",
    ),
    "average_precision": (
        "average precision",
        "mean precision over all thresholds; depends on the proportion of generated images",
    ),
    "fpr_at_95_tpr": (
        "false positives at 95 % found",
        "false-positive rate at the threshold that finds 95 % of the generated images",
    ),
    "calibration_gap": (
        "calibration gap",
        "balanced accuracy lost to a threshold that is not the best for these images",
    ),
    "macro_balanced_accuracy": (
        "macro balanced accuracy",
        "balanced accuracy with the same weight for each source and generator",
    ),
    "accuracy_at_one_half": (
        "accuracy at probability 0.5",
        "proportion of right verdicts if a probability above 0.5 means generated",
    ),
    "undecided_photographs": (
        "undecided photographs",
        "proportion of photographs for which the verdict is can't tell",
    ),
    "undecided_generated": (
        "undecided generated images",
        "proportion of generated images for which the verdict is can't tell",
    ),
    "wrong_photographs": (
        "wrong on photographs",
        "proportion of all photographs for which the verdict is generated",
    ),
    "wrong_generated": (
        "wrong on generated images",
        "proportion of all generated images for which the verdict is real",
    ),
    "wrong_where_decided": (
        "wrong where decided",
        "proportion of wrong verdicts among those that are not can't tell",
    ),
    "brier_score": (
        "Brier score",
        "mean squared error of the probabilities; 0.25 if all are 0.5",
    ),
    "log_loss": (
        "log loss",
        "mean logarithmic loss, largest for sure errors; 0.693 if all probabilities are 0.5",
    ),
    "ece": (
        "calibration error (ECE)",
        "mean error of the probabilities; above 0 by chance with few images",
    ),
}
"""Name and meaning of each metric in a report."""

AUDIT_VERDICTS: Final = {
    "fail": (
        "The files fail the audit: the detector may tell the classes apart by format, size or "
        "copies, and not by the pictures."
    ),
    "warn": "The files pass the audit with warnings, which limit what the metrics mean.",
    "ok": "The files pass the audit: apart from the pictures, they tell little about the class.",
}
"""What a report says about each verdict of the audit."""

MACRO: Final = (
    "The macro balanced accuracy is the metric to quote for origins that the detector does not "
    "know. It is one half of the mean of 1 minus the false-positive rate over the sources, plus "
    "one half of the mean recall over the generators. Metrics of the pooled images can hide a "
    "generator or a source on which the detector fails."
)
"""What the macro balanced accuracy is, and why to quote it."""

_MOST_NAMES = 12  # maximum number of names in a sentence; tables list all


def headline(evaluation: Evaluation) -> str:
    """Write the numbers of images and the most important metrics in a few sentences."""
    n_real, n_generated = np.bincount(evaluation.y_true, minlength=2)
    origins = evaluation.origins
    of_real = _from(n_real, "photograph", "source", origins, is_generator=False)
    of_generated = _from(n_generated, "generated image", "generator", origins, is_generator=True)
    if n_generated == 0:
        return (
            f"{of_real}. The false-positive rate, the proportion of them that are called "
            f"generated, is {_with_interval(evaluation, 'false_positive_rate')}. Photographs alone "
            "do not show how many generated images would be found."
        )
    if n_real == 0:
        return (
            f"{of_generated}. The recall, the proportion of them that are found, is "
            f"{_with_interval(evaluation, 'recall')}. Generated images alone do not show how many "
            "photographs would be called generated."
        )
    macro = evaluation.macro_balanced_accuracy
    return (
        f"{of_real} and {of_generated}. The area under the ROC curve is "
        f"{_with_interval(evaluation, 'roc_auc')}, where 1 is perfect and 0.5 is chance. The macro "
        "balanced accuracy, in which every source and every generator has the same weight, is "
        f"{describe_value(macro)} ({_interval(macro, evaluation.confidence)})."
    )


def _from(
    n: int, what: str, whence: str, origins: Sequence[OriginMetrics], *, is_generator: bool
) -> str:
    names = named(row.name for row in origins if row.is_generator == is_generator)
    text = _count(n, what)
    return f"{text} from {_count(len(names), whence)}" if names else text


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _with_interval(evaluation: Evaluation, name: str) -> str:
    estimate = evaluation.metrics[name]
    return f"{describe_value(estimate)} ({_interval(estimate, evaluation.confidence)})"


def _interval(estimate: Estimate, confidence: float) -> str:
    return f"{100 * confidence:g} % interval {describe_interval(estimate)}"


def describe_estimate(estimate: Estimate) -> str:
    """Format an estimate with its interval for the cell of a table."""
    interval = describe_interval(estimate)
    return describe_value(estimate) + (f" ({interval})" if interval else "")


def describe_inverted(origins: Sequence[OriginMetrics]) -> str:
    """Name the generators whose images look more real to the detector than photographs do."""
    inverted = [row for row in origins if row.is_inverted]
    surely = [row for row in inverted if row.roc_auc.high < 0.5]
    perhaps = [row for row in inverted if row.roc_auc.high >= 0.5]
    sentences = []
    if surely:
        sentences.append(
            "Inverted: to this detector, images from these generators look more real than "
            f"photographs do (area under the ROC curve): {_join_areas(surely)}. On them it is "
            "worse than chance."
        )
    if perhaps:
        sentences.append(
            "Perhaps inverted, with an area under the ROC curve below 0.5 that may be chance: "
            f"{_join_areas(perhaps)}."
        )
    return " ".join(sentences)


def _join_areas(rows: Sequence[OriginMetrics]) -> str:
    return join_names([f"{row.name} {describe_estimate(row.roc_auc)}" for row in rows])


def join_names(names: Sequence[str]) -> str:
    """Join names for a sentence, and shorten long lists."""
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def trained_on(training: Mapping[str, Any] | None) -> str:
    """Write the generators and sources that a model was trained on in two sentences."""
    generators, sources = (training_names(training, label) for label in (1, 0))
    return (
        f"Trained on generators: {join_names(generators) if generators else 'not recorded'}. "
        f"Trained on photographs from: {join_names(sources) if sources else 'not recorded'}."
    )
