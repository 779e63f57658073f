"""The default detector beside another one, on the same files."""

from __future__ import annotations

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import table
from benchmarks.pages.sources import estimate, short

__all__ = ["side_by_side"]


def side_by_side() -> str:
    """Return one line a detector, on the same files as they are."""
    head = ["", "found", "photographs called generated", "AUC"]
    head += ["undecided: photographs, generated", "ms an image", "MB"]
    lines = []
    for name, row in read_json(RESULTS / "side_by_side.json")["rows"].items():
        unsure = row.get("undecided")
        lines.append(
            [
                " ".join([name, row.get("version", "")]).strip(),
                *(estimate(row[key]) for key in ("recall", "false_positive_rate", "roc_auc")),
                ", ".join(short(unsure[key]) for key in ("real", "generated")) if unsure else "",
                f"{row['ms_per_image']:.0f}",
                f"{row['bytes'] / 1e6:.2g}",
            ]
        )
    return table(head, lines)
