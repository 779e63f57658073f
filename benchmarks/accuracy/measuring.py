"""Measure what is fitted and scored by the trials of the protocols, and go on where a run was.

After every trial its scores are written, then its rows of the table, each whole or not at all. A
trial with scores is not run again; its rows are made from them where the table lacks them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy.data import Data
from benchmarks.accuracy.rows import mean_rows, trial_rows
from benchmarks.accuracy.scores import FOLDER, Scores, TrialKey, read_scores, write_scores
from benchmarks.accuracy.table import MEAN, TABLE, Row, read_rows, replace_rows
from detectorkit.evaluation import Trial, TrialResult, run_trial


class Measured:
    """The scores and the rows of one detector."""

    def __init__(
        self, name: str, data: Data, *, scores: Path = FOLDER, table: Path = TABLE
    ) -> None:
        self.name, self.data, self.table = name, data, table
        self.path = scores / f"{name}.npz"
        self.added: set[TrialKey] = set()
        self.scores = read_scores(self.path) or Scores(data.y, data.origin)
        if self.scores.label.tolist() != data.y.tolist():
            raise ValueError(f"{self.path.name} is of other images: move it away, or use its DATA.")
        for key in self.scores.trials.keys() - self._known():  # a run was stopped between both
            replace_rows(rows_of(name, self.scores, [key]), table)

    def has_scores(self, treatment: str, protocol: str) -> bool:
        """Whether any trial of a protocol has scores."""
        return any(key[:2] == (treatment, protocol) for key in self.scores.trials)

    def is_done(self, key: TrialKey, *, again: bool) -> bool:
        """Whether a trial needs no training: it has scores, or figures from before them.

        Of some protocols from before, the table keeps the means over the trials alone.
        """
        from_before = not {key, (*key[:2], MEAN)}.isdisjoint(self._known())
        return key in self.scores.trials or (from_before and not again)

    def _known(self) -> set[TrialKey]:
        """Trials with rows in the table."""
        return {row[1:4] for row in read_rows(self.table) if row.detector == self.name}

    def add(self, key: TrialKey, result: TrialResult) -> None:
        """Write what a trial gave."""
        self.scores.add(key, result)
        self.added.add(key)
        write_scores(self.path, self.scores)
        replace_rows(rows_of(self.name, self.scores, [key]), self.table)

    def run(
        self,
        key: TrialKey,
        trial: Trial,
        make_detector: Callable[[], Any],
        X: Any,
    ) -> TrialResult:
        """Fit and score a detector, and write what came."""
        start = time.perf_counter()
        result = run_trial(make_detector(), X, self.data.y, trial=trial, **self.data.columns)
        self.add(key, result)
        print(f"{self.name}, {', '.join(key)}: {time.perf_counter() - start:.0f} s", flush=True)
        return result

    def finish(self, treatment: str, protocol: str, trials: Collection[Trial]) -> None:
        """Write the means over the trials of a protocol, where the scores of all are there."""
        keys = [(treatment, protocol, trial.name) for trial in trials]
        mean = (treatment, protocol, MEAN)
        has_all = len(keys) > 1 and all(key in self.scores.trials for key in keys)
        if has_all and (self.added.intersection(keys) or mean not in self._known()):
            replace_rows(rows_of(self.name, self.scores, keys), self.table)


def rows_of(name: str, scores: Scores, keys: Iterable[TrialKey]) -> Iterator[Row]:
    """Work out the rows of trials, and of the means where the keys are more than one trial."""
    by_protocol: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key in keys:
        content = scores.measure(key)
        by_protocol.setdefault(key[:2], []).append(content)
        yield from trial_rows((name, *key), content)
    for (treatment, protocol), contents in by_protocol.items():
        if len(contents) > 1:
            yield from mean_rows((name, treatment, protocol, MEAN), contents)
