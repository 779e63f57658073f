"""The table of all trials, benchmarks/results/trials.csv: a row a figure.

===========  =====================================================================================
detector     a name of benchmarks/accuracy/detectors.py, or of a family of features
treatment    "aligned", "crop" or "as-found"
protocol     "A", "B", "C" or "D", see benchmarks/accuracy/data.py
trial        what was left out, "all" where there is one trial only, "mean" of the means over trials
part         "self", of origins that were trained on, or "foreign"
origin       the generator or the collection that the figure is of; empty for the whole part
metric       as in detectorkit.evaluation; "@validation" and "@fpr_5" mean at those thresholds,
             "precision@0.1" where a tenth is generated
n            images that it is of, those of the origin; trials, in a mean
value        the figure, empty where it is not defined
low, high    its interval of 95 %, empty where it has none
===========  =====================================================================================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.files import N_DIGITS, RESULTS, rounded, write_text
from detectorkit.evaluation import Estimate

TABLE = RESULTS / "trials.csv"
TREATMENTS = ("aligned", "crop", "as-found")
MEAN = "mean"


class Row(NamedTuple):
    """A figure and what it is of."""

    detector: str
    treatment: str
    protocol: str
    trial: str
    part: str
    origin: str
    metric: str
    n: int
    value: float
    low: float = np.nan
    high: float = np.nan

    @property
    def estimate(self) -> Estimate:
        """The figure with its interval."""
        return Estimate(self.value, self.low, self.high)


def read_rows(path: Path = TABLE) -> list[Row]:
    """Read the table; one that is not there yet is empty."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    if tuple(head) != Row._fields:
        raise ValueError(f"{path.name}: the columns are {head}; they must be {Row._fields}.")
    return [Row(*line[:7], int(line[7]), *(float(x or "nan") for x in line[8:])) for line in lines]


def write_rows(rows: Iterable[Row], path: Path = TABLE) -> None:
    """Write the table, in order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in sorted(rows, key=_place):  # stable: the rows of a trial stay as they came
        figures = ["" if np.isnan(x) else f"{rounded(x) + 0.0:.{N_DIGITS}g}" for x in row[8:]]
        writer.writerow([*row[:8], *figures])
    write_text(path, text.getvalue())


def replace_rows(new: Iterable[Row], path: Path = TABLE) -> None:
    """Put rows in the place of those of the same trials."""
    new = list(new)
    trials = {row[:4] for row in new}
    write_rows([*(row for row in read_rows(path) if row[:4] not in trials), *new], path)


def _place(row: Row) -> tuple[Any, ...]:
    treatment = TREATMENTS.index(row.treatment)
    return row.detector, treatment, row.protocol, row.trial == MEAN, row.trial


class Figures:
    """The rows, looked up by what they are of."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._by_key = {row[:7]: row for row in self.rows}

    def get(self, *key: str) -> Row | None:
        """Return the row with the first seven columns; None where there is none."""
        return self._by_key.get(key)

    def __getitem__(self, key: tuple[str, ...]) -> Row:
        return self._by_key[key]

    def where(self, **columns: Any) -> Iterator[Row]:
        """Go over the rows that have these values."""
        tests: list[tuple[int, Callable[[Any], bool]]] = [
            (Row._fields.index(name), wanted if callable(wanted) else wanted.__eq__)
            for name, wanted in columns.items()
        ]
        return (row for row in self.rows if all(test(row[i]) for i, test in tests))


@cache
def figures() -> Figures:
    """Read the table once."""
    return Figures(read_rows())
