"""ONNX graphs of boosted trees, as one operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.graph.builder import GraphBuilder

__all__ = ["add_trees"]


_COLUMNS = (
    "treeids",
    "nodeids",
    "featureids",
    "values",
    "modes",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def add_trees(graph: GraphBuilder, features: str, clf: Any) -> str:
    """Add a fitted `HistGradientBoostingClassifier` of two classes.

    Notes
    -----
    Thresholds of the trees are float64. Because features are float32, a threshold can be rounded
    down to float32 without changing any comparison. Leaves are summed in float32.
    """
    columns: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    leaves: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree, (predictor,) in enumerate(clf._predictors):  # noqa: SLF001 - no public way
        for index, node in enumerate(predictor.nodes):
            is_leaf = bool(node["is_leaf"])
            threshold = 0.0 if is_leaf else _round_down(node["num_threshold"])
            row = (tree, index, int(node["feature_idx"]), threshold)
            mode = "LEAF" if is_leaf else "BRANCH_LEQ"
            ways = (int(node[key]) for key in ("left", "right", "missing_go_to_left"))
            for key, value in zip(columns, (*row, mode, *ways), strict=True):
                columns[key].append(value)
            if is_leaf:
                for key, value in zip(leaves, (tree, index, 0, float(node["value"])), strict=True):
                    leaves[key].append(value)
    attributes: dict[str, Any] = {f"nodes_{key}": values for key, values in columns.items()}
    attributes |= {f"target_{key}": values for key, values in leaves.items()}
    scores = graph.add(
        "TreeEnsembleRegressor",
        features,
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[float(np.ravel(clf._baseline_prediction)[0])],  # noqa: SLF001 - as above
        **attributes,
    )
    return graph.add("Squeeze", scores, graph.constant(np.array([1])))


def _round_down(value: NDArray[np.float64]) -> float:
    single = np.float32(value)
    return float(single if single <= value else np.nextafter(single, np.float32(-np.inf)))
