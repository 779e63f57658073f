"""Linear support vector machines on many features, by whichever way fits into memory.

Both solvers minimise ``0.5 * ||w||^2 + sum(C_i * hinge_i)`` with a free intercept, as
``SVC(kernel="linear")`` does. `solve_gram` is exact and needs 12 bytes for each pair of images;
`solve_stream` reads features from disk in passes and needs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.svm import SVC

__all__ = ["GRAM_LIMIT", "LinearSolution", "solve_gram", "solve_stream"]

GRAM_LIMIT = 10_000
"""Up to so many images the Gram matrix (1.2 GB with libsvm's copy) is worth its memory."""

_N_FOLDS = 5
_TOL = 1e-4  # decision values then agree with SVC(kernel="linear") to about 1e-4
_STREAM_UPDATES = 500_000
_STREAM_CHUNK = 1024
_HELD_OUT_LIMIT = 2000


class LinearSolution(NamedTuple):
    """A fitted linear machine, and scores to calibrate it with.

    Attributes
    ----------
    coef : ndarray of shape (n_features,)
        The weights w.
    intercept : float
        The score is ``features @ coef + intercept``.
    held_out : ndarray of shape (n_held_out,)
        Indices of samples that were scored by a machine not trained on them.
    held_out_scores : ndarray of shape (n_held_out,)
        Those scores.
    """

    coef: NDArray[np.float64]
    intercept: float
    held_out: NDArray[np.intp]
    held_out_scores: NDArray[np.float64]


def solve_gram(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    C: float,
    sample_weight: NDArray[np.float64] | None,
    groups: NDArray[Any] | None,
    random_state: np.random.RandomState,
) -> LinearSolution:
    """Solve exactly by the dual, from one Gram matrix.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), dtype float32
        The features; the mean is taken off them in place.
    y : ndarray of shape (n_samples,)
        0 or 1.
    C : float
        Inverse strength of the regularisation.
    sample_weight : ndarray of shape (n_samples,) or None
        Factors of C for each sample.
    groups : ndarray of shape (n_samples,) or None
        Samples of one group are held out together.
    random_state : RandomState
        Draws the folds of the held-out scores.

    Returns
    -------
    solution : LinearSolution
        All samples of positive weight have held-out scores, from five folds that share the
        Gram matrix.
    """
    used = np.arange(len(y)) if sample_weight is None else np.flatnonzero(sample_weight > 0)
    if len(used) < len(y) and sample_weight is not None:
        features, y, sample_weight = features[used], y[used], sample_weight[used]
        groups = None if groups is None else groups[used]
    # The machine does not depend on where the origin is; near the mean, float32 is exact enough.
    mean = features.mean(axis=0)
    features -= mean
    gram = features @ features.T
    support, dual, intercept = _solve_dual(gram, y, np.arange(len(y)), C, sample_weight)
    coef = dual @ features[support].astype(np.float64)

    scores = np.empty(len(y))
    for train, test in _folds(y, groups, random_state):
        support, dual, fold_intercept = _solve_dual(gram, y, train, C, sample_weight)
        scores[test] = gram[np.ix_(test, support)] @ dual + fold_intercept
    return LinearSolution(coef, float(intercept - mean @ coef), used, scores)


def _solve_dual(
    gram: NDArray[np.float32],
    y: NDArray[np.int64],
    train: NDArray[np.intp],
    C: float,
    sample_weight: NDArray[np.float64] | None,
) -> tuple[NDArray[np.intp], NDArray[np.float64], float]:
    """Give indices and coefficients of the support vectors, and the intercept."""
    weight = None if sample_weight is None else sample_weight[train]
    part = gram if len(train) == len(gram) else gram[np.ix_(train, train)]
    machine = SVC(kernel="precomputed", C=C, tol=_TOL).fit(part, y[train], weight)
    return train[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0])


def _folds(
    y: NDArray[np.int64], groups: NDArray[Any] | None, random_state: np.random.RandomState
) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    everything = np.arange(len(y))
    names = everything if groups is None else groups
    n_folds = min(_N_FOLDS, *(len(np.unique(names[y == label])) for label in (0, 1)))
    if n_folds == 1:
        # A class of one image or group cannot be held out; its own scores are all there is.
        return [(everything, everything)]
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(n_folds, shuffle=True, random_state=random_state)
    # A fold whose training part lost a class to large groups is scored with nothing held out.
    return [
        (train if len(np.unique(y[train])) == 2 else everything, test)
        for train, test in folds.split(everything, y, groups)
    ]


def solve_stream(
    batches: Iterable[NDArray[np.float32]],
    y: NDArray[np.int64],
    *,
    C: float,
    sample_weight: NDArray[np.float64] | None,
    random_state: np.random.RandomState,
) -> LinearSolution:
    """Solve by averaged stochastic gradients over features that are kept on disk.

    Parameters
    ----------
    batches : iterable of ndarray of shape (n, n_features), dtype float32
        The features of consecutive samples; read once.
    y : ndarray of shape (n_samples,)
        0 or 1.
    C : float
        Inverse strength of the regularisation.
    sample_weight : ndarray of shape (n_samples,) or None
        Factors of C for each sample.
    random_state : RandomState
        Draws the order of the samples and those held out.

    Returns
    -------
    solution : LinearSolution
        A tenth of the samples, at most 2000, is held out for the calibration only; of very few
        samples none is.

    Notes
    -----
    Features are stored as float16 (16 kB an image for 8100 features) in a temporary folder.
    """
    n = len(y)
    order = random_state.permutation(n)
    n_held_out = min(n // 10, _HELD_OUT_LIMIT)
    n_train = n - n_held_out
    machine = SGDClassifier(
        loss="hinge", alpha=1 / (C * n_train), average=True, random_state=random_state
    )
    with TemporaryDirectory(prefix="detectorkit-") as folder:
        stored = _store(batches, order, Path(folder) / "features.f16")
        for _ in range(math.ceil(_STREAM_UPDATES / n_train)):
            for start in random_state.permutation(np.arange(0, n_train, _STREAM_CHUNK)):
                rows = slice(start, min(start + _STREAM_CHUNK, n_train))
                weight = None if sample_weight is None else sample_weight[order[rows]]
                chunk = stored[rows].astype(np.float32)
                machine.partial_fit(chunk, y[order[rows]], classes=[0, 1], sample_weight=weight)
        coef, intercept = machine.coef_[0], float(machine.intercept_[0])
        if len(np.unique(y[order[n_train:]])) < 2:
            n_train = 0  # too few to hold any out; their own scores are all there is
        scores = stored[n_train:].astype(np.float32) @ coef + intercept
        del stored  # before its folder goes
    return LinearSolution(coef, intercept, order[n_train:], scores)


def _store(batches: Iterable[NDArray[np.float32]], order: NDArray[np.intp], path: Path) -> Any:
    """Write sample ``order[i]`` to row i of a file."""
    row_of = np.argsort(order)
    stored: Any = None
    done = 0
    for batch in batches:
        if stored is None:
            stored = np.memmap(path, np.float16, "w+", shape=(len(order), batch.shape[1]))
        stored[row_of[done : done + len(batch)]] = batch
        done += len(batch)
    return stored
