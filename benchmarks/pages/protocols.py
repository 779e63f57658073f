"""Tables of detectors by the protocols A to D."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import sklearn.ensemble

import detectorkit
from benchmarks.accuracy.table import MEAN, Row, figures
from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, cost, figure, table, value

__all__ = ["detectors", "glance", "macro_c"]

CLASSICAL = ("forensic", "hog-svm", "hog-svm-fine")
NETWORKS = (
    "clip",
    "transfer",
    "clip-8-bit",
    "clip-and-crops",
    "efficientnet-crops",
    "efficientnet-frozen",
    "efficientnet-tuned",
    "cnn",
    "resnet",
)
N_TRIALS = 8  # of C and of D


def glance() -> str:
    """Return one line a detector and treatment."""
    head = ["", "A: accuracy / AUC", "B self: balanced accuracy / AUC", "B foreign: mean AUC"]
    head += ["B foreign: macro", "C foreign: macro", "D: mean FPR (worst)"]
    rows = [
        [f"{name}, {label}", *(cell or "not measured" for cell in glance_cells(name, treatment))]
        for name in (*CLASSICAL, *NETWORKS)
        for treatment, label in TREATMENTS.items()
        if any(figures().where(detector=name, treatment=treatment))
    ]
    return table(head, rows)


def glance_cells(name: str, treatment: str) -> Iterator[str]:
    """Go over what is known of a detector and a treatment; empty where it was not measured."""

    def find(protocol: str, trial: str, part: str, metric: str) -> Row | None:
        return figures().get(name, treatment, protocol, trial, part, "", metric)

    def pair(protocol: str, first: str) -> str:
        shown = [find(protocol, "all", "self", metric) for metric in (first, "roc_auc")]
        if None in shown:
            return ""
        return f"{figure(shown[0].estimate)} / {value(shown[1].estimate)}"

    yield pair("A", "accuracy")
    yield pair("B", "balanced_accuracy")
    for protocol, trial, metric in (
        ("B", "all", "mean_roc_auc"),
        ("B", "all", "macro_balanced_accuracy"),
        ("C", MEAN, "macro_balanced_accuracy"),
    ):
        row = find(protocol, trial, "foreign", metric)
        yield "" if row is None or (trial == MEAN and row.n < N_TRIALS) else figure(row.estimate)
    yield mean_rate(name, treatment)


def mean_rate(name: str, treatment: str) -> str:
    """Return the mean false-positive rate of D, and the worst with its source."""
    means = figures().where(
        detector=name, treatment=treatment, protocol="D", trial=MEAN, part="foreign"
    )
    found = {row.metric: row for row in means}
    if not found or found["worst_source@fpr_5"].n < N_TRIALS:
        return ""
    worst = found["worst_source@fpr_5"]
    rate = found["false_positive_rate@fpr_5"]
    return f"{rate.value:.3f} ({worst.origin} {worst.value:.3f})"


def detectors() -> str:
    """List the detectors with what makes them and the command that measured them."""
    found = [read_json(RESULTS / "detectors" / f"{name}.json") for name in (*CLASSICAL, *NETWORKS)]
    return "\n".join(map(settings_line, found))


def settings_line(about: dict[str, Any]) -> str:
    """Name a detector and the command that measured it."""
    detector = about["detector"]
    name = detector["class"]
    kind = getattr(detectorkit, name, None) or getattr(sklearn.ensemble, name)
    default = {
        name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
    } | {"random_state": 0}
    shown = {k: v for k, v in detector["parameters"].items() if default.get(k, v) != v}
    call = f"{name}({as_arguments(shown)})"
    return f"- `{detector['name']}` is `{call}`: `{about['command']}`" + "".join(budgets(about))


def as_arguments(settings: dict[str, Any]) -> str:
    """Write settings as they would be in a call."""
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())


def budgets(about: dict[str, Any]) -> Iterator[str]:
    """Say how short the trainings of each treatment were."""
    for treatment, label in TREATMENTS.items():
        found = about["trainings"].get(treatment, {})
        costs = [f"{key} {cost(one['budget'])}" for key, one in found.items() if "budget" in one]
        if costs:
            yield f"\n    - {label}, at most: " + ", ".join(costs)


def macro_c() -> str:
    """Return the macro balanced accuracy over all trials of C, of every detector.

    Images are aligned, or as found for a detector that treats them by itself.
    """
    rows = []
    for name in (*CLASSICAL, *NETWORKS):
        is_aligned = any(figures().where(detector=name, treatment="aligned"))
        treatment = "aligned" if is_aligned else "as-found"
        if not any(figures().where(detector=name, treatment=treatment, protocol="C", trial=MEAN)):
            continue
        cells = [
            figures()[name, treatment, "C", MEAN, part, "", metric].estimate
            for metric in ("macro_balanced_accuracy", "macro_balanced_accuracy@validation")
            for part in ("self", "foreign")
        ]
        rows.append([name, *map(figure, cells)])
    head = ["self", "foreign"]
    heads = [*head, *(f"{part}, validation threshold" for part in head)]
    return table(["", *heads], rows)
