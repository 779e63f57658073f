"""Which of the measured generators and sources a model was trained on, and which it was not."""

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

# What images are called whose generator or source nobody has named: two of these need not be the
# same.
_NAMELESS: Final = {"", "photographs", "generated"}


def training_names(training: Mapping[str, Any] | None, label: int) -> list[str] | None:
    """Give the generators or the sources that a model was trained on.

    Parameters
    ----------
    training : mapping or None
        The summary in the model's record; None where there is no record.
    label : int
        0 for sources of photographs, 1 for generators.

    Returns
    -------
    names : list of str or None
        None where the record does not say.
    """
    names = (training or {}).get("generators" if label else "sources")
    if not isinstance(names, list | tuple):
        return None
    named = [str(name) for name in names if str(name) not in _NAMELESS]
    return named or None


def training_status(training: Mapping[str, Any] | None, name: str, label: int) -> str:
    """Say whether a model was trained on a generator or a source.

    Parameters
    ----------
    training : mapping or None
        The summary in the model's record; None where there is no record.
    name : str
        The generator or the source.
    label : int
        0 for a source of photographs, 1 for a generator.

    Returns
    -------
    status : {"in training", "not in training", "not recorded"}
        The last also for images whose origin has no name.
    """
    names = training_names(training, label)
    if names is None or name in _NAMELESS:
        return NOT_RECORDED
    return IN_TRAINING if name in names else NOT_IN_TRAINING


def self_and_foreign(
    evaluation: Evaluation, training: Mapping[str, Any] | None
) -> dict[str, Evaluation]:
    """Part an evaluation into what the model was trained on and what it was not.

    Parameters
    ----------
    evaluation : Evaluation
        Of all images.
    training : mapping or None
        The summary in the model's record; None where there is no record.

    Returns
    -------
    parts : dict of str to Evaluation
        "self" and "foreign"; empty where nothing can be parted. A class whose images are all of
        one kind stands in both parts, so that both have something to be compared with; of a
        class that is parted, images of unknown standing are in neither.
    """
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
    """Leave out what stands for the lack of a name."""
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
