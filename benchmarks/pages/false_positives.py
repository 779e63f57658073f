"""Tables of the false-positive rate that was asked for, and of what came."""

from __future__ import annotations

from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import figure, mean, mean_and_worst, table

__all__ = ["abstention", "by_collection", "false_positives"]

TARGETS = ("0.01", "0.05", "0.1")


def load() -> dict[str, dict[str, Any]]:
    """Read what was found of each left-out collection, by the rate that was asked for."""
    return read_json(RESULTS / "false_positives_hog-svm.json")["sources"]


def false_positives() -> str:
    """Return means over the collections, with the worst."""
    rows = []
    for target in TARGETS:
        cells = {name: source[target] for name, source in load().items()}
        rows.append(
            [
                f"{float(target):.0%}",
                mean_and_worst({n: c["same_sources"][0] for n, c in cells.items()}),
                mean_and_worst({n: c["left_out_source"][0] for n, c in cells.items()}),
                mean(c["recall"][0] for c in cells.values()),
                mean_and_worst({n: c["shift"][0] for n, c in cells.items()}),
                mean(c["shift"][1] for c in cells.values()),
                mean_and_worst({n: c["median"][0] for n, c in cells.items()}),
                mean(c["median"][1] for c in cells.values()),
            ]
        )
    head = ["asked", "same collections", "left-out collection", "found", "left out, shifted"]
    return table([*head, "found", "left out, by median", "found"], rows)


def by_collection() -> str:
    """Return what came of each collection where 5 % were asked for."""
    rows = [
        [
            f"{name} ({source['0.05']['n'][1]})",
            *(
                figure(source["0.05"][key])
                for key in ("promised", "same_sources", "left_out_source")
            ),
            *(f"{source['0.05'][key][0]:.3f}" for key in ("shift", "median")),
        ]
        for name, source in load().items()
    ]
    head = ["left out (n)", "promised", "same collections", "left out", "shifted", "by median"]
    return table(head, rows)


def abstention() -> str:
    """Return how often a verdict was given, and how often it was wrong."""
    rows = []
    for target in TARGETS:
        found = {name: source[target] for name, source in load().items()}
        own = [c["abstention_same_sources"] for c in found.values()]
        foreign = {name: c["abstention_left_out_source"] for name, c in found.items()}
        rows.append(
            [
                f"{float(target):.0%}",
                mean(decided for decided, _, _ in own),
                mean(rate for _, rate, _ in own),
                mean(decided for decided, _, _ in foreign.values()),
                mean_and_worst({n: rate for n, (_, rate, _) in foreign.items()}),
                mean_and_worst(
                    {n: among for n, (*_, among) in foreign.items() if among is not None}
                ),
            ]
        )
    head = ["asked", "same: decided", "same: false positives", "left out: decided"]
    return table([*head, "left out: false positives", "left out: false among decided"], rows)
