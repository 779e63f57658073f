"""The sentences of a report: what was measured, what came out, and what that does not mean."""

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
    "FACTS",
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
    "A figure for generators that were in training says little about any other: detectors that "
    "find nine in ten of what they know have been no better than chance on the next generator, "
    "and have taken most photographs from a new source for generated. And a verdict is no proof. "
    "It must not be the only ground for anything that is said or done about a person."
)

INTENDED_USE: Final = (
    "For research on detection, and for choosing which images a person looks at first. Not for "
    "proving that an image is generated, or that it is real; not as the only ground for a "
    "decision about a person; and not for generators, sources of photographs or treatments of "
    "files that are unlike those measured here."
)

FIGURES: Final = {
    "accuracy": ("accuracy", "share of right verdicts; depends on how many are generated"),
    "precision": (
        "precision",
        "of the images called generated, the share that is; depends on how many are generated",
    ),
    "recall": ("recall", "of the generated images, the share that is found"),
    "f1": ("F1", "precision and recall in one figure"),
    "balanced_accuracy": ("balanced accuracy", "mean share of right verdicts; 0.5 is chance"),
    "false_positive_rate": (
        "false-positive rate",
        "of the photographs, the share called generated",
    ),
    "roc_auc": (
        "area under ROC curve",
        "how often a generated image scores above a photograph; 0.5 is chance",
    ),
    "average_precision": (
        "average precision",
        "mean precision over all thresholds; depends on how many are generated",
    ),
    "fpr_at_95_tpr": (
        "false positives at 95 % found",
        "share of the photographs called generated where 95 % of the generated are found",
    ),
    "calibration_gap": (
        "calibration gap",
        "balanced accuracy lost to a threshold that does not suit these images",
    ),
    "macro_balanced_accuracy": (
        "macro balanced accuracy",
        "balanced accuracy in which each source and generator counts alike",
    ),
    "accuracy_at_one_half": (
        "accuracy at probability 0.5",
        "share of right verdicts with the line at probability 0.5",
    ),
    "brier_score": ("Brier score", "mean squared error; always saying 0.5 gives 0.25"),
    "log_loss": ("log loss", "punishes sure errors most; always saying 0.5 gives 0.693"),
    "ece": (
        "calibration error (ECE)",
        "how far probabilities are off on average; above 0 by chance with few images",
    ),
}
"""What each figure is called in a report, and what it means."""

AUDIT_VERDICTS: Final = {
    "fail": "The files fail the audit: format, size or copies may be what the detector goes by.",
    "warn": "The files pass the audit with warnings, to be known when the figures are read.",
    "ok": "The files pass the audit: what they are, apart from the pictures, tells little.",
}

FACTS: Final = {
    "everything": "all facts of the file",
    "container": "the same without its length",
}
"""What a classifier of the audit sees; all others see one fact alone."""

MACRO: Final = (
    "The macro balanced accuracy is the figure to quote for a world that the detector does not "
    "know: the mean over the sources of 1 minus the false-positive rate, and the mean over the "
    "generators of the share found, averaged. Pooled figures hide a generator or a source on "
    "which the detector fails."
)

_MOST_NAMES = 12  # in a sentence; tables name all


def headline(evaluation: Evaluation) -> str:
    """Say what was measured and what came out.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.

    Returns
    -------
    text : str
        A few sentences.
    """
    n_real, n_generated = np.bincount(evaluation.y_true, minlength=2)
    origins = evaluation.origins
    of_real = _from(n_real, "photograph", "source", origins, is_generator=False)
    of_generated = _from(n_generated, "generated image", "generator", origins, is_generator=True)
    if n_generated == 0:
        return (
            f"{of_real}. {_with_interval(evaluation, 'false_positive_rate')} of them are called "
            "generated. How many generated images would be found cannot be said from photographs "
            "alone."
        )
    if n_real == 0:
        return (
            f"{of_generated}. {_with_interval(evaluation, 'recall')} of them are found. How many "
            "photographs would be called generated cannot be said from generated images alone."
        )
    macro = evaluation.macro_balanced_accuracy
    return (
        f"{of_real} and {of_generated}. The area under the ROC curve is "
        f"{_with_interval(evaluation, 'roc_auc')}, where 1 is perfect and 0.5 is chance. The macro "
        "balanced accuracy, in which every source and every generator counts alike, is "
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
    """Give an estimate with its interval for the cell of a table.

    Parameters
    ----------
    estimate : Estimate
        The figure.

    Returns
    -------
    text : str
        Value and interval.
    """
    interval = describe_interval(estimate)
    return describe_value(estimate) + (f" ({interval})" if interval else "")


def describe_inverted(origins: Sequence[OriginMetrics]) -> str:
    """Say of which generators the images look more real than photographs do.

    Parameters
    ----------
    origins : sequence of OriginMetrics
        Of all sources and generators.

    Returns
    -------
    text : str
        Empty if there are none.
    """
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
            f"Perhaps inverted, with an area below 0.5 that may be chance: {_join_areas(perhaps)}."
        )
    return " ".join(sentences)


def _join_areas(rows: Sequence[OriginMetrics]) -> str:
    return join_names([f"{row.name} {describe_estimate(row.roc_auc)}" for row in rows])


def join_names(names: Sequence[str]) -> str:
    """Give names for a sentence.

    Parameters
    ----------
    names : sequence of str
        Any number of them.

    Returns
    -------
    text : str
        The first of them, and how many more there are.
    """
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def trained_on(training: Mapping[str, Any] | None) -> str:
    """Say what a model was trained on.

    Parameters
    ----------
    training : mapping or None
        The summary in the model's record; None where there is no record.

    Returns
    -------
    text : str
        A sentence on the generators and one on the photographs.
    """
    generators, sources = (training_names(training, label) for label in (1, 0))
    return (
        f"Trained on generators: {join_names(generators) if generators else 'not recorded'}. "
        f"Trained on photographs from: {join_names(sources) if sources else 'not recorded'}."
    )
