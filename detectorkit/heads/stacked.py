"""Heads that turn a row of features into a score: a linear classifier, or boosted trees.

The features are scaled so that each family as a whole has the same variance, whatever the number
of its features; otherwise the largest family would drown the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from detectorkit.heads.linear_svm import Folds, make_folds, solve_gram

__all__ = ["BoostingHead", "Fitted", "LinearHead", "fit_head"]

_TOL = 1e-4
_MAX_ITER = 2000
_JITTER = 1e-5  # times the mean of the diagonal; products of float32 are not more exact than that
_STILL = 1e-4  # times the largest standard deviation in a family; below, a feature is constant


class LinearHead(NamedTuple):
    """A linear classifier of features that are not scaled.

    Attributes
    ----------
    coef : ndarray of shape (n_features,)
        Weights of the features in the score.
    intercept : float
        Number added to the weighted sum.
    centre : ndarray of shape (n_features,)
        Mean of the features, which is subtracted first: near it, float32 is exact enough.
    """

    coef: NDArray[np.float64]
    intercept: float
    centre: NDArray[np.float64]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score rows of features."""
        apart = features - self.centre.astype(np.float32)
        scores: NDArray[np.float32] = apart @ self.coef.astype(np.float32)
        return scores + np.float32(self.intercept)


class BoostingHead(NamedTuple):
    """Boosted trees on features that are not scaled, or on their principal components.

    Attributes
    ----------
    clf : HistGradientBoostingClassifier
        Fitted classifier of features or components.
    components : ndarray of shape (n_features, n_components) or None
        Matrix that turns features into principal components; None takes the features themselves.
    offset : ndarray of shape (n_components,) or None
        Numbers added to the components.
    """

    clf: Any
    components: NDArray[np.float32] | None
    offset: NDArray[np.float32] | None

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score rows of features."""
        if self.components is not None and self.offset is not None:
            features = features @ self.components + self.offset
        scores: NDArray[np.float32] = self.clf.decision_function(features)
        return scores.astype(np.float32)


class Fitted(NamedTuple):
    """A fitted head, and held-out scores to calibrate it with.

    Attributes
    ----------
    head : LinearHead or BoostingHead
        Head that was fitted on all samples.
    held_out : ndarray of shape (n_held_out,)
        Indices of the samples that were scored by a head that was not trained on them.
    held_out_scores : ndarray of shape (n_held_out,)
        Scores of these samples, to calibrate with.
    """

    head: LinearHead | BoostingHead
    held_out: NDArray[np.intp]
    held_out_scores: NDArray[np.float64]


def fit_head(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    families: Sequence[slice],
    classifier: str,
    C: float,
    n_components: int | None,
    sample_weight: NDArray[np.float64] | None,
    groups: NDArray[Any] | None,
    random_state: np.random.RandomState,
) -> Fitted:
    """Scale features, reduce them to components if asked to, and fit a head.

    Notes
    -----
    Scaling and components are computed from all samples, also for the folds: they do not depend on
    the labels.
    """
    used = np.arange(len(y)) if sample_weight is None else np.flatnonzero(sample_weight > 0)
    if len(used) < len(y) and sample_weight is not None:
        features, y, sample_weight = features[used], y[used], sample_weight[used]
        groups = None if groups is None else groups[used]
    if classifier == "boosting" and n_components is None:  # trees do not mind the scale
        folds = make_folds(y, groups, random_state)
        clf, scores = _fit_boosting(features, y, sample_weight, folds, random_state)
        return Fitted(BoostingHead(clf, None, None), used, scores)
    mean, scale = _scale(features, families, sample_weight)
    components: NDArray[np.float64] | None = None
    rows = features
    if n_components is not None:
        pca = PCA(min(n_components, *features.shape), random_state=random_state)
        rows = pca.fit_transform(features)
        components = pca.components_.astype(np.float64).T * scale[:, np.newaxis]
        offset = -(pca.mean_ @ pca.components_.T).astype(np.float64)
    if components is not None and classifier == "boosting":
        folds = make_folds(y, groups, random_state)
        clf, scores = _fit_boosting(rows, y, sample_weight, folds, random_state)
        head = BoostingHead(clf, _single(components), _single(offset - mean @ components))
        return Fitted(head, used, scores)
    if classifier == "svm":
        coef, intercept, _, scores = solve_gram(
            rows, y, C=C, sample_weight=sample_weight, groups=groups, random_state=random_state
        )
    else:
        folds = make_folds(y, groups, random_state)
        coef, intercept, scores = _fit_logistic(rows, y, C, sample_weight, folds)
    if components is None:
        return Fitted(LinearHead(coef * scale, intercept, mean), used, scores)
    intercept += float(offset @ coef)
    return Fitted(LinearHead(components @ coef, intercept, mean), used, scores)


def _single(values: Any) -> NDArray[np.float32]:
    single: NDArray[np.float32] = np.asarray(values, np.float32)
    return single


def _scale(
    features: NDArray[np.float32],
    families: Sequence[slice],
    weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Subtract the mean and scale each family to the same total variance, in place."""
    share = np.ones(len(features)) if weight is None else weight
    share = (share / share.sum()).astype(np.float32)
    mean = (share @ features).astype(np.float64)
    features -= mean.astype(np.float32)
    std = np.sqrt(np.einsum("n,nf,nf->f", share, features, features), dtype=np.float64)
    scale = np.zeros(len(mean))
    for family in families:
        part = std[family]
        moves = part > _STILL * part.max()
        size = max(1, int(moves.sum())) * len(families)
        scale[family] = np.divide(1 / np.sqrt(size), part, where=moves, out=np.zeros(len(part)))
    features *= scale.astype(np.float32)
    return mean, scale


def _fit_logistic(
    rows: NDArray[np.float32],
    y: NDArray[np.int64],
    C: float,
    weight: NDArray[np.float64] | None,
    folds: Folds,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Fit a logistic regression; return its weights, intercept and held-out scores.

    If there are more features than samples, the weights are a combination of the samples. So the
    problem is solved in the coordinates of the samples in the space that they span: with G the
    matrix of their inner products and G = L L', these are the rows of L. The penalty on the length
    of the weights is the same in these coordinates, so the problem is the same, and smaller.
    """
    spans = rows.shape[1] > len(rows)
    coordinates = _coordinates(rows) if spans else rows
    clf = _logistic(C, coordinates, y, weight)
    coef, intercept = clf.coef_[0].astype(np.float64), float(clf.intercept_[0])
    scores = np.empty(len(y))
    for train, test in folds:
        part = None if weight is None else weight[train]
        fold = _logistic(C, coordinates[train], y[train], part)
        scores[test] = fold.decision_function(coordinates[test])
    if spans:
        dual = solve_triangular(coordinates, coef, trans=1, lower=True, check_finite=False)
        coef = (dual.astype(np.float32) @ rows).astype(np.float64)
    return coef, intercept, scores


def _coordinates(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    gram = rows @ rows.T
    gram[np.diag_indices_from(gram)] += np.float32(_JITTER * np.trace(gram) / len(gram))
    lower: NDArray[np.float32] = cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(lower)


def _logistic(C: float, rows: Any, y: Any, weight: Any) -> Any:
    return LogisticRegression(C=C, tol=_TOL, max_iter=_MAX_ITER).fit(rows, y, weight)


def _fit_boosting(
    rows: NDArray[np.float32],
    y: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    folds: Folds,
    random_state: np.random.RandomState,
) -> tuple[Any, NDArray[np.float64]]:
    """Fit boosted trees; return them and their held-out scores."""
    clf = HistGradientBoostingClassifier(random_state=random_state.randint(2**31 - 1))
    scores = np.empty(len(y))
    for train, test in folds:
        part = None if weight is None else weight[train]
        scores[test] = clone(clf).fit(rows[train], y[train], part).decision_function(rows[test])
    return clf.fit(rows, y, weight), scores
