"""Tables on the fingerprints of generators."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import figure, table

__all__ = [
    "confusion",
    "fit_cost",
    "native",
    "overview",
    "pairs",
    "planted",
    "residual_cost",
    "stability",
]

TREATMENTS = ("aligned", "crop")
WIDEST = 1.0  # interval of a correlation that says something


@cache
def found() -> dict[str, Any]:
    """Read the result once."""
    return read_json(RESULTS / "fingerprints.json")


def overview() -> str:
    """Return how well images are attributed."""
    rows = {
        'accuracy, of the highest margin without "unknown"': "accuracy",
        "the same, generators of several repositories": "accuracy_across",
        "the same, generators of one repository": "accuracy_within",
        'photographs of new sources not "unknown"': "photographs",
        "AUC of known generators against photographs": "photographs_auc",
    }
    parts = found()["attribution"]
    lines = [
        [title, *(figure(parts[t][key], 2) for t in TREATMENTS)] for title, key in rows.items()
    ]
    means = [f"{parts[t]['known_auc_mean']:.2f}" for t in TREATMENTS]
    lines.append(["AUC of known against unknown generators, mean", *means])
    return table(["", *TREATMENTS], lines)


def confusion(treatment: str) -> str:
    """Return which generators are taken for which, with "unknown" as an answer."""
    part = found()["attribution"][treatment]
    names = list(part["recall"])
    head = ["", *names, "unknown", "recall without unknown"]
    lines = [
        [name, *map(str, counts), figure(part["recall"][name], 2) if name in part["recall"] else ""]
        for name, counts in part["with_unknown"].items()
    ]
    return table(head, lines)


def pairs() -> str:
    """Return how alike the fingerprints of two groups are, where they are known well enough."""
    parts = found()["pairs"]
    lines = []
    for title in parts["aligned"]:
        values = [parts[t][title]["correlation"] for t in TREATMENTS]
        lines.append([title, *(figure(v, 2) if v[2] - v[1] < WIDEST else "" for v in values)])
    return table(["", *TREATMENTS], lines)


def stability() -> str:
    """Return how strong each fingerprint is, and how many images it needs."""
    parts = found()["attribution"]
    lines = []
    for name in parts["crop"]["stability"]:
        cells = [parts[t]["stability"][name] for t in TREATMENTS]
        row = [name]
        for cell in cells:
            is_there = cell["strength"][1] > 0
            needed = f"{cell['n_needed'][0]:.0f}" if is_there else ""
            row += [figure(cell["strength"], 4), needed]
        lines.append(row)
    head = ["", *(f"{t}, {what}" for t in TREATMENTS for what in ("strength", "images needed"))]
    return table(head, lines)


def native(metric: str) -> str:
    """Return a figure of the crops of original pixels."""
    value = found()["native"][metric]
    return figure(value, 2) if isinstance(value, list) else str(value)


def planted() -> str:
    """Return how often planted patterns are detected."""
    rows = found()["planted"]["rows"]
    lines = [
        [
            f"{row['amplitude']:g}",
            str(row["n"]),
            f"{row['strength']:.4f}",
            f"{row['theory']:.3f}",
            figure(row["measured"]),
            figure(row["false_alarms"]),
        ]
        for row in rows
    ]
    head = ["pattern, grey levels", "images", "strength", "theory", "measured", "false alarms"]
    return table(head, lines)


def residual_cost() -> str:
    """Return the milliseconds an image by residual."""
    cost = found()["cost"]["ms_per_image"]
    return ", ".join(f"`{name}` {value:.1f}" for name, value in cost.items())


def fit_cost() -> str:
    """Return seconds and memory of `fit` by the number of images."""
    cost = found()["cost"]
    lines = [
        [str(n), f"{seconds:.2f}", f"{peak:.0f}"]
        for n, seconds, peak in zip(cost["n"], cost["fit_seconds"], cost["peak_mb"], strict=True)
    ]
    return table(["images", "seconds", "peak, MB"], lines)
