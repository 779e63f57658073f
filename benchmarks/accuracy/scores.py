"""The scores of every image in every trial of a detector: benchmarks/results/scores/NAME.npz.

All figures of a trial follow from them, so a figure that is wanted later needs no training. The
file holds, with one entry an image that was scored,

    trial (index into trials), part (index into PARTS), image (row of the manifest), score, logit

of which the last is the logarithm of the odds of the probability, nan where there is none; with one
entry a trial, trials ("treatment/protocol/trial") and threshold, the detector's own; and with one
entry a row of the manifest, label and origin (index into origins).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from benchmarks.files import RESULTS
from detectorkit.evaluation import Evaluation, Trial, TrialResult
from detectorkit.evaluation.trials import set_thresholds

FOLDER = RESULTS / "scores"
PARTS = ("val", "self", "foreign")

TrialKey = tuple[str, str, str]  # treatment, protocol, trial


@dataclass(frozen=True)
class PartScores:
    """Scores of some images."""

    image: np.ndarray
    score: np.ndarray
    logit: np.ndarray


@dataclass(frozen=True)
class TrialScores:
    """Scores of the validation and of the test images of a trial."""

    threshold: float
    parts: dict[str, PartScores]


@dataclass
class Scores:
    """Scores of a detector in all trials so far."""

    label: np.ndarray
    origin: np.ndarray
    trials: dict[TrialKey, TrialScores] = field(default_factory=dict)

    def add(self, key: TrialKey, result: TrialResult) -> None:
        """Keep the scores of a trial."""
        images = {"val": result.trial.val, **result.trial.test}
        found = {"val": result.val, **result.test}
        parts = {name: _scores_of(images[name], found[name]) for name in found}
        self.trials[key] = TrialScores(result.val.threshold, parts)

    def measure(self, key: TrialKey) -> dict[str, Any]:
        """Work out all figures of a trial, as `TrialResult.to_dict` does."""
        kept = self.trials[key]
        found = {name: self._evaluate(part, kept) for name, part in kept.parts.items()}
        val, test = found["val"], {name: found[name] for name in found if name != "val"}
        images = {name: part.image for name, part in kept.parts.items()}
        trial = Trial(key[2], np.empty(0, int), images.pop("val"), images)
        return TrialResult(trial, None, val, test, set_thresholds(val), np.nan).to_dict()

    def _evaluate(self, part: PartScores, kept: TrialScores) -> Evaluation:
        has_probabilities = not np.isnan(part.logit).any()
        return Evaluation(
            y_true=self.label[part.image].astype(np.int64),
            scores=part.score.astype(np.float64),
            threshold=kept.threshold,
            probabilities=expit(part.logit.astype(np.float64)) if has_probabilities else None,
            origin=self.origin[part.image],
        )


def _scores_of(images: np.ndarray, found: Evaluation) -> PartScores:
    with np.errstate(divide="ignore"):  # a probability of 0 or 1 has infinite odds
        odds = np.nan if found.probabilities is None else logit(found.probabilities)
    shape = found.scores.shape
    return PartScores(
        image=images.astype(np.uint16),
        score=found.scores.astype(np.float32),
        logit=np.broadcast_to(odds, shape).astype(np.float32),
    )


def read_scores(path: Path) -> Scores | None:
    """Read the scores of a detector; None where there are none yet."""
    if not path.exists():
        return None
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    scores = Scores(kept["label"], kept["origins"][kept["origin"]])
    columns = kept["image"], kept["score"], kept["logit"]
    for number, name in enumerate(kept["trials"]):
        parts = {}
        for code, part in enumerate(PARTS):
            mine = (kept["trial"] == number) & (kept["part"] == code)
            if mine.any():
                parts[part] = PartScores(*(column[mine] for column in columns))
        treatment, protocol, trial = str(name).split("/", 2)
        key = treatment, protocol, trial
        scores.trials[key] = TrialScores(float(kept["threshold"][number]), parts)
    return scores


def write_scores(path: Path, scores: Scores) -> None:
    """Write the scores of a detector, whole or not at all."""
    origins, origin = np.unique(scores.origin, return_inverse=True)
    entries = [
        (number, PARTS.index(name), part)
        for number, trial in enumerate(scores.trials.values())
        for name, part in trial.parts.items()
    ]
    sizes = [len(part.image) for _, _, part in entries]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            trials=np.array(["/".join(key) for key in scores.trials]),
            threshold=np.array([trial.threshold for trial in scores.trials.values()]),
            trial=np.repeat(np.array([n for n, _, _ in entries], np.uint16), sizes),
            part=np.repeat(np.array([code for _, code, _ in entries], np.uint8), sizes),
            image=np.concatenate([part.image for _, _, part in entries]),
            score=np.concatenate([part.score for _, _, part in entries]),
            logit=np.concatenate([part.logit for _, _, part in entries]),
            label=scores.label.astype(np.uint8),
            origin=origin.astype(np.uint8),
            origins=origins.astype(str),
        )
    partial.replace(path)
