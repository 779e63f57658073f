"""Tables of what detectors look at, and of which explanation to trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import figure, table

__all__ = ["best_methods", "derivatives", "methods", "regions"]

KINDS = ("blur", "patch", "jpeg")
SIDES = ("real", "generated")


def load() -> dict[str, dict[str, Any]]:
    """Read what was found of each detector."""
    return read_json(RESULTS / "saliency.json")["detectors"]


def sides() -> Iterator[tuple[str, dict[str, Any]]]:
    """Go over the gradients of each detector for each class."""
    for name, one in load().items():
        for kind in SIDES:
            if "gradients" in one:
                yield f"{name}, {kind}", one["gradients"][kind]


def regions() -> str:
    """Return how much more of the gradient than of the area lies in each region."""
    names = list(next(sides())[1]["regions"])
    rows = [
        [
            f"{label} (n = {found['n']})",
            *(figure(found["regions"][region], 2) for region in names),
            figure(found["texture_correlation"], 2),
        ]
        for label, found in sides()
    ]
    return table(["", *names, "contrast"], rows)


def derivatives() -> str:
    """Compare the sizes of the gradients of both classes."""
    rows = [
        [
            label,
            f"{found['std']:.2e}",
            f"{found['kurtosis']:.1f}",
            f"{found['near_zero']:.2f}",
        ]
        for label, found in sides()
    ]
    head = ["derivatives of the loss", "standard deviation", "kurtosis", "proportion near zero"]
    return table(head, rows)


def measured_methods(name: str) -> dict[str, dict[str, Any]]:
    """Return what was measured of each method that a detector allows."""
    found = load()[name]["methods"]
    return {method: entry for method, entry in found.items() if "not possible" not in entry}


def methods(name: str) -> str:
    """Return one line a method."""
    rows = [
        [
            method,
            *(figure(entry[one]["insertion_less_deletion"], 2) for one in KINDS),
            *(figure(entry[one]["above_random"], 2) for one in KINDS),
            figure(entry["pointing"]["hit_rate"], 2),
            f"{entry['pointing']['mass_share']:.2f}",
            optional(entry.get("randomization")),
            optional(entry.get("sensitivity")),
        ]
        for method, entry in measured_methods(name).items()
    ]
    head = ["", *KINDS, *(f"{one}, above random" for one in KINDS)]
    return table([*head, "pointing", "mass in that half", "permuted", "noise"], rows)


def optional(value: float | None) -> str:
    """Return a figure, or nothing."""
    return "" if value is None else f"{value:.2f}"


def best_methods() -> str:
    """Name the best method of each detector, and by how much it is above a random map."""
    rows = []
    for name in load():
        found = measured_methods(name)
        del found["random"]
        above = {
            method: sum(entry[kind]["above_random"][0] for kind in KINDS) / len(KINDS)
            for method, entry in found.items()
        }
        best, *others = sorted(above, key=above.__getitem__, reverse=True)
        shown = [f"{method} ({above[method]:.2f})" for method in others]
        pointing = max(found, key=lambda method: found[method]["pointing"]["hit_rate"][0])
        rows.append(
            [
                f"**{name}**",
                best,
                f"{above[best]:.2f}",
                *(figure(found[best][kind]["above_random"], 2) for kind in KINDS),
                shown[0] if shown else "",
                shown[-1] if len(shown) > 1 else "",
                f"{pointing}, {figure(found[pointing]['pointing']['hit_rate'], 2)}",
            ]
        )
    head = ["", "best", "above random, mean", *KINDS, "second", "last", "best at pointing"]
    return table(head, rows)
