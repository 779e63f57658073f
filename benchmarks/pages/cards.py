"""The cards of the shipped detectors: card.md beside this file, filled from the results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy.table import MEAN, Row, figures
from benchmarks.files import RESULTS, read_json
from benchmarks.pages.holes import fill
from benchmarks.pages.markdown import cost, figure, table

TEMPLATE = Path(__file__).parent / "card.md"

SHIPPED = {"forensic": "forensic", "cnn": "cnn", "transfer": "efficientnet-frozen"}
"""Detectors that come along, and what they were measured as by the protocols."""

TITLES = {
    "forensic": "a stack of classical features with a linear machine",
    "cnn": "the modified CNN, in 8 bits",
    "transfer": "features of all levels of EfficientNet-Lite0 with a small head",
}
LICENCES = {
    "forensic": "",
    "cnn": "",
    "transfer": "; the weights of EfficientNet-Lite0 are Apache-2.0 (trained on ImageNet, by "
    "Google; ported by ML Illustrated)",
}


def card(name: str) -> str:
    """Return the card of a detector."""
    shipped = read_json(RESULTS / f"shipped_{name}.json")
    training, val = shipped["training"], shipped["validation"]
    makers = {
        "name": lambda: name,
        "title": lambda: TITLES[name],
        "licence": lambda: LICENCES[name],
        "n": lambda key: str((training if key.startswith("training") else val)[key.split(".")[1]]),
        "treatment": lambda: training["treatment"],
        "known": lambda key: figure(val[key]),
        "new": partial(new, name),
        "cost": lambda: training_cost(name),
        "origins": lambda: origins(name, val),
        "thresholds": lambda: thresholds(training),
    }
    return fill(TEMPLATE.read_text(encoding="utf-8"), makers, keep_marks=False)


def find(name: str, protocol: str, trial: str, part: str, metric: str) -> Row:
    """Look up what was measured of detectors of this kind, aligned."""
    return figures()[SHIPPED[name], "aligned", protocol, trial, part, "", metric]


def new(name: str, key: str) -> str:
    """Return a figure on what is new to the detector."""
    means = partial(find, name, "D", MEAN)
    return {
        "area-b": lambda: f"{find(name, 'B', 'all', 'foreign', 'mean_roc_auc').value:.2f}",
        "macro-b": lambda: figure(
            find(name, "B", "all", "foreign", "macro_balanced_accuracy").estimate
        ),
        "macro-c": lambda: figure(
            find(name, "C", MEAN, "foreign", "macro_balanced_accuracy").estimate
        ),
        "rate-d": lambda: f"{means('foreign', 'false_positive_rate@fpr_5').value:.0%}",
        "worst-d": lambda: "{0.value:.0%} at worst ({0.origin})".format(worst_source(name)),
        "recall-d": lambda: f"{means('self', 'recall@fpr_5').value:.0%}",
    }[key]()


def worst_source(name: str) -> Row:
    """Return the highest false-positive rate of D, which names its collection."""
    place = {"detector": SHIPPED[name], "treatment": "aligned", "protocol": "D", "part": "foreign"}
    return next(figures().where(**place, metric="worst_source@fpr_5"))


def training_cost(name: str) -> str:
    """Say how short the trainings of the protocols were; nothing where they were not."""
    about = read_json(RESULTS / "detectors" / f"{SHIPPED[name]}.json")
    costs = {key: one.get("budget") for key, one in about["trainings"]["aligned"].items()}
    if None in costs.values():
        return ""
    known, left_out, collections = (cost(costs[protocol]) for protocol in "BCD")
    return (
        " The trainings behind the figures on what is new were short: "
        f"{known} with GANs alone, {left_out} with each generator left out, {collections} with "
        "each collection."
    )


def origins(name: str, val: dict[str, Any]) -> str:
    """Return the share called generated of each origin, known and new to the detector."""
    rows = []
    for kind, word, verb in (
        ("photographs", "real", "called generated"),
        ("generator", "generated", "found"),
    ):
        for origin, known in sorted(val["origins"].items()):
            if known["kind"] == kind:
                row = new_to_it(name, origin, "D" if kind == "photographs" else "C")
                cells = ["", "not measured"] if row is None else [f"{row.n}", figure(row.estimate)]
                shares = [f"{known['n']}", figure(known["called_generated"]), *cells]
                rows.append([f"{origin} ({word})", verb, *shares])
    return table(["images of", "share", "n", "known to it", "n", "new to it"], rows)


def new_to_it(name: str, origin: str, protocol: str) -> Row | None:
    """Return what comes of an origin that was left out: a collection alone, a generator as in C."""
    place = {"detector": SHIPPED[name], "treatment": "aligned", "protocol": protocol}
    found = figures().where(**place, part="foreign", origin=origin, metric="called_generated")
    return next(found, None)


def thresholds(training: dict[str, Any]) -> str:
    """Return the thresholds for false-positive rates on photographs that are known."""
    rows = [
        [f"{key.removeprefix('fpr_')} %", f"{threshold:.3f}"]
        for key, threshold in training["thresholds"].items()
    ]
    return table(["false positives", "threshold"], rows)
