"""Tables of protocol E: detectors on sources that they never saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, table

__all__ = ["protocol_e", "source_curve"]


def rows() -> dict[str, dict[str, Any]]:
    """Return what was measured, by "detector, treatment", the best first."""
    found = read_json(RESULTS / "protocol_e.json")["rows"]
    best = sorted(found, key=lambda key: -found[key]["metrics"]["roc_auc"]["value"])
    return {label(key): found[key] for key in best}


def label(key: str) -> str:
    """Return the words for "detector.treatment"."""
    name, treatment = key.rsplit(".", 1)
    return f"{name}, {TREATMENTS[treatment]}"


def protocol_e() -> str:
    """Return one line a detector and treatment."""
    head = ["", "macro balanced accuracy", "found", "false positives", "AUC", "faces", "scenes"]
    head += ["within sources", "found at 5 % / 2 %", "a source's false positives: median, 90 %"]
    return table(head, [[name, *cells(row)] for name, row in rows().items()])


def cells(row: dict[str, Any]) -> Iterator[str]:
    """Go over the cells of a line."""
    found, spread = row["metrics"], row["false_positive_rate_over_sources"]
    yield estimate(found["macro_balanced_accuracy"])
    yield short(found["recall"])
    yield short(found["false_positive_rate"])
    yield estimate(found["roc_auc"])
    for name in ("roc_auc[faces]", "roc_auc[scenes]", "roc_auc_within"):
        yield short(found[name])
    yield " / ".join(short(found[f"recall@{name}"]) for name in ("fpr_5", "fpr_2"))
    yield f"{spread['median']:.2f}, {spread['percentile_90']:.2f}"


def short(value: dict[str, float]) -> str:
    """Return a value with two digits, as intervals over sources are wide."""
    return f"{value['value']:.2f}"


def estimate(value: dict[str, float]) -> str:
    """Return a value with its interval."""
    return f"{value['value']:.3f} [{value['low']:.2f}, {value['high']:.2f}]"


def source_curve() -> str:
    """Return the area against the number of units that were trained on."""
    curves = {name: row["curve"] for name, row in rows().items() if "curve" in row}
    units = sorted({round(n) for curve in curves.values() for n in curve["n_units"]})
    lines = []
    for name, curve in curves.items():
        areas = [estimate(found["roc_auc"]) for found in curve["metrics"]]
        by_units = dict(zip(map(round, curve["n_units"]), areas, strict=True))
        lines.append([name, *(by_units.get(n, "") for n in units)])
    return table(["AUC after training on", *(f"{n} units" for n in units)], lines)
