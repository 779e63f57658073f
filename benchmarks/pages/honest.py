"""Figures of docs/accuracy.md: shipped detectors on sources that they never saw."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.model_selection import GroupKFold

from benchmarks.accuracy.source_images import read_result
from benchmarks.accuracy.table import MEAN, figures
from benchmarks.files import RESULTS, read_json
from benchmarks.pages.cards import SHIPPED, read_shipped
from benchmarks.pages.markdown import figure, table
from detectorkit.calibration import fit_band
from detectorkit.calibration.decision import CANT_TELL, verdict_codes
from detectorkit.evaluation import SourceEvaluation
from detectorkit.evaluation.sources import name_origins

__all__ = ["band", "counted", "found_least", "honest", "known", "rates", "unseen"]

DETECTORS = ("clip", "transfer", "forensic", "hog-svm")
TREATMENT = "as-found"  # files as they are: each detector treats them as it was trained
N_IMAGES = 30  # of a generator, so that a proportion says something


@cache
def scores(name: str) -> SourceEvaluation:
    """Return the left-out scores of a detector."""
    return read_result(f"{name}.{TREATMENT}")


def honest() -> str:
    """Return one line a detector, the best first."""
    speed = read_json(RESULTS / "speed_shipped.json")["detectors"]
    keys = ("recall", "false_positive_rate", "macro_balanced_accuracy", "roc_auc")
    found = {name: read_shipped(name)["left_out"]["metrics"] for name in SHIPPED}
    lines = []
    for name in sorted(found, key=lambda name: -found[name]["macro_balanced_accuracy"]["value"]):
        metrics = [found[name][key] for key in keys]
        cells = [figure([one[end] for end in ("value", "low", "high")], 2) for one in metrics]
        cost = f"{speed[name]['ms_per_image']:.0f}, {speed[name]['bytes'] / 1e6:.2g}"
        lines.append([f"`{name}`", *cells, cost])
    head = ["", "found", "photographs called generated", "macro balanced accuracy", "AUC"]
    return table([*head, "ms an image, MB"], lines)


def counted(kind: str) -> str:
    """Count the origins of "generated" images or "photographs" that have enough images, of all."""
    result = scores("clip")
    label = int(kind == "generated")
    origin = name_origins(result.y_true, result.generator, result.source)
    sizes = np.unique(origin[result.y_true == label], return_counts=True)[1]
    return f"{np.sum(sizes >= result.min_images)} of {len(sizes)}"


def rates(name: str, what: str) -> str:
    """Describe how false-positive rates are spread over the sources of photographs.

    `what` is "none" or "half", for the proportion of sources without a photograph that is called
    generated and with more than half of them, or "n".
    """
    found = np.array(list(scores(name).false_positive_rates.values()))
    if what == "n":
        return str(len(found))
    return f"{np.mean(found == 0 if what == 'none' else found > 0.5):.0%}".replace("%", " %")


def band(name: str, what: str) -> str:
    """Return a proportion of the verdicts with "can't tell", as the mean over all origins.

    The band is set anew on seven eighths of the units, and measured on the last.
    """
    return f"{verdicts_of_further_units(name)[what]:.3f}"


@cache
def verdicts_of_further_units(name: str) -> dict[str, float]:
    """Return the proportions by `band`."""
    result = scores(name)
    origin = name_origins(result.y_true, result.generator, result.source)
    codes = np.empty(len(origin))
    for train, test in GroupKFold(8).split(codes, groups=result.unit):
        threshold = float(result.threshold[test][0])
        found = fit_band(
            result.scores[train], result.y_true[train], origin[train], threshold=threshold
        )
        codes[test] = verdict_codes(result.scores[test], threshold, found)
    proportions = {}
    for word, label, code in (
        ("wrong_photographs", 0, 1),
        ("undecided_photographs", 0, CANT_TELL),
        ("found", 1, 1),
        ("undecided_generated", 1, CANT_TELL),
    ):
        of_class = result.y_true == label
        each = [np.mean(codes[origin == one] == code) for one in np.unique(origin[of_class])]
        proportions[word] = float(np.mean(each))
    return proportions


def found_least(name: str, n: str) -> str:
    """Name the generators of which a detector finds the smallest proportions."""
    result = scores(name)
    called = result.scores > result.threshold
    found = {}
    for generator in np.unique(result.generator[result.y_true == 1]):
        mine = called[(result.y_true == 1) & (result.generator == generator)]
        if len(mine) >= N_IMAGES:
            found[str(generator)] = np.mean(mine)
    least = sorted(found, key=found.__getitem__)[: int(n)]
    return ", ".join(f"{generator} ({found[generator]:.2f})" for generator in least)


def known(name: str) -> str:
    """Return the accuracy by protocol A: on the generator and the photographs of the training."""
    return figure(figures()[name, TREATMENT, "A", "all", "self", "", "accuracy"].estimate, 2)


def unseen(name: str, treatment: str) -> str:
    """Return the macro balanced accuracy by protocol C: generators and sources left out."""
    row = figures()[name, treatment, "C", MEAN, "foreign", "", "macro_balanced_accuracy"]
    return figure(row.estimate, 2)
