"""Tables of what changed files do to verdicts."""

from __future__ import annotations

from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import figure, table, value

__all__ = ["changed_clip", "consistency", "perturbations"]


def load() -> dict[str, Any]:
    """Read the result."""
    return read_json(RESULTS / "robustness_hog-svm.json")


def perturbations() -> str:
    """Return what each change does to images of both classes."""
    result = load()
    unknown = {row["name"]: row for row in result["unknown"]["rows"]}
    rows = []
    for row in result["known"]["rows"]:
        shifts = [row[f"relative_shift_{kind}"] for kind in ("real", "generated")]
        other = unknown[row["name"]]
        rows.append(
            [
                row["name"],
                *("" if shift is None else f"{shift:+.2f}" for shift in shifts),
                figure(row["false_positive_rate"]),
                figure(row["true_positive_rate"]),
                value(row["roc_auc"]),
                *(
                    value(other[key])
                    for key in ("false_positive_rate", "true_positive_rate", "roc_auc")
                ),
            ]
        )
    head = ["", "shift of photographs", "of generated", "false positives", "found", "AUC"]
    head += ["unknown: false positives", "unknown: found", "unknown: AUC"]
    return table(head, rows)


def changed_clip() -> str:
    """Return what each change does to images of sources that `clip` never saw."""
    rows = []
    for row in read_json(RESULTS / "robustness_clip.json")["unknown"]["rows"]:
        shifts = [row[f"relative_shift_{kind}"] for kind in ("real", "generated")]
        metrics = (row[key] for key in ("false_positive_rate", "true_positive_rate", "roc_auc"))
        rows.append([row["name"], *(f"{one:+.2f}" for one in shifts), *map(short, metrics)])
    head = ["", "shift of photographs", "of generated", "photographs called generated", "found"]
    return table([*head, "AUC"], rows)


def short(estimate: Any) -> str:
    """Return an estimate of few images with two digits."""
    return figure(estimate, 2)


def consistency() -> str:
    """Return how often verdicts survive re-encoding, and how long the changes took."""
    result = load()
    kept = result["consistency_check"]
    seconds = ", ".join(f"{s:.0f}" for s in result["seconds"]["report"])
    rows = [
        ["`consistency_check` decides, of all images", figure(kept["decided"])],
        ["it is right, of those", figure(kept["accuracy_where_decided"])],
        [
            "seconds for {n_perturbations} changes of {n_images} images on {cores} cores, "
            "repeats".format(**result),
            seconds,
        ],
    ]
    return table(["", ""], rows)
