"""The protocols: what is trained on, what thresholds are set on, and what is measured.

A protocol is a list of `Trial`, each a choice of images for training, for validation and for one
or two test parts: "self", of origins that were trained on, and "foreign", of origins that were
not. `run_trial` fits a detector on one and measures it. The four protocols:

=====================================  ==========================================================
`same_generator_trials`                A: one trial, "self" only; the flattering figure
`self_and_foreign_trials`              B: trained on some origins, "foreign" are all others
`leave_one_generator_out_trials`       C: a trial a generator; a source is left out with it
`leave_one_source_out_trials`          D: a trial a source of photographs; false positives
=====================================  ==========================================================

Training, validation and "self" are 80, 10 and 10 % of the images of the origins trained on,
stratified by origin, with copies of a picture on one side.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import check_consistent_length, has_fit_parameter

from detectorkit.datasets.splitting import take_items, train_val_test_split
from detectorkit.evaluation.decisions import balanced_threshold, fpr_threshold
from detectorkit.evaluation.measure import Evaluation, evaluate
from detectorkit.evaluation.splitters import LeaveOneGeneratorOut, LeaveOneSourceOut

__all__ = [
    "Trial",
    "TrialResult",
    "leave_one_generator_out_trials",
    "leave_one_source_out_trials",
    "run_trial",
    "same_generator_trials",
    "self_and_foreign_trials",
]

Indices = NDArray[np.intp]

FPR_TARGET = 0.05
"""The false-positive rate on validation photographs that the threshold "fpr_5" is set for."""


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


@dataclass(frozen=True)
class TrialResult:
    """A detector that was fitted for a trial, and how it did.

    Attributes
    ----------
    trial : Trial
        The trial.
    detector : classifier
        Fitted on its training images.
    val : Evaluation
        Of its validation images, at the detector's own threshold.
    test : dict of str to Evaluation
        Of its test parts, at the same threshold.
    thresholds : dict of str to float
        Set on the validation images: "validation" has the best balanced accuracy there, "fpr_5"
        at most 5 % false positives. nan where there were too few photographs for it.
    fit_seconds : float
        Wall time of `fit`.
    """

    trial: Trial
    detector: Any
    val: Evaluation
    test: dict[str, Evaluation]
    thresholds: dict[str, float]
    fit_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Give all figures in a form that JSON can hold.

        Returns
        -------
        content : dict
            For each test part, all figures at the detector's own threshold, and what changes
            with the threshold at each of `thresholds`.
        """
        parts = {}
        for name, evaluation in self.test.items():
            parts[name] = evaluation.to_dict()
            parts[name]["at"] = {
                key: _threshold_dict(evaluation.at(threshold))
                for key, threshold in self.thresholds.items()
                if not np.isnan(threshold)
            }
        return {
            "n_train": len(self.trial.train),
            "n_val": len(self.trial.val),
            "fit_seconds": self.fit_seconds,
            "validation_roc_auc": self.val.metrics["roc_auc"].to_dict(),
            "test": parts,
        }


def _threshold_dict(evaluation: Evaluation) -> dict[str, Any]:
    names = ("accuracy", "balanced_accuracy", "recall", "false_positive_rate")
    return {
        "threshold": evaluation.threshold,
        **{name: evaluation.metrics[name].to_dict() for name in names},
        "macro_balanced_accuracy": evaluation.macro_balanced_accuracy.to_dict(),
        "called_generated": {
            row.name: row.called_generated.to_dict() for row in evaluation.origins
        },
    }


def same_generator_trials(
    y: Any, origin: Any, *, picture: Any = None, random_state: int = 0
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
    random_state : int, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One, with the test part "self".
    """
    y, origin, picture = _columns(y, origin, picture)
    train, val, own = _cut(np.arange(len(y)), origin, picture, random_state)
    return [Trial("all", train, val, {"self": own})]


def self_and_foreign_trials(
    y: Any,
    origin: Any,
    known: Collection[str],
    *,
    picture: Any = None,
    random_state: int = 0,
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
    random_state : int, default=0
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
    y, origin, picture = _columns(y, origin, picture)
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
    random_state: int = 0,
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
    random_state : int, default=0
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
    y: Any, origin: Any, *, picture: Any = None, random_state: int = 0
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
    random_state : int, default=0
        Shuffles.

    Returns
    -------
    trials : list of Trial
        One a source, with the test parts "self" and "foreign"; the latter holds photographs
        only.
    """
    return _left_out_trials(LeaveOneSourceOut(), y, origin, picture, random_state)


def _left_out_trials(
    splitter: BaseCrossValidator, y: Any, origin: Any, picture: Any, random_state: int
) -> list[Trial]:
    y, origin, picture = _columns(y, origin, picture)
    trials = []
    for rest, foreign in splitter.split(y, y, np.column_stack([origin, picture])):
        train, val, own = _cut(rest, origin, picture, random_state)
        # Generators first, as they are what the trial is about.
        left_out = [np.unique(origin[foreign][y[foreign] == label]) for label in (1, 0)]
        name = " + ".join(np.concatenate(left_out).tolist())
        trials.append(Trial(name, train, val, {"self": own, "foreign": foreign}))
    return trials


def _columns(
    y: Any, origin: Any, picture: Any
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.str_]]:
    """Give labels, origins, and a picture for every image."""
    labels, origins = np.asarray(y), np.asarray(origin).astype(str)
    check_consistent_length(labels, origins, *([] if picture is None else [picture]))
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("protocols: y must be 0 for real and 1 for generated.")
    own = np.array([f"image {i}" for i in range(len(labels))])
    if picture is None:
        return labels, origins, own
    named = np.asarray(picture).astype(str)
    return labels, origins, np.where(named == "", own, named)


def _cut(
    index: Indices, origin: NDArray[np.str_], picture: NDArray[np.str_], random_state: int
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


def run_trial(
    detector: Any,
    X: Any,
    y: Any,
    origin: Any,
    trial: Trial,
    *,
    picture: Any = None,
    n_resamples: int = 1000,
) -> TrialResult:
    """Fit a detector on the training images of a trial and measure it on the others.

    Parameters
    ----------
    detector : classifier
        Not fitted, or to be fitted anew: a clone is.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    origin : array-like of shape (n_samples,)
        The generator of a generated image, the source of a photograph.
    trial : Trial
        Which of them do what.
    picture : array-like of shape (n_samples,), default=None
        Passed to `fit` as ``groups`` where the detector takes them; "" is a picture of its own.
    n_resamples : int, default=1000
        Number of bootstrap samples for the intervals.

    Returns
    -------
    result : TrialResult
        The fitted detector and its figures.
    """
    y, origin, picture = _columns(y, origin, picture)
    fitted = clone(detector)
    groups = {"groups": picture[trial.train]} if has_fit_parameter(fitted, "groups") else {}
    start = time.perf_counter()
    fitted.fit(take_items(X, trial.train), y[trial.train], **groups)
    seconds = time.perf_counter() - start

    def measure(index: Indices) -> Evaluation:
        return evaluate(
            fitted, take_items(X, index), y[index], origin=origin[index], n_resamples=n_resamples
        )

    val = measure(trial.val)
    photographs = val.scores[val.y_true == 0]
    enough = (len(photographs) + 1) * FPR_TARGET >= 1
    return TrialResult(
        trial=trial,
        detector=fitted,
        val=val,
        test={name: measure(index) for name, index in trial.test.items()},
        thresholds={
            "validation": balanced_threshold(val.scores, val.y_true),
            "fpr_5": fpr_threshold(photographs, FPR_TARGET).threshold if enough else np.nan,
        },
        fit_seconds=seconds,
    )
