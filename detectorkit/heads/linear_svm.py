"""Linear support vector machines on many features: one solver in memory and one on disk.

Both solvers minimise ``0.5 * ||w||^2 + sum(C_i * hinge_i)`` with a free intercept, as
``SVC(kernel="linear")`` does. `solve_gram` is exact and needs 12 bytes of memory for each pair of
images; `solve_stream` finds the same weights to about 1e-3, reads the features from disk in passes,
and needs very little memory. Its time is linear in the number of images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
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
_TOL_STREAM = 3e-4  # weights then agree with the exact ones to about 1e-3 of their length
_HELD_OUT_TOL = 0.03  # enough for probabilities
_MIN_PASSES = 100
_MIN_UPDATES = 1_000_000  # passes over few rows are quick, and more of them may be needed
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
    """Solve by dual coordinate descent in passes over features that are kept on disk.

    Notes
    -----
    Features are stored as float16 (16 kB per image for 8100 features) in a temporary file, in
    random order, and read a block at a time [1]_; in memory are some 50 bytes for each image. The
    weights are first fitted without the images that are held out, and then further with all.

    References
    ----------
    .. [1] H.-F. Yu, C.-J. Hsieh, K.-W. Chang, C.-J. Lin, "Large linear classification when data
       cannot fit in memory", KDD 2010, :doi:`10.1145/1835804.1835910`.
    """
    n = len(y)
    share = min(0.1, _HELD_OUT_LIMIT / n)
    train, held_out = _hold_out(y, groups, share, random_state)
    order, n_train = np.concatenate([train, held_out]), len(train)
    y, bound = y[order], np.full(n, C) if sample_weight is None else C * sample_weight[order]
    with TemporaryFile(prefix="detectorkit-") as file:
        stored = _FeatureFile(file)
        row_of, done = np.argsort(order), 0
        for batch in batches:
            stored.write(row_of[done : done + len(batch)], batch)
            done += len(batch)
        descent = _DualDescent(stored, 2 * y - 1, bound, random_state)
        if len(held_out):
            descent.run(n_train, _HELD_OUT_TOL, verbose=verbose)
            projected = descent.project()
            inside = projected[:n_train]
            held_out_scores = projected[n_train:] + _best_intercept(
                inside, y[:n_train], bound[:n_train]
            )
        if not descent.run(n, _TOL_STREAM, verbose=verbose):
            warnings.warn(
                f"The streaming solver stopped after {descent.n_passes} passes, before it reached "
                f"the optimum. Pass a smaller C than {C:g}, which is also faster.",
                ConvergenceWarning,
                stacklevel=2,
            )
        projected = descent.project()
    intercept = _best_intercept(projected, y, bound)
    coef = descent.coef.astype(np.float64)
    if len(held_out) == 0:  # only scores on the training samples are possible
        return LinearSolution(coef, intercept, order, projected + intercept)
    return LinearSolution(coef, intercept, held_out, held_out_scores)


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


class _DualDescent:
    """Dual coordinate descent over blocks of rows, which can go on with more rows.

    The multipliers of the samples are between 0 and C_i, and their sum, by sign, is 0, as the
    intercept is free. That is reached by the method of multipliers: beside the intercept there is a
    force of `stiffness` times the sum, which after each pass is added to the intercept.
    """

    def __init__(
        self,
        stored: _FeatureFile,
        sign: NDArray[np.int64],
        bound: NDArray[np.float64],
        random_state: np.random.RandomState,
    ) -> None:
        self._stored = stored
        self._sign = sign.astype(np.float64)
        self._bound = bound
        self._random_state = random_state
        self._dual = np.zeros(len(sign))
        self._sum = self._intercept = 0.0
        # The solution does not depend on the origin; near the mean, float32 is exact enough.
        first = stored.read(0, min(_CHUNK, len(sign)))
        self._mean = first.mean(axis=0)
        self._size = float(np.square(first - self._mean).sum(axis=1).mean())
        self.coef = np.zeros(first.shape[1], np.float32)
        self.n_passes = 0

    def run(self, n_rows: int, tol: float, *, verbose: bool) -> bool:
        """Descend over the first rows until nothing changes by more than `tol`, if ever."""
        starts = np.arange(0, n_rows, _CHUNK)
        most = max(_MIN_PASSES, _MIN_UPDATES // n_rows)
        for _ in range(most):
            self.n_passes += 1
            what = f"Fitting, pass {self.n_passes}"
            stiffness, worst, before = self._stiffness(), 0.0, self.coef.copy()
            with progress_bar(what, n_rows, show=verbose) as advance:
                for start in self._random_state.permutation(starts):
                    stop = min(start + _CHUNK, n_rows)
                    worst = max(worst, self._descend(start, stop, stiffness))
                    advance(stop - start)
            step = stiffness * self._sum
            self._intercept += step
            is_still = np.linalg.norm(self.coef - before) <= tol * np.linalg.norm(self.coef)
            is_balanced = abs(self._sum) <= tol * self._dual.sum()
            if is_still and is_balanced and max(worst, abs(step)) < tol:
                return True
        return False

    def _stiffness(self) -> float:
        """Return about how far the intercept moves for a unit of the sum.

        Multipliers that are free give way; others go over to the other bound as the intercept
        passes the margins of their samples, of which some tenth are within a unit.
        """
        free = np.count_nonzero((self._dual > 0) & (self._dual < self._bound))
        return 1 / max(free / self._size, 0.1 * float(self._bound.sum()))

    def _descend(self, start: int, stop: int, stiffness: float) -> float:
        """Descend along each row of a block once; return by how much the worst was off."""
        block = self._stored.read(start, stop) - self._mean
        part = slice(start, stop)
        sign, bound, dual = (x[part].tolist() for x in (self._sign, self._bound, self._dual))
        curvature = (np.einsum("nf,nf->n", block, block) + stiffness).tolist()
        coef, total, intercept, worst = self.coef, self._sum, self._intercept, 0.0
        for i in self._random_state.permutation(len(block)).tolist():
            old, row = dual[i], block[i]
            slope = sign[i] * (float(row @ coef) + intercept + stiffness * total) - 1
            new = min(max(old - slope / curvature[i], 0.0), bound[i])
            if new != old:
                dual[i], step = new, sign[i] * (new - old)
                total += step
                coef += np.float32(step) * row
                worst = max(worst, abs(slope))
        self._dual[part], self._sum = dual, total
        return worst

    def project(self) -> NDArray[np.float64]:
        """Multiply all rows by the weights."""
        n = len(self._dual)
        coef = self.coef.astype(np.float64)
        parts = (self._stored.read(s, min(s + _CHUNK, n)) for s in range(0, n, _CHUNK))
        return np.concatenate([part @ coef for part in parts])


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
