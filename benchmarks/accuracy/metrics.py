"""Work out the table of trials anew from the scores that were kept; nothing is trained.

    python -m benchmarks metrics [--detector NAME ...]

Run it after a figure was added to benchmarks/accuracy/rows.py, or after a change of a metric. Rows
of trials whose scores were never kept stay as they are. It says what changed, and by how much.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np

from benchmarks.accuracy.measuring import rows_of
from benchmarks.accuracy.scores import FOLDER, Scores, TrialKey, read_scores
from benchmarks.accuracy.table import MEAN, Row, read_rows, replace_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--detector", nargs="+", metavar="NAME", help="default: all with scores")


def run(arguments: argparse.Namespace) -> None:
    """Work out the rows of each detector."""
    names = arguments.detector or sorted(path.stem for path in FOLDER.glob("*.npz"))
    before = {row[:7]: row for row in read_rows()}
    new: list[Row] = []
    for name in names:
        scores = read_scores(FOLDER / f"{name}.npz")
        if scores is None:
            raise SystemExit(f"metrics: --detector {name} has no scores in benchmarks/results.")
        new += rows_of_detector(name, scores, before.values())
    replace_rows(new)
    print(say_changes(before, new))


def rows_of_detector(name: str, scores: Scores, before: Iterable[Row]) -> list[Row]:
    """Work out all rows of a detector; means only where they are of no fewer trials than before."""
    n_trials = {row[:3]: row.n for row in before if row.trial == MEAN}
    rows: list[Row] = []
    for place in dict.fromkeys(key[:2] for key in scores.trials):
        keys: list[TrialKey] = [key for key in scores.trials if key[:2] == place]
        has_mean = 0 < n_trials.get((name, *place), 0) <= len(keys)
        rows += [row for row in rows_of(name, scores, keys) if has_mean or row.trial != MEAN]
    return rows


def say_changes(before: dict[tuple[str, ...], Row], new: list[Row]) -> str:
    """Count the rows, and find the largest difference from the table before."""
    pairs = [(before[row[:7]], row) for row in new if row[:7] in before]
    differences = [
        abs(a - b) for old, row in pairs for a, b in zip(old.estimate, row.estimate, strict=True)
    ]
    largest = max((d for d in differences if not np.isnan(d)), default=0.0)
    return (
        f"{len(new)} rows from scores, {len(new) - len(pairs)} of them new; the largest change of "
        f"the others is {largest:.2g}."
    )
