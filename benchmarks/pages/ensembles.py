"""Tables of ensembles beside their best member."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, figure, table

__all__ = ["ensembles_by_origin", "ensembles_by_source"]

KINDS = {"soft": '"soft"', "log_odds": '"log_odds"', "stacking": '"stacking"'}
METRICS = {
    "macro_balanced_accuracy": "macro balanced accuracy",
    "roc_auc": "AUC",
    "roc_auc_within": "AUC within sources",
    "recall@fpr_5": "found at 5 %",
}


@cache
def rows() -> dict[str, Any]:
    """Read the result once."""
    return read_json(RESULTS / "ensembles.json").get("rows", {})


def measured(protocols: str) -> list[tuple[str, str, dict[str, Any]]]:
    """List what was measured: protocol, treatment in words, row."""
    return [
        (protocol, words, rows()[f"{protocol}.{treatment}"])
        for protocol in protocols
        for treatment, words in TREATMENTS.items()
        if f"{protocol}.{treatment}" in rows()
    ]


def ensembles_by_source() -> str:
    """Return the metrics of protocol E of the best member, and differences from it."""
    lines = []
    for _, treatment, row in measured("E"):
        best = row["best_member"]
        alone = [figure(row["metrics"][best][metric]) for metric in METRICS]
        lines.append([f"{best}, {treatment}", *alone])
        for kind, words in KINDS.items():
            apart = [signed(row["minus_best"][kind][metric]) for metric in METRICS]
            lines.append([f"{words} minus {best}", *apart])
    return table(["", *METRICS.values()], lines)


def ensembles_by_origin() -> str:
    """Return the areas and rates of B foreign and C, and the paired tests against the best."""
    head = ["", "best member", "mean AUC", *(f"{words} minus it" for words in KINDS.values())]
    head += ["pooled AUC difference of log_odds, p", "macro: best, log_odds"]
    lines = []
    for protocol, treatment, row in measured("BC"):
        best = row["best_member"]
        area, macro = row["mean_roc_auc"], row["macro_balanced_accuracy"]
        paired = row["paired_tests"]["log_odds"]
        lines.append(
            [
                f"{'B foreign' if protocol == 'B' else 'C'}, {treatment}",
                best,
                f"{area[best]:.3f}",
                *(f"{area[kind] - area[best]:+.3f}" for kind in KINDS),
                f"{signed(paired['auc_difference'])}, {paired['auc_p_value']:.2g}",
                f"{macro[best]:.3f}, {macro['log_odds']:.3f}",
            ]
        )
    return table(head, lines)


def signed(estimate: Any) -> str:
    """Return a difference with its interval."""
    value, low, high = estimate
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
