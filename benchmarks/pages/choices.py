"""Tables of what settings were chosen by."""

from __future__ import annotations

from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import TREATMENTS, table
from benchmarks.pages.protocols import as_arguments

__all__ = ["hog_svm_settings", "network_choices", "stack_choices"]


def network_choices(part: str, treatment: str = "") -> str:
    """Return one line a candidate: levels (by treatment), heads, pairs or recipes."""
    result = read_json(RESULTS / "choose_networks.json")
    found: dict[str, Any] = result[part][treatment] if treatment else result[part]
    rows = []
    for name, answer in found.items():
        same, out = answer.get("same"), answer["left_out"]
        rows.append(
            [
                name,
                "" if same is None else f"{same['accuracy']:.3f} / {same['roc_auc']:.3f}",
                " ".join(f"{area:.2f}" for area in out["roc_auc"]),
                f"{out['macro_balanced_accuracy']:.3f}",
            ]
        )
    head = ["", "same: accuracy / AUC", "left out: AUC each", "left out: macro"]
    return table(head, rows)


def stack_choices() -> str:
    """Return what the families and the head of the stack were chosen by."""
    rows = [
        [
            ", ".join(row["families"]),
            f"{row['classifier']}, C = {row['C']:g}",
            f"{row['same']['accuracy']:.3f} / {row['same']['roc_auc']:.3f}",
            f"{row['foreign']['mean_roc_auc']:.3f} / {row['foreign']['lowest_roc_auc']:.3f}",
        ]
        for row in read_json(RESULTS / "choose_forensic.json")["candidates"]
    ]
    head = ["families", "head", "same: accuracy / AUC", "foreign: mean / lowest AUC"]
    return table(head, rows)


def hog_svm_settings() -> str:
    """Return the cross-validation that the settings of HoG + SVM were chosen by."""
    result = read_json(RESULTS / "choose_hog_svm.json")
    rows = []
    for candidate in result["candidates"]:
        row = [f"`{as_arguments(candidate['settings'])}`"]
        for treatment in TREATMENTS:
            tried = zip(result["C"], candidate[treatment], strict=True)
            C, (accuracy, area) = max(tried, key=lambda one: one[1][0])
            row.append(f"{accuracy:.3f} / {area:.3f} (C={C:g})")
        rows.append(row)
    return table(["settings", *TREATMENTS.values()], rows)
