"""Linear support vector machines on many features: an exact solver and one that saves memory.

Both solvers minimise ``0.5 * ||w||^2 + sum(C_i * hinge_i)`` with a free intercept, as
``SVC(kernel="linear")`` does. `solve_gram` is exact and needs 12 bytes of memory for each pair of
images; `solve_stream` reads the features from disk in passes and needs very little memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.svm import SVC

from detectorkit.utils.progress import progress_bar

__all__ = [
    "GRAM_LIMIT",
    "Folds",
    "LinearSolution",
    "make_folds",
    "solve_gram",
    "solve_stream",
]

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

GRAM_LIMIT = 10_000
"""Largest number of images for which a Gram matrix is made (1.2 GB with libsvm's copy)."""

_N_FOLDS = 5
_TOL = 1e-4  # decision values then agree with SVC(kernel="linear") to about 1e-4
_STREAM_UPDATES = 500_000  # the objective is then within about 1 % of the exact one
_CHUNK = 1024
_HELD_OUT_LIMIT = 2000


class LinearSolution(NamedTuple):
    """A fitted linear support vector machine, and held-out scores to calibrate it with.

    Attributes
    ----------
    coef : ndarray of shape (n_features,)
        Weights of the features in the score.
    intercept : float
        Number added to the weighted sum: the score is ``features @ coef + intercept``.
    held_out : ndarray of shape (n_held_out,)
        Indices of the samples that were scored by a classifier that was not trained on them.
    held_out_scores : ndarray of shape (n_held_out,)
        Scores of these samples, to calibrate with.
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
    """Solve the dual problem exactly, from one Gram matrix."""
    used = np.arange(len(y)) if sample_weight is None else np.flatnonzero(sample_weight > 0)
    if len(used) < len(y) and sample_weight is not None:
        features, y, sample_weight = features[used], y[used], sample_weight[used]
        groups = _take(groups, used)
    # The solution does not depend on the origin; near the mean, float32 is exact enough.
    mean = features.mean(axis=0)
    features -= mean
    gram = features @ features.T
    support, dual, intercept = _solve_dual(gram, y, np.arange(len(y)), C, sample_weight)
    coef = dual @ features[support].astype(np.float64)

    scores = np.empty(len(y))
    for train, test in make_folds(y, groups, random_state):
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
    """Return the indices and coefficients of the support vectors, and the intercept."""
    weight = _take(sample_weight, train)
    part = gram if len(train) == len(gram) else gram[np.ix_(train, train)]
    clf = SVC(kernel="precomputed", C=C, tol=_TOL).fit(part, y[train], weight)
    return train[clf.support_], clf.dual_coef_[0], float(clf.intercept_[0])


def make_folds(
    y: NDArray[np.int64], groups: NDArray[Any] | None, random_state: np.random.RandomState
) -> Folds:
    """Split samples into at most five folds for held-out scores."""
    everything = np.arange(len(y))
    names = everything if groups is None else groups
    n_folds = min(_N_FOLDS, *(len(np.unique(names[y == label])) for label in (0, 1)))
    if n_folds == 1:
        # A class of one image or group cannot be held out; only scores on itself are possible.
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
    groups: NDArray[Any] | None = None,
    random_state: np.random.RandomState,
    verbose: bool = False,
) -> LinearSolution:
    """Solve by averaged stochastic gradient descent over features that are kept on disk.

    Notes
    -----
    Features are stored as float16 (16 kB per image for 8100 features) in a temporary file.
    Stochastic gradients find the direction of w well before they find the intercept, so the
    intercept is then set to its optimum for this w.
    """
    n = len(y)
    share = min(0.1, _HELD_OUT_LIMIT / n)
    train, held_out = _hold_out(y, groups, share, random_state)
    order, n_train = np.concatenate([train, held_out]), len(train)
    with TemporaryFile(prefix="detectorkit-") as file:
        stored = _FeatureFile(file)
        row_of, done = np.argsort(order), 0
        for batch in batches:
            stored.write(row_of[done : done + len(batch)], batch)
            done += len(batch)
        coef = _descend(stored, y[train], C, _take(sample_weight, train), random_state, verbose)
        chunks = (stored.read(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK))
        projected = np.concatenate([chunk @ coef for chunk in chunks])
    intercept = _best_intercept(projected[:n_train], y[train], _take(sample_weight, train))
    if len(held_out) == 0:
        held_out, n_train = order, 0  # only scores on the training samples are possible
    return LinearSolution(coef, intercept, held_out, projected[n_train:] + intercept)


def _hold_out(
    y: NDArray[np.int64],
    groups: NDArray[Any] | None,
    share: float,
    random_state: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Shuffle and hold out a proportion of each class; nothing if a class has too few samples."""
    order = random_state.permutation(len(y))
    if groups is not None:
        names, group = np.unique(groups, return_inverse=True)
        chosen = random_state.permutation(len(names)) < round(share * len(names))
        is_held_out = chosen[group[order]]
        parts = order[~is_held_out], order[is_held_out]
        return parts if all(len(np.unique(y[p])) == 2 for p in parts) else (order, order[:0])
    members = [order[y[order] == label] for label in (0, 1)]
    counts = [round(share * len(member)) for member in members]
    if min(counts) == 0:
        return order, order[:0]
    held_out = np.concatenate([m[:count] for m, count in zip(members, counts, strict=True)])
    return order[~np.isin(order, held_out)], held_out


class _FeatureFile:
    """Rows of float16 on disk; the pages of a memory map would count as memory of the process."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._n_features = 0

    def write(self, rows: NDArray[np.intp], batch: NDArray[np.float32]) -> None:
        self._n_features = batch.shape[1]
        for row, values in zip(rows.tolist(), batch.astype(np.float16), strict=True):
            self._file.seek(row * values.nbytes)
            self._file.write(values.data)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        self._file.seek(start * self._n_features * 2)
        data = self._file.read((stop - start) * self._n_features * 2)
        return np.frombuffer(data, np.float16).reshape(stop - start, -1).astype(np.float32)


def _descend(
    stored: _FeatureFile,
    y: NDArray[np.int64],
    C: float,
    sample_weight: NDArray[np.float64] | None,
    random_state: np.random.RandomState,
    verbose: bool,  # noqa: FBT001 - private
) -> NDArray[np.float64]:
    """Fit the weights in passes over the first rows; return their mean over the last half."""
    n_passes = math.ceil(_STREAM_UPDATES / len(y))
    clf = SGDClassifier(
        loss="hinge",
        alpha=1 / (C * len(y)),
        average=n_passes * len(y) // 2,
        random_state=random_state,
    )
    starts = np.arange(0, len(y), _CHUNK)
    with progress_bar("Fitting", n_passes * len(y), show=verbose) as advance:
        for start in (s for _ in range(n_passes) for s in random_state.permutation(starts)):
            rows = slice(start, min(start + _CHUNK, len(y)))
            chunk, weight = stored.read(rows.start, rows.stop), _take(sample_weight, rows)
            clf.partial_fit(chunk, y[rows], classes=[0, 1], sample_weight=weight)
            advance(len(chunk))
    coef: NDArray[np.float64] = clf.coef_[0]
    return coef


def _take(values: NDArray[np.float64] | None, index: Any) -> NDArray[np.float64] | None:
    return None if values is None else values[index]


def _best_intercept(
    projected: NDArray[np.float64], y: NDArray[np.int64], weight: NDArray[np.float64] | None
) -> float:
    """Minimise the sum of hinge losses over the intercept alone.

    The sum is convex and piecewise linear, with a bend where a sample reaches its margin, so its
    minimum is at the bend where the slope changes sign. If both classes have equally many samples
    within the margin, the minimum is a flat piece, and its middle is taken, as libsvm does.
    """
    sign = 2 * y - 1
    bends = sign - projected
    order = np.argsort(bends)
    steps = np.ones(len(y)) if weight is None else weight
    slope = np.cumsum(steps[order]) - steps[y == 1].sum()
    tiny = 1e-9 * steps.sum()
    first, beyond = np.argmax(slope > -tiny), np.argmax(slope > tiny)
    return float(bends[order][[first, beyond]].mean())
