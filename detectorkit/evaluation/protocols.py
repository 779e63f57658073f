"""The evaluation protocols: which images to train on, to set thresholds on and to test on.

A protocol is a list of `Trial`. Each trial has images for training, images for validation and one
or two test sets: "self", of origins that were trained on, and "foreign", of origins that were not.
There are four protocols:

=====================================  ==========================================================
`same_generator_trials`                A: one trial with "self" only; flatters the detector
`self_and_foreign_trials`              B: trained on some origins, "foreign" are all others
`leave_one_generator_out_trials`       C: a trial for each generator, left out with a source
`leave_one_source_out_trials`          D: a trial for each source of photographs
=====================================  ==========================================================

Training, validation and "self" are 80, 10 and 10 % of the images of the origins trained on,
stratified by origin, with all images of a picture in one of them. `detectorkit.evaluation.trials`
fits and evaluates a detector on them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import check_consistent_length

from detectorkit.model_selection._groups import number_pictures
from detectorkit.model_selection.split import train_val_test_split
from detectorkit.model_selection.splitters import LeaveOneGeneratorOut, LeaveOneSourceOut
from detectorkit.utils.labels import check_labels
from detectorkit.utils.names import as_names

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
    """A single split of a protocol into training, validation and test images.

    Attributes
    ----------
    name : str
        Names of the origins that are left out or, in protocol B, that are trained on.
    train : ndarray of shape (n_train,)
        Indices of the images to train on.
    val : ndarray of shape (n_val,)
        Indices of the images to set thresholds on.
    test : dict of str to ndarray
        Indices of the images to test on, under "self", "foreign" or both.
    """

    name: str
    train: Indices = field(repr=False)
    val: Indices = field(repr=False)
    test: dict[str, Indices] = field(repr=False)


def same_generator_trials(
    y: Any,
    origin: Any,
    *,
    picture: Any = None,
    random_state: int | np.random.RandomState | None = 0,
) -> list[Trial]:
    """Make the trial of protocol A: train and test on the same origins, split 80/10/10.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on; "" counts as a picture of its own, as does None for all images.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        A single trial, with the test set "self".
    """
    y, origin, picture = check_columns("same_generator_trials", y, origin, picture)
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
    """Make the trial of protocol B: train on some origins, and test on them and on all others.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph.
    known : collection of str
        Names of the origins to train on: at least one generator and one source.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on: images of known origins whose picture is among the foreign images are left out. ""
        counts as a picture of its own, as does None for all images.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        A single trial, with the test sets "self" and "foreign".

    Raises
    ------
    ValueError
        If a known origin does not occur, or all origins are known.
    """
    y, origin, picture = check_columns("self_and_foreign_trials", y, origin, picture)
    missing = sorted(set(known) - set(origin.tolist()))
    is_known = np.isin(origin, list(known))
    if missing or is_known.all():
        raise ValueError(
            f"self_and_foreign_trials: known={sorted(map(str, known))} must be some, but not all, "
            f"of the origins {np.unique(origin).tolist()}."
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
    """Make the trials of protocol C: leave out each generator, together with a source.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on; "" counts as a picture of its own, as does None for all images.
    min_group_size : int, default=1
        Minimum number of images of a generator that is left out; generators with fewer images are
        always trained on.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One trial for each generator, with the test sets "self" and "foreign"; both classes of
        "foreign" are of origins that were not trained on.

    See Also
    --------
    LeaveOneGeneratorOut : Says how sources are left out with generators.
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
    """Make the trials of protocol D: leave out each source of photographs in turn.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on; "" counts as a picture of its own, as does None for all images.
    random_state : int, RandomState instance or None, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One trial for each source, with the test sets "self" and "foreign"; "foreign" holds
        photographs only, and so measures the false-positive rate.
    """
    return _left_out_trials(LeaveOneSourceOut(), y, origin, picture, random_state)


def _left_out_trials(
    splitter: BaseCrossValidator,
    y: Any,
    origin: Any,
    picture: Any,
    random_state: int | np.random.RandomState | None,
) -> list[Trial]:
    y, origin, picture = check_columns(type(splitter).__name__, y, origin, picture)
    trials = []
    for rest, foreign in splitter.split(y, y, np.column_stack([origin, picture])):
        train, val, own = _cut(rest, origin, picture, random_state)
        # Generators first, as they are what the trial is about.
        left_out = [np.unique(origin[foreign][y[foreign] == label]) for label in (1, 0)]
        name = " + ".join(np.concatenate(left_out).tolist())
        trials.append(Trial(name, train, val, {"self": own, "foreign": foreign}))
    return trials


def check_columns(
    caller: str, y: Any, origin: Any, picture: Any
) -> tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.int64]]:
    """Check the columns; return labels, origins, and a picture number for every image."""
    labels, origins = check_labels(caller, y), as_names(origin)
    check_consistent_length(labels, origins, *([] if picture is None else [picture]))
    if picture is None:
        return labels, origins, np.arange(len(labels))
    return labels, origins, number_pictures(picture)


def _cut(
    index: Indices,
    origin: NDArray[np.object_],
    picture: NDArray[np.int64],
    random_state: int | np.random.RandomState | None,
) -> tuple[Indices, Indices, Indices]:
    """Split 80/10/10, stratified by origin, with all images of a picture in one part."""
    train, val, own = train_val_test_split(
        index,
        origin[index],
        groups=picture[index],
        keep_near_duplicates=False,  # the caller passes copies as `picture`
        random_state=random_state,
    )[:3]
    return train, val, own
