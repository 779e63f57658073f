"""Tell apart the generators and sources that a model was trained on from all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from detectorkit.evaluation.evaluate import Evaluation

__all__ = [
    "IN_TRAINING",
    "NOT_IN_TRAINING",
    "NOT_RECORDED",
    "self_and_foreign",
    "training_names",
    "training_status",
]

IN_TRAINING: Final = "in training"
NOT_IN_TRAINING: Final = "not in training"
NOT_RECORDED: Final = "not recorded"

# Names that stand for an unknown generator or source; two origins of such a name may differ.
_NAMELESS: Final = {"", "photographs", "generated"}


def training_names(training: Mapping[str, Any] | None, label: int) -> list[str] | None:
    """Return the generators or the sources that a model was trained on."""
    names = (training or {}).get("generators" if label else "sources")
    if not isinstance(names, list | tuple):
        return None
    named = [str(name) for name in names if str(name) not in _NAMELESS]
    return named or None


def training_status(training: Mapping[str, Any] | None, name: str, label: int) -> str:
    """Return whether a model was trained on a generator or a source."""
    names = training_names(training, label)
    if names is None or name in _NAMELESS:
        return NOT_RECORDED
    return IN_TRAINING if name in names else NOT_IN_TRAINING


def self_and_foreign(
    evaluation: Evaluation, training: Mapping[str, Any] | None
) -> dict[str, Evaluation]:
    """Split an evaluation into origins that the model was trained on and all others."""
    y = evaluation.y_true
    status = np.full(len(y), NOT_RECORDED, dtype=object)
    for label in (0, 1):
        for name in np.unique(evaluation.origin[y == label]):
            chosen = (y == label) & (evaluation.origin == name)
            status[chosen] = training_status(training, str(name), label)
    masks = {"self": np.ones(len(y), bool), "foreign": np.ones(len(y), bool)}
    is_parted = False
    for label in (0, 1):
        known = (y == label) & (status == IN_TRAINING)
        unseen = (y == label) & (status == NOT_IN_TRAINING)
        if known.any() and unseen.any():
            masks["self"] &= (y != label) | known
            masks["foreign"] &= (y != label) | unseen
            is_parted = True
    return {name: _take(evaluation, mask) for name, mask in masks.items()} if is_parted else {}


def named(names: Iterable[str]) -> list[str]:
    """Return the names without those that stand for an unknown origin."""
    return [name for name in names if name not in _NAMELESS]


def _take(evaluation: Evaluation, mask: Any) -> Evaluation:
    probabilities = evaluation.probabilities
    return replace(
        evaluation,
        y_true=evaluation.y_true[mask],
        scores=evaluation.scores[mask],
        probabilities=None if probabilities is None else probabilities[mask],
        origin=evaluation.origin[mask],
    )
