"""The protocols: what is trained on, what thresholds are set on, and what is measured.

A protocol is a list of `Trial`, each a choice of images for training, for validation and for one
or two test parts: "self", of origins that were trained on, and "foreign", of origins that were
not. The four protocols:

=====================================  ==========================================================
`same_generator_trials`                A: one trial, "self" only; the flattering figure
`self_and_foreign_trials`              B: trained on some origins, "foreign" are all others
`leave_one_generator_out_trials`       C: a trial a generator; a source is left out with it
`leave_one_source_out_trials`          D: a trial a source of photographs; false positives
=====================================  ==========================================================

Training, validation and "self" are 80, 10 and 10 % of the images of the origins trained on,
stratified by origin, with copies of a picture on one side. `detectorkit.evaluation.trials` fits
and measures a detector on them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import check_consistent_length

from detectorkit.model_selection._groups import number_pictures
from detectorkit.model_selection.split import train_val_test_split
from detectorkit.model_selection.splitters import LeaveOneGeneratorOut, LeaveOneSourceOut
from detectorkit.utils.labels import check_labels

__all__ = [
    "Trial",
    "leave_one_generator_out_trials",
    "leave_one_source_out_trials",
    "same_generator_trials",
    "self_and_foreign_trials",
]

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Trial:
    """Which images do what.

    Attributes
    ----------
    name : str
        What is left out, or what is trained on.
    train : ndarray of shape (n_train,)
        Indices of the images to fit on.
    val : ndarray of shape (n_val,)
        Of those to set thresholds on.
    test : dict of str to ndarray
        Of those to measure on: "self", "foreign" or both.
    """

    name: str
    train: Indices
    val: Indices
    test: dict[str, Indices]


def same_generator_trials(
    y: Any,
    origin: Any,
    *,
    picture: Any = None,
    random_state: int | np.random.RandomState | None = 0,
) -> list[Trial]:
    """Make protocol A: 80/10/10 of images that all come from the same origins.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    origin : array-like of shape (n_samples,)
        The generator of a generated image, the source of a photograph.
    picture : array-like of shape (n_samples,), default=None
        Images of one picture stay on one side; "" is a picture of its own.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One, with the test part "self".
    """
    y, origin, picture = check_columns(y, origin, picture)
    train, val, own = _cut(np.arange(len(y)), origin, picture, random_state)
    return [Trial("all", train, val, {"self": own})]


def self_and_foreign_trials(
    y: Any,
    origin: Any,
    known: Collection[str],
    *,
    picture: Any = None,
    random_state: int | np.random.RandomState | None = 0,
) -> list[Trial]:
    """Make protocol B: train on some origins, measure on them and on all others.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    origin : array-like of shape (n_samples,)
        The generator of a generated image, the source of a photograph.
    known : collection of str
        The origins to train on: at least one generator and one source.
    picture : array-like of shape (n_samples,), default=None
        Images of one picture stay on one side; "" is a picture of its own. Those of a picture
        among the foreign images are left out.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One, with the test parts "self" and "foreign".

    Raises
    ------
    ValueError
        If a known origin does not occur, or all are known.
    """
    y, origin, picture = check_columns(y, origin, picture)
    missing = sorted(set(known) - set(origin.tolist()))
    is_known = np.isin(origin, list(known))
    if missing or is_known.all():
        raise ValueError(
            f"self_and_foreign_trials: known={sorted(known)} must be some, and not all, of the "
            f"origins {np.unique(origin).tolist()}."
        )
    foreign = np.flatnonzero(~is_known)
    rest = np.flatnonzero(is_known & ~np.isin(picture, picture[foreign]))
    train, val, own = _cut(rest, origin, picture, random_state)
    return [Trial(", ".join(sorted(known)), train, val, {"self": own, "foreign": foreign})]


def leave_one_generator_out_trials(
    y: Any,
    origin: Any,
    *,
    picture: Any = None,
    min_group_size: int = 1,
    random_state: int | np.random.RandomState | None = 0,
) -> list[Trial]:
    """Make protocol C: leave out each generator in turn, and a source of photographs with it.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    origin : array-like of shape (n_samples,)
        The generator of a generated image, the source of a photograph.
    picture : array-like of shape (n_samples,), default=None
        Images of one picture stay on one side; "" is a picture of its own.
    min_group_size : int, default=1
        Generators with fewer images are always trained on.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One a generator, with the test parts "self" and "foreign"; both classes of "foreign"
        are new.

    See Also
    --------
    LeaveOneGeneratorOut : How sources are left out with generators.
    """
    splitter = LeaveOneGeneratorOut(min_group_size=min_group_size)
    return _left_out_trials(splitter, y, origin, picture, random_state)


def leave_one_source_out_trials(
    y: Any,
    origin: Any,
    *,
    picture: Any = None,
    random_state: int | np.random.RandomState | None = 0,
) -> list[Trial]:
    """Make protocol D: leave out each source of photographs in turn.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    origin : array-like of shape (n_samples,)
        The generator of a generated image, the source of a photograph.
    picture : array-like of shape (n_samples,), default=None
        Images of one picture stay on one side; "" is a picture of its own.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One a source, with the test parts "self" and "foreign"; the latter holds photographs
        only.
    """
    return _left_out_trials(LeaveOneSourceOut(), y, origin, picture, random_state)


def _left_out_trials(
    splitter: BaseCrossValidator,
    y: Any,
    origin: Any,
    picture: Any,
    random_state: int | np.random.RandomState | None,
) -> list[Trial]:
    y, origin, picture = check_columns(y, origin, picture)
    trials = []
    for rest, foreign in splitter.split(y, y, np.column_stack([origin, picture])):
        train, val, own = _cut(rest, origin, picture, random_state)
        # Generators first, as they are what the trial is about.
        left_out = [np.unique(origin[foreign][y[foreign] == label]) for label in (1, 0)]
        name = " + ".join(np.concatenate(left_out).tolist())
        trials.append(Trial(name, train, val, {"self": own, "foreign": foreign}))
    return trials


def check_columns(
    y: Any, origin: Any, picture: Any
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
    """Check what is known of the images; give labels, origins, and a picture for every image."""
    labels, origins = check_labels("protocols", y), np.asarray(origin).astype(str)
    check_consistent_length(labels, origins, *([] if picture is None else [picture]))
    if picture is None:
        return labels, origins, np.arange(len(labels))
    return labels, origins, number_pictures(np.asarray(picture).astype(str))


def _cut(
    index: Indices,
    origin: NDArray[np.str_],
    picture: NDArray[np.int64],
    random_state: int | np.random.RandomState | None,
) -> tuple[Indices, Indices, Indices]:
    """Cut 80/10/10, stratified by origin, pictures whole."""
    train, val, own = train_val_test_split(
        index,
        origin[index],
        groups=picture[index],
        keep_near_duplicates=False,  # they are for the caller to put into `picture`
        random_state=random_state,
    )[:3]
    return train, val, own
