"""Fitted estimators of scikit-learn as nodes of a graph.

skl2onnx writes most of them. Written here are those that it refuses or gets wrong (1.20, with
scikit-learn 1.9): `LinearSVC` and `VotingClassifier` in their usual forms,
`HistGradientBoostingClassifier`, `FrozenEstimator`, calibration that is isotonic or by temperature,
the probabilities of `LinearDiscriminantAnalysis`, and neighbours weighted by distance. Linear
models, neighbours and interpolation are computed in double precision, as scikit-learn does.
"""

from __future__ import annotations

import warnings
from functools import singledispatchmethod
from typing import Any, Final

import numpy as np
from onnx.helper import make_node
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from detectorkit.base import ImageTransformer
from detectorkit.features.stack import FeatureStack
from detectorkit.graph.builder import OPSETS, GraphBuilder
from detectorkit.graph.trees import add_trees
from detectorkit.utils.json import dumps

__all__ = ["EstimatorWriter", "open_estimator", "scores_exactly"]

_FLOAT: Final = 1
_DOUBLE: Final = 11
_NEAREST_ZERO: Final = 1e-7  # probabilities are this far from 0 and 1, so that log-odds are finite
_SAME: Final = 1e-20  # squared distance of samples that are the same
_LOGISTIC: Final = (
    LogisticRegression,
    LinearDiscriminantAnalysis,
    HistGradientBoostingClassifier,
)
"""Classifiers whose probability is the sigmoid of `decision_function`."""


def open_estimator(estimator: Any) -> Any:
    """Return the fitted estimator within one that only searched, froze or moved the threshold."""
    if isinstance(estimator, BaseSearchCV):
        return open_estimator(estimator.best_estimator_)
    if isinstance(estimator, FrozenEstimator):
        return open_estimator(estimator.estimator)
    if isinstance(estimator, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return open_estimator(estimator.estimator_)
    return estimator


def scores_exactly(classifier: Any) -> bool:
    """Return whether the score is the decision function, and not computed from a probability."""
    return isinstance(classifier, _LOGISTIC) or not hasattr(classifier, "predict_proba")


class EstimatorWriter:
    """Writer of fitted estimators, whose images are described in tensors of their own.

    Attributes
    ----------
    graph : GraphBuilder
        Graph to which the nodes are added.
    transformers : dict of str to ImageTransformer
        Transformer of each tensor of features that the nodes take, by the name of the tensor.
        Equal transformers share one.
    written : dict of int to str
        Name of the output of each transformer, by its `id`.
    """

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph
        self.transformers: dict[str, ImageTransformer] = {}
        self.written: dict[int, str] = {}
        self._names: dict[str, str] = {}

    def score(self, classifier: Any) -> str:
        """Add the log-odds of a classifier of images, or its decision function."""
        last, rows = self._enter(classifier, None)
        if scores_exactly(last):
            return self._decide(last, rows)
        limits = [self._number(limit) for limit in (_NEAREST_ZERO, 1 - _NEAREST_ZERO)]
        p = self.graph.add("Clip", self._estimate(last, rows), *limits)
        odds = self.graph.add("Div", p, self.graph.add("Sub", self._number(1), p))
        return self.graph.add("Log", odds)

    def transform(self, estimator: Any, rows: str | None) -> str | None:
        """Add the output of a transformer; `rows` is None where it takes images."""
        if estimator is None or estimator == "passthrough":
            return rows
        name = self._transform(open_estimator(estimator), rows)
        if name is not None:
            self.written[id(estimator)] = name
        return name

    def decision(self, classifier: Any, rows: str | None) -> str:
        """Add the decision function of a classifier, of shape (n,)."""
        return self._decide(*self._enter(classifier, rows))

    def probability(self, classifier: Any, rows: str | None) -> str:
        """Add the probability of the second class, of shape (n,)."""
        return self._estimate(*self._enter(classifier, rows))

    def _enter(self, classifier: Any, rows: str | None) -> tuple[Any, str | None]:
        """Go to the last step of pipelines, and to the estimator within another."""
        classifier = open_estimator(classifier)
        while isinstance(classifier, Pipeline):
            for _, step in classifier.steps[:-1]:
                rows = self.transform(step, rows)
            classifier = open_estimator(classifier.steps[-1][1])
        return classifier, rows

    @singledispatchmethod
    def _transform(self, estimator: Any, rows: str | None) -> str | None:
        return self._convert(estimator, rows)[0]

    @_transform.register
    def _(self, estimator: ImageTransformer, rows: str | None) -> str:
        if rows is not None:
            raise ValueError(
                f"export_pipeline: {type(estimator).__name__} must be the first step, as it takes "
                "images."
            )
        key = dumps(FeatureStack([estimator]).to_record())
        name = self._names.setdefault(key, f"images_{len(self._names) + 1}")
        self.transformers.setdefault(name, estimator)
        return name

    @_transform.register
    def _(self, estimator: Pipeline, rows: str | None) -> str | None:
        for _, step in estimator.steps:
            rows = self.transform(step, rows)
        return rows

    @_transform.register
    def _(self, estimator: FeatureUnion, rows: str | None) -> str:
        parts, weights = [], estimator.transformer_weights or {}
        for name, one in estimator.transformer_list:
            if one == "drop":
                continue
            part = str(self.transform(one, rows))
            if name in weights:
                part = self.graph.add("Mul", part, self._number(weights[name]))
            parts.append(part)
        return self.graph.add("Concat", *parts, axis=1)

    @_transform.register
    def _(self, estimator: SelectorMixin, rows: str | None) -> str:
        chosen = self.graph.constant(estimator.get_support(indices=True).astype(np.int64))
        return self.graph.add("Gather", _need(estimator, rows), chosen, axis=1)

    @_transform.register
    def _(self, estimator: StandardScaler, rows: str | None) -> str:
        # Divided, not multiplied, as scikit-learn does: trees that follow mind the last bit.
        name = _need(estimator, rows)
        for operator, values in (("Sub", estimator.mean_), ("Div", estimator.scale_)):
            if values is not None:
                name = self.graph.add(operator, name, self._number(values))
        return name

    @singledispatchmethod
    def _decide(self, classifier: Any, rows: str | None) -> str:
        return self._second(self._convert(classifier, rows, zipmap=False, raw_scores=True)[1])

    @_decide.register
    def _(self, classifier: LinearClassifierMixin, rows: str | None) -> str:
        doubled = self.graph.add("Cast", _need(classifier, rows), to=_DOUBLE)
        coef = self.graph.constant(np.ravel(classifier.coef_)[:, np.newaxis].astype(np.float64))
        product = self._squeeze(self.graph.add("MatMul", doubled, coef))
        intercept = self.graph.constant(np.ravel(classifier.intercept_).astype(np.float64))
        return self.graph.add("Cast", self.graph.add("Add", product, intercept), to=_FLOAT)

    @_decide.register
    def _(self, classifier: HistGradientBoostingClassifier, rows: str | None) -> str:
        if getattr(classifier, "_preprocessor", None) is not None:
            raise ValueError(
                "export_pipeline: HistGradientBoostingClassifier with categories cannot be written."
            )
        return add_trees(self.graph, _need(classifier, rows), classifier)

    @singledispatchmethod
    def _estimate(self, classifier: Any, rows: str | None) -> str:
        if isinstance(classifier, _LOGISTIC):
            return self.graph.add("Sigmoid", self._decide(classifier, rows))
        return self._second(self._convert(classifier, rows, zipmap=False)[1])

    @_estimate.register
    def _(self, classifier: CalibratedClassifierCV, rows: str | None) -> str:
        parts = [self._calibrated(one, rows) for one in classifier.calibrated_classifiers_]
        return self._mean(parts)

    @_estimate.register
    def _(self, classifier: VotingClassifier, rows: str | None) -> str:
        parts = [self.probability(one, rows) for one in classifier.estimators_]
        return self._mean(parts, classifier._weights_not_none)  # noqa: SLF001 - no public way

    @_estimate.register
    def _(self, classifier: KNeighborsClassifier, rows: str | None) -> str:
        is_euclidean = classifier.effective_metric_ == "euclidean"
        if not is_euclidean or classifier.weights not in {"uniform", "distance"}:
            return self._second(self._convert(classifier, rows, zipmap=False)[1])
        return self._neighbours(classifier, _need(classifier, rows))

    def _calibrated(self, one: Any, rows: str | None) -> str:
        """Add the probability of a classifier with its calibrator, as sklearn.calibration does."""
        has_decision = hasattr(one.estimator, "decision_function")
        score = (self.decision if has_decision else self.probability)(one.estimator, rows)
        (calibrator,) = one.calibrators
        if isinstance(calibrator, IsotonicRegression):
            return self._interpolate(score, calibrator)
        if one.method == "temperature":
            slope = calibrator.beta_ * (2 if has_decision else 1)  # of the logits -score and score
            score = score if has_decision else self._log_odds(score)
            return self.graph.add("Sigmoid", self.graph.add("Mul", score, self._number(slope)))
        scaled = self.graph.add("Mul", score, self._number(-calibrator.a_))
        return self.graph.add("Sigmoid", self.graph.add("Sub", scaled, self._number(calibrator.b_)))

    def _log_odds(self, p: str) -> str:
        """Add log-odds as sklearn.calibration computes them, with 1e-12 added to probabilities."""
        logs = [
            self.graph.add("Log", self.graph.add("Add", one, self._number(1e-12)))
            for one in (p, self.graph.add("Sub", self._number(1), p))
        ]
        return self.graph.add("Sub", *logs)

    def _interpolate(self, score: str, calibrator: IsotonicRegression) -> str:
        """Add a piecewise linear map: each segment adds the part of its rise that is passed."""
        graph = self.graph
        x, p = (
            np.asarray(values, np.float64)
            for values in (calibrator.X_thresholds_, calibrator.y_thresholds_)
        )
        column = graph.add("Unsqueeze", score, graph.constant(np.array([1])))
        run = graph.add("Sub", graph.add("Cast", column, to=_DOUBLE), graph.constant(x[:-1]))
        run = graph.add("Div", run, graph.constant(np.diff(x)))
        run = graph.add("Clip", run, *(graph.constant(np.float64(limit)) for limit in (0, 1)))
        rise = graph.add("MatMul", run, graph.constant(np.diff(p)))
        return graph.add("Cast", graph.add("Add", rise, graph.constant(p[0])), to=_FLOAT)

    def _neighbours(self, classifier: KNeighborsClassifier, rows: str) -> str:
        """Add the proportion of the second class among the nearest of the training samples."""
        graph = self.graph
        known = np.asarray(classifier._fit_X, np.float64)  # noqa: SLF001 - no public way
        here = graph.add("Cast", rows, to=_DOUBLE)
        product = graph.add("MatMul", here, graph.constant(-2 * known.T))
        square = graph.add("ReduceSumSquare", here, axes=[1], keepdims=1)
        square = graph.add("Add", square, graph.constant((known**2).sum(axis=1)))
        number = graph.constant(np.array([classifier.n_neighbors]))
        square = graph.add("Add", product, square)
        found = [f"{square}_nearest", f"{square}_places"]
        graph.nodes.append(make_node("TopK", [square, number], found, axis=1, largest=0))
        labels = np.asarray(classifier._y, np.float64)  # noqa: SLF001 - as above
        votes = graph.add("Gather", graph.constant(labels), found[1])
        if classifier.weights == "uniform":
            p = graph.add("ReduceMean", votes, axes=[1], keepdims=0)
            return graph.add("Cast", p, to=_FLOAT)
        nearest = graph.add("Max", found[0], graph.constant(np.float64(_SAME)))
        weights = graph.add("Reciprocal", graph.add("Sqrt", nearest))
        axes = graph.constant(np.array([1]))
        sums = [
            graph.add("ReduceSum", one, axes, keepdims=0)
            for one in (graph.add("Mul", votes, weights), weights)
        ]
        return graph.add("Cast", graph.add("Div", *sums), to=_FLOAT)

    def _mean(self, parts: list[str], weights: Any = None) -> str:
        """Add the weighted mean of tensors."""
        share = np.ones(len(parts)) if weights is None else np.asarray(weights, float)
        share /= share.sum()
        scaled = [
            self.graph.add("Mul", part, self._number(weight))
            for part, weight in zip(parts, share, strict=True)
        ]
        return self.graph.add("Sum", *scaled)

    def _convert(self, estimator: Any, rows: str | None, **options: Any) -> tuple[str, ...]:
        """Have skl2onnx write an estimator, and add its nodes; return the names of its outputs."""
        name = _need(estimator, rows)
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        start = [("rows", FloatTensorType([None, estimator.n_features_in_]))]
        chosen = {id(estimator): options} if options else None
        try:
            with warnings.catch_warnings(action="ignore"):
                model = convert_sklearn(
                    estimator, initial_types=start, options=chosen, target_opset=OPSETS
                )
        except Exception as error:  # skl2onnx raises errors of all kinds
            raise ValueError(
                f"export_pipeline: {type(estimator).__name__} cannot be written in ONNX. "
                f"skl2onnx says: {(str(error).strip() or repr(error)).splitlines()[0]}"
            ) from error
        for one in model.opset_import:  # it names the oldest version with the same operators
            one.version = OPSETS.get(one.domain, one.version)
        return self.graph.include(model, {"rows": name}, prefix=f"part_{len(self.graph.nodes)}_")

    def _second(self, table: str) -> str:
        """Add the second column of two."""
        return self._squeeze(self.graph.slice(table, 1, 1, 2))

    def _squeeze(self, column: str) -> str:
        return self.graph.add("Squeeze", column, self.graph.constant(np.array([1])))

    def _number(self, value: Any) -> str:
        return self.graph.constant(np.asarray(value, np.float32))


def _need(estimator: Any, rows: str | None) -> str:
    if rows is None:
        raise ValueError(
            f"export_pipeline: {type(estimator).__name__} takes the images themselves. Put a "
            "transformer of detectorkit.features before it, such as HoGTransformer."
        )
    return rows
