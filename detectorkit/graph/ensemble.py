"""ONNX graphs of ensembles: the graphs of all members, and the combination of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, version_converter

from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import GraphBuilder
from detectorkit.graph.record import MemberRecord, ModelRecord
from detectorkit.heads.combination import LIMIT, Combination

__all__ = ["ensemble_graph"]


def ensemble_graph(
    models: Sequence[onnx.ModelProto], combination: Combination, record: ModelRecord
) -> onnx.ModelProto:
    """Build the graph of an ensemble, with one more output for the probability of each member."""
    graph = GraphBuilder()
    opset = max(17, *(_opset(model) for model in models))
    inputs: dict[str, Sequence[int | str]] = {}
    columns, outputs = [], []
    for member, model in zip(record.members, models, strict=True):
        inputs[member.input] = _input_shape(member, model)
        log_odds, probability = _add_member(graph, member, _convert(model, opset, member.name))
        outputs.append(graph.add("Identity", probability, name=f"probability/{member.name}"))
        columns.append(graph.add("Unsqueeze", log_odds, graph.constant(np.array([1]))))
    _combine(graph, graph.add("Concat", *columns, axis=1), combination)
    graph.calibrate("score", record.calibration)
    return graph.to_model(record, inputs=inputs, outputs=outputs)


def _opset(model: onnx.ModelProto) -> int:
    return next((one.version for one in model.opset_import if not one.domain), 17)


def _convert(model: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    """Write a graph in another version of the operators, as one file has one version only."""
    if _opset(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:
        raise ModelFileError(
            f"EnsembleDetector: the member {name!r} has opset {_opset(model)}, and it cannot be "
            f"converted to {opset}, that of another member: {error}. Export one of them anew."
        ) from error


def _input_shape(member: MemberRecord, model: onnx.ModelProto) -> list[int | str]:
    """Return the shape of the ensemble's input from which a member is computed."""
    if member.input.startswith("features"):
        return ["n", model.graph.input[0].type.tensor_type.shape.dim[1].dim_value]
    preprocessing = member.record.preprocessing
    crops = [] if preprocessing.n_crops is None else [f"{member.input}_crops"]
    return ["n", *crops, *preprocessing.array_shape]


def _add_member(
    graph: GraphBuilder, member: MemberRecord, model: onnx.ModelProto
) -> tuple[str, str]:
    """Add the graph of a member; return its log-odds and its probability, one for each image."""
    preprocessing, calibration = member.record.preprocessing, member.record.calibration
    start, has_crops = member.input, preprocessing.n_crops is not None
    if has_crops:  # as one long row of images, whose scores are averaged
        flat = graph.constant(np.array([-1, *preprocessing.array_shape]))
        start = graph.add("Reshape", member.input, flat)
    prefix = f"{member.name}/"
    graph.include(model, {model.graph.input[0].name: start}, prefix=prefix)
    score, probability = f"{prefix}score", f"{prefix}probability"
    if has_crops:
        score = _average(graph, score, member.input)
    if isinstance(calibration, SigmoidCalibration):
        moved = graph.add("Sub", score, graph.constant(np.float32(calibration.offset)))
        log_odds = graph.add("Mul", moved, graph.constant(np.float32(calibration.slope)))
        return log_odds, graph.add("Sigmoid", log_odds)
    if has_crops:
        raise ModelFileError(
            f"EnsembleDetector: the member {member.name!r} has crops and an isotonic calibration, "
            "which cannot be saved together. Calibrate it by the method 'sigmoid'."
        )
    limits = [graph.constant(np.float32(limit)) for limit in (1e-6, 1 - 1e-6)]
    kept = graph.add("Clip", probability, *limits)
    rest = graph.add("Sub", graph.constant(np.float32(1)), kept)
    return graph.add("Log", graph.add("Div", kept, rest)), probability


def _average(graph: GraphBuilder, score: str, crops: str) -> str:
    """Add the mean over the crops of each image."""
    shape = graph.slice(graph.add("Shape", crops), 0, 0, 2)
    table = graph.add("Reshape", score, shape)
    total = graph.add("ReduceSum", table, graph.constant(np.array([1])), keepdims=0)
    number = graph.add("Cast", graph.slice(shape, 0, 1, 2), to=TensorProto.FLOAT)
    return graph.add("Div", total, number)


def _combine(graph: GraphBuilder, log_odds: str, combination: Combination) -> None:
    """Add the nodes of `Combination.score`."""
    limits = [graph.constant(np.float32(limit)) for limit in (-LIMIT, LIMIT)]
    limited = graph.add("Clip", log_odds, *limits)
    weights = graph.constant(np.array(combination.weights, np.float32)[:, np.newaxis])
    column: Any = graph.constant(np.array([1]))

    def total(of: str) -> str:
        return graph.add("Squeeze", graph.add("MatMul", of, weights), column)

    if combination.kind == "soft":
        generated = graph.add("Log", total(graph.add("Sigmoid", limited)))
        real = graph.add("Log", total(graph.add("Sigmoid", graph.add("Neg", limited))))
        graph.add("Sub", generated, real, name="score")
        return
    offset = graph.constant(np.float32(combination.intercept))
    graph.add("Add", total(limited), offset, name="score")
