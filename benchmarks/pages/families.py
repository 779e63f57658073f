"""Tables of single families of features, and what they cost."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.table import MEAN, figures
from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, figure, table, value
from benchmarks.pages.protocols import mean_rate

__all__ = ["colour", "decoding", "families", "fronts", "unseen_generators"]

STACK = "forensic"
SIDES = ("256", "512", "1024")
SHOWN = {
    "A: accuracy": ("A", "all", "self", "", "accuracy"),
    "A: AUC": ("A", "all", "self", "", "roc_auc"),
    "B self: AUC": ("B", "all", "self", "", "roc_auc"),
    "B foreign: AUC": ("B", "all", "foreign", "", "mean_roc_auc"),
    "B foreign: macro": ("B", "all", "foreign", "", "macro_balanced_accuracy"),
    "C foreign: AUC": ("C", MEAN, "foreign", "", "mean_roc_auc"),
    "C foreign: macro": ("C", MEAN, "foreign", "", "macro_balanced_accuracy"),
}


def load() -> tuple[dict[str, int], dict[str, Any]]:
    """Read how many features a family has, and its times."""
    speed = read_json(RESULTS / "speed_features.json")["ms_per_image"]
    known = read_json(RESULTS / "features.json")["n_features"]
    counts = {name: n for name, n in known.items() if name in speed}
    return counts | {STACK: speed[STACK]["256"]["n_features"]}, speed


def families(treatment: str) -> str:
    """Return one line a family, and the whole detector."""
    counts, speed = load()
    rows = []
    for name, n_features in counts.items():
        found = {label: figures()[name, treatment, *key].estimate for label, key in SHOWN.items()}
        times = " / ".join(f"{speed[name][side]['files']:.1f}" for side in SIDES)
        cells = [
            value(estimate) if label.endswith("AUC") else figure(estimate)
            for label, estimate in found.items()
        ]
        shown = f"**{name}**" if name == STACK else name
        rows.append([shown, str(n_features), times, *cells, mean_rate(name, treatment)])
    head = ["", "features", f"ms at {' / '.join(SIDES)} px", *SHOWN, "D: mean FPR (worst)"]
    return table(head, rows)


def decoding() -> str:
    """Return the times of decoding alone."""
    times = load()[1]["decoding"]
    rows = [
        [label, *(f"{times[side][key]:.2f}" for side in SIDES)]
        for label, key in (("grey", "gray"), ("colour", "rgb"))
    ]
    return table(["decoding alone, ms", *(f"{side} px" for side in SIDES)], rows)


def unseen_generators() -> str:
    """Return the area of each generator of B's foreign part, aligned."""
    place = {"treatment": "aligned", "protocol": "B", "part": "foreign", "metric": "roc_auc"}
    rows = []
    for name in load()[0]:
        found = [row for row in figures().where(detector=name, **place) if row.origin]
        rows.append([name, *(figure(row.estimate) for row in found)])
    heads = [f"{row.origin} (n = {row.n})" for row in found]
    return table(["", *heads], rows)


def fronts() -> str:
    """List what nothing else beats both in time and in the foreign area of B."""
    return "\n".join(
        f"- {label}: "
        + "; ".join(f"{name} ({ms:.2f} ms, {auc:.3f})" for name, ms, auc in front(treatment))
        for treatment, label in TREATMENTS.items()
    )


def front(treatment: str) -> list[tuple[str, float, float]]:
    """Return name, milliseconds and area of what is on the Pareto front, fastest first."""
    counts, speed = load()
    points = sorted(
        (
            speed[name]["256"]["files"],
            -figures()[name, treatment, *SHOWN["B foreign: AUC"]].value,
            name,
        )
        for name in counts
    )
    found: list[tuple[str, float, float]] = []
    for ms, minus_auc, name in points:
        if not found or -minus_auc > found[-1][2]:
            found.append((name, ms, -minus_auc))
    return found


def colour() -> str:
    """Return the change of areas from luma to luma and both colour differences."""
    counts = load()[0]
    columns = {
        "A": SHOWN["A: AUC"],
        "B self": SHOWN["B self: AUC"],
        "B foreign": SHOWN["B foreign: AUC"],
        "C foreign": SHOWN["C foreign: AUC"],
    }
    rows = []
    for treatment, label in TREATMENTS.items():
        for name in counts:
            in_colour = f"{name}-ycbcr"
            if in_colour in counts:
                changes = [
                    figures()[in_colour, treatment, *key].value
                    - figures()[name, treatment, *key].value
                    for key in columns.values()
                ]
                rows.append([name, label, *(f"{change:+.3f}" for change in changes)])
    return table(["", "", *columns], rows)
