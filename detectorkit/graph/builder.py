"""Builder of ONNX graphs, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, inliner, numpy_helper

from detectorkit._version import __version__
from detectorkit.calibration.maps import Calibration, SigmoidCalibration
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.record import RECORD_KEY, ModelRecord

__all__ = ["OPSETS", "GraphBuilder", "expose_tensors", "revise_model"]

OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 8  # read by every onnxruntime since 1.12


class GraphBuilder:
    """Builder that collects and names the nodes and constants of a graph.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        Nodes in the order of computation.
    constants : list of onnx.TensorProto
        Constants that the nodes need.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.graph.builder import GraphBuilder
    >>> graph = GraphBuilder()
    >>> doubled = graph.add("Mul", "pixels", graph.constant(np.float32(2)))
    >>> doubled
    'Mul_1'
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._opsets = dict(OPSETS)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add a constant."""
        name = f"{self._prefix}constant_{len(self.constants) + 1}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output."""
        name = name or f"{self._prefix}{operator}_{len(self.nodes) + 1}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def include(
        self, model: onnx.ModelProto, inputs: dict[str, str], *, prefix: str
    ) -> tuple[str, ...]:
        """Add all nodes of another model, and write the graph in its version of the operators."""
        model = inliner.inline_local_functions(model)
        known = {tensor.name for tensor in model.graph.initializer}
        model = compose.add_prefix(model, prefix)
        renamed = {prefix + name: here for name, here in inputs.items() if name not in known}
        for node in model.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
        self.nodes.extend(model.graph.node)
        self.constants.extend(model.graph.initializer)
        self._opsets |= {one.domain: one.version for one in model.opset_import}
        return tuple(one.name for one in model.graph.output)

    def slice(self, tensor: str, axis: int, start: int, stop: int) -> str:
        """Add a slice along one axis."""
        limits = [self.constant(np.array([value])) for value in (start, stop, axis)]
        return self.add("Slice", tensor, *limits)

    def head(
        self,
        features: str,
        coef: NDArray[Any],
        intercept: float,
        calibration: Calibration,
        centre: NDArray[Any] | None = None,
    ) -> None:
        """Add a linear head and its calibration: the outputs "score" and "probability"."""
        if centre is not None:
            features = self.add("Sub", features, self.constant(centre.astype(np.float32)))
        weights = self.constant(coef.astype(np.float32)[:, np.newaxis])
        product = self.add("MatMul", features, weights)
        product = self.add("Squeeze", product, self.constant(np.array([1])))
        score = self.add("Add", product, self.constant(np.float32(intercept)), name="score")
        self.calibrate(score, calibration)

    def calibrate(self, score: str, calibration: Calibration) -> None:
        """Add the output "probability"."""
        if isinstance(calibration, SigmoidCalibration):
            moved = self.add("Sub", score, self.constant(np.float32(calibration.offset)))
            scaled = self.add("Mul", moved, self.constant(np.float32(calibration.slope)))
            self.add("Sigmoid", scaled, name="probability")
            return
        # Each segment between two points adds the part of its rise that the score has passed.
        x = np.array(calibration.scores, np.float32)
        p = np.array(calibration.probabilities, np.float32)
        column = self.add("Unsqueeze", score, self.constant(np.array([1])))
        run = self.add("Sub", column, self.constant(x[:-1]))
        run = self.add("Div", run, self.constant(np.diff(x)))
        limits = [self.constant(np.float32(limit)) for limit in (0, 1)]
        run = self.add("Clip", run, *limits)
        rise = self.add("MatMul", run, self.constant(np.diff(p)))
        self.add("Add", rise, self.constant(p[0]), name="probability")

    def to_model(
        self,
        record: ModelRecord,
        n_features: int | None = None,
        *,
        name: str | None = None,
        inputs: Mapping[str, Sequence[int | str]] | None = None,
        outputs: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """Make a model of the graph from "pixels" or "features" to "score" and "probability".

        An ensemble has other `inputs`, by name and shape, and further `outputs`.
        """
        if inputs is None and n_features is None:
            inputs = {"pixels": ["n", *record.preprocessing.array_shape]}
        elif inputs is None:
            inputs = {"features": ["n", n_features or 0]}
        levels, numbers = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
        domains = sorted({node.domain for node in self.nodes} | {""})
        opsets = [helper.make_opsetid(name, self._opsets[name]) for name in domains]
        graph = helper.make_graph(
            self.nodes,
            record.detector,
            [
                helper.make_tensor_value_info(
                    start, levels if start.startswith("pixels") else numbers, shape
                )
                for start, shape in inputs.items()
            ],
            [
                helper.make_tensor_value_info(one, numbers, ["n"])
                for one in ("score", "probability", *outputs)
            ],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=max(
                _IR_VERSION, helper.find_min_ir_version_for(opsets, ignore_unknown=True)
            ),
            producer_name="detectorkit",
            producer_version=__version__,
        )
        helper.set_model_props(model, {RECORD_KEY: record.to_json()})
        _check_graph(model, name or record.detector)
        return model


def _check_graph(model: onnx.ModelProto, name: str) -> None:
    """Check a graph by the rules of ONNX."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,  # text that is not UTF-8, types that do not exist
    ) as error:
        raise ModelFileError(f"{name} is not a valid ONNX model: {error}") from error


def revise_model(model: onnx.ModelProto, record: ModelRecord) -> onnx.ModelProto:
    """Replace the record and the calibration of a saved model."""
    graph = model.graph
    stale, wanted = set(), {"probability"}
    for node in reversed(graph.node):  # nodes are in the order of computation
        if wanted & set(node.output):
            stale.add(node.name)
            wanted |= set(node.input) - {"score"}
    kept = [node for node in graph.node if node.name not in stale]
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    tail = GraphBuilder(prefix="calibration_")
    tail.calibrate("score", record.calibration)
    for field, content in (
        (graph.node, kept + tail.nodes),
        (graph.initializer, constants + tail.constants),
    ):
        del field[:]
        field.extend(content)
    helper.set_model_props(model, {RECORD_KEY: record.to_json()})
    _check_graph(model, record.detector)
    return model


def expose_tensors(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Copy a graph so that it takes floats and returns some of its inner tensors."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del exposed.graph.output[:]
    exposed.graph.output.extend(map(helper.make_empty_tensor_value_info, names))
    return exposed
