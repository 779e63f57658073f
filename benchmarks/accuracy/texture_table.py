"""The figures of texture.py: a table, benchmarks/results/texture.csv, and a few in texture.json.

===========  =====================================================================================
table        "median" of a group, "matched" with photographs of the same history, "source":
             against a collection of photographs, "mean" over these, "control": photographs
             that were changed
treatment    "aligned" or "crop"
region       "inside" and "outside" what has the colour of skin, "difference" of both
group        the generator, the collection, or the name of the comparison
against      the collection of photographs that a "source" is against
n            images of the group that have the region
n_against    photographs that have the region
the others   the figure by each measure, with its interval of 95 %
===========  =====================================================================================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.files import RESULTS, write_text
from detectorkit.evaluation import Estimate

TABLE = RESULTS / "texture.csv"
ABOUT = RESULTS / "texture.json"

MEASURES = {
    "variance3": "median of log(1 + variance in 3 x 3 pixels)",
    "variance9": "median of log(1 + variance in 9 x 9 pixels)",
    "total_variation": "log(1 + total variation)",
    "mscn_sd": "log(1 + standard deviation of the normalised coefficients)",
}
"""All are lower for a smoother image."""

ENDS = ("", "_low", "_high")


class TextureKey(NamedTuple):
    """What the figures of a line are of."""

    table: str
    treatment: str
    region: str
    group: str
    against: str = ""


class TextureRow(NamedTuple):
    """Numbers of images, and a figure by each measure."""

    n: int
    n_against: int | None
    figures: dict[str, Estimate]


def read_texture(path: Path = TABLE) -> dict[TextureKey, TextureRow]:
    """Read the table."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    found = {}
    for line in lines:
        figures = {m: Estimate(*(float(line[m + end]) for end in ENDS)) for m in MEASURES}
        n_against = int(line["n_against"]) if line["n_against"] else None
        key = TextureKey(*(line[name] for name in TextureKey._fields))
        found[key] = TextureRow(int(line["n"]), n_against, figures)
    return found


def write_texture(rows: Iterable[tuple[TextureKey, TextureRow]], path: Path = TABLE) -> None:
    """Write the table, with four decimals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [measure + end for measure in MEASURES for end in ENDS]
    writer.writerow([*TextureKey._fields, "n", "n_against", *columns])
    for key, row in rows:
        values = [f"{x:.4f}" for measure in MEASURES for x in row.figures[measure]]
        writer.writerow([*key, row.n, "" if row.n_against is None else row.n_against, *values])
    write_text(path, text.getvalue())
