"""Reverse-mode differentiation of ONNX nodes.

At a kink the derivative is that of torch: it is 0 at a ReLU and at the limits of a clip, goes to
the first of equal entries under a max-pooling, and is split among equal operands of a maximum and
equal entries of a `ReduceMax`. Rounding (of quantised networks) counts as the identity, which is
known as the straight-through estimator. Where a root or a norm is 0, its slope counts as 0.

A gradient is right, or an error names the node that prevents it: an operator without a rule, a
setting that its rule does not know, an input for which the rule lacks a derivative, or a shape that
changes with the pixels.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import GraphBuilder, expose_tensors
from detectorkit.graph.dependence import Dependence, is_standard, read_by
from detectorkit.graph.runner import make_session

__all__ = ["AdjointBuilder", "Parts", "Rule", "Step"]

_NEWEST_VERSION: Final = 28  # newest operator definitions for which the rules are written
_SEVERAL_OUTPUTS: Final = {"DynamicQuantizeLinear", "LayerNormalization", "Split"}


@dataclass(frozen=True)
class Step:
    """A node of the graph with the gradients of its outputs.

    Attributes
    ----------
    node : onnx.NodeProto
        Node of the graph that is differentiated.
    upstream : list of str
        Names of the gradients of the node's outputs; empty where the gradient is 0.
    wanted : list of bool
        Whether the gradient of each input is needed.
    """

    node: onnx.NodeProto
    upstream: list[str]
    wanted: list[bool]

    @property
    def x(self) -> str:
        """Name of the first input."""
        name: str = self.node.input[0]
        return name

    @property
    def y(self) -> str:
        """Name of the first output."""
        name: str = self.node.output[0]
        return name

    @property
    def dy(self) -> str:
        """Name of the gradient of the first output."""
        return self.upstream[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the node."""
        return {one.name: helper.get_attribute_value(one) for one in self.node.attribute}

    def input(self, place: int) -> str:
        """Return the name of an input."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def wants(self, place: int) -> bool:
        """Return whether the gradient of an input is needed."""
        return place < len(self.wanted) and self.wanted[place]

    def text(self, attribute: str, default: str) -> str:
        """Return the value of an attribute that is a string."""
        value = self.attributes.get(attribute, default)
        return value.decode() if isinstance(value, bytes) else str(value)


Parts = list[str | None]
"""Names of the gradients of a node's inputs, None where a gradient is not needed."""


class AdjointBuilder:
    """Builder that walks a graph backwards and adds the nodes of its gradient.

    Attributes
    ----------
    graph : GraphBuilder
        Nodes of the model and of its gradient.
    probes : dict of str to ndarray
        Every tensor of the model for black images; zeros where it changes with the pixels.
    dependent : set of str
        Names of the tensors that change with `wrt`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        of: str,
        wrt: str,
        name: str,
        rules: dict[str, Rule],
        *,
        n_images: int = 2,
        is_sketch: bool = False,
    ) -> None:
        self.graph = GraphBuilder("gradient/")
        self.graph.nodes.extend(model.graph.node)
        self._model, self._of, self._wrt, self._name = model, of, wrt, name
        self._rules, self._is_sketch = rules, is_sketch
        self._sums: list[tuple[Any, ...]] = []
        self._fixed = {tensor.name: tensor for tensor in model.graph.initializer}
        self._opset = next(
            one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}
        )
        self.probes = _probe(model, name, n_images)
        for tensor in (of, wrt):
            if tensor not in self.probes:
                raise ModelFileError(f"{name} has no tensor {tensor!r}.")
        found = Dependence(model.graph, wrt, self.probes, rules)
        self.dependent, self._varying, self._elastic = (
            found.dependent,
            found.varying,
            found.elastic,
        )
        for tensor in self._varying & self.probes.keys():  # only shapes and types of these are used
            value = self.probes[tensor]
            self.probes[tensor] = np.broadcast_to(value.dtype.type(0), value.shape)

    @property
    def fingerprint(self) -> list[Any]:
        """Nodes and constants added, to compare them with those for another number of images."""
        n = len(self._model.graph.node)
        return [*self._sums, *(node.SerializeToString() for node in self.graph.nodes[n:])]

    # Facts about the model

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape of a tensor for the images that were run."""
        if tensor in self._fixed:
            return tuple(self._fixed[tensor].dims)
        shape: tuple[int, ...] = self.probes[tensor].shape
        return shape

    def has_operator(self, operator: str) -> bool:
        """Return whether the model has nodes of an operator."""
        return any(node.op_type == operator for node in self._model.graph.node)

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """Return the data type of a tensor."""
        dtype: np.dtype[Any] = self.probes[tensor].dtype
        return dtype

    def value(self, tensor: str) -> NDArray[Any] | None:
        """Return the value of a tensor that is the same for all images."""
        if tensor in self._fixed:
            return numpy_helper.to_array(self._fixed[tensor])
        return None if tensor in self._varying else self.probes[tensor]

    def evaluate(
        self, operator: str, *inputs: NDArray[Any] | None, **attributes: Any
    ) -> NDArray[Any]:
        """Compute one operator now, on constants."""
        names = ["" if one is None else f"input_{k}" for k, one in enumerate(inputs)]
        graph = helper.make_graph(
            [helper.make_node(operator, names, ["output"], **attributes)],
            operator,
            [],
            [helper.make_empty_tensor_value_info("output")],
            [
                numpy_helper.from_array(np.ascontiguousarray(one), name)
                for name, one in zip(names, inputs, strict=True)
                if one is not None
            ],
        )
        opsets = [helper.make_opsetid("", self._opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
        output: NDArray[Any] = make_session(model.SerializeToString(), operator).run(None, {})[0]
        return output

    def evaluate_node(self, node: onnx.NodeProto, first: NDArray[Any]) -> NDArray[Any]:
        """Compute a node now, with another first input."""
        others = [self.value(one) if one else None for one in node.input[1:]]
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        return self.evaluate(node.op_type, first, *others, **attributes)

    def refuse(self, node: onnx.NodeProto, reason: str) -> NoReturn:
        """Raise the error that names the reason why a node lacks a gradient."""
        label = node.op_type if is_standard(node) else f"{node.domain}.{node.op_type}"
        node_name = node.name or next((one for one in node.output if one), "")
        raise ModelFileError(
            f"{self._name}: the operator {label} (node {node_name!r}) {reason}, and has no "
            "gradient here. Use OcclusionSaliency, which needs predictions only."
        )

    # The backward pass

    def differentiate(self) -> str:
        """Add the nodes of the gradient."""
        if self._of not in self.dependent:
            raise ModelFileError(f"{self._name}: {self._of!r} does not depend on {self._wrt!r}.")
        forward = list(self.graph.nodes)
        parts: dict[str, list[str]] = defaultdict(list)
        parts[self._of].append(self.constant_like(self._of, 1.0))
        for node in reversed(forward):
            if self._wrt in node.output or not any(parts.get(one) for one in node.output):
                continue
            if self.dependent & read_by(node):
                self._undo(node, parts)
        if not parts[self._wrt]:
            return self.constant_like(self._wrt, 0.0)
        return self._sum(parts[self._wrt])

    def _undo(self, node: onnx.NodeProto, parts: dict[str, list[str]]) -> None:
        """Add the gradients of a node's inputs to the lists of summands."""
        upstream = [self._sum(parts[one]) if parts.get(one) else "" for one in node.output]
        rule = self._find_rule(node, upstream)
        step = Step(node, upstream, [one in self.dependent for one in node.input])
        found: dict[str, list[str]] = defaultdict(list)
        for tensor, part in zip(node.input, rule(self, step), strict=False):
            if part is not None:
                found[tensor].append(part)
        for k, tensor in enumerate(node.input):
            if tensor not in self.dependent:
                continue
            if tensor not in found:
                self.refuse(node, f"has input {k}, {tensor!r}, that depends on {self._wrt!r}")
            parts[tensor] += found.pop(tensor, [])
            found[tensor] = []

    def _find_rule(self, node: onnx.NodeProto, upstream: list[str]) -> Rule:
        is_foreign = not is_standard(node)
        if node.op_type not in self._rules or (is_foreign and node.op_type != "MatMulNBits"):
            self.refuse(node, "is not known")
        schema = None if is_foreign else onnx.defs.get_schema(node.op_type, self._opset)
        if schema is not None and schema.since_version > _NEWEST_VERSION:
            self.refuse(node, f"is defined anew by opset {schema.since_version}")
        is_single = node.op_type not in _SEVERAL_OUTPUTS
        if is_single and (not upstream[0] or any(upstream[1:])):
            self.refuse(node, "has several outputs that are used")
        for tensor in (*node.input, *node.output):
            if tensor in self._elastic:
                self.refuse(self._elastic[tensor], "gives shapes that change with the pixels")
        return self._rules[node.op_type]

    def _sum(self, parts: list[str]) -> str:
        if len(parts) > 1:
            total = self.add("Sum", *parts) if len(parts) > 2 else self.add("Add", *parts)
            parts[:] = [total]
        return parts[0]

    # Methods by which rules add nodes

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        return self.graph.add(operator, *inputs, **attributes)

    def output(self, node: onnx.NodeProto, place: int) -> str:
        """Return the name of an output of a node, and name the output if it was left out."""
        while len(node.output) <= place:
            node.output.append("")
        if not node.output[place]:
            node.output[place] = f"{node.output[0]}/output_{place}"
        name: str = node.output[place]
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant."""
        array = np.asarray(value, dtype)
        self._sums.append((array.shape, array.dtype.str, zlib.crc32(array.tobytes())))
        return self.graph.constant(np.float32(0) if self._is_sketch else array)

    def constant_like(self, tensor: str, value: float) -> str:
        """Add a tensor filled with one number, of the shape that another tensor has in each run."""
        filled = numpy_helper.from_array(np.array([value], np.float32))
        return self.add("ConstantOfShape", self.add("Shape", tensor), value=filled)

    def shaped_like(self, tensor: str, other: str) -> str:
        """Reshape a tensor to the shape of another with equally many entries."""
        return self.add("Reshape", tensor, self.add("Shape", other))

    def reduced_to(self, tensor: str, result: str, operand: str) -> str:
        """Undo a broadcast: sum a gradient over the copies of each entry of an operand."""
        return self.reduced_from(tensor, self.shape(result), operand)

    def reduced_from(
        self,
        tensor: str,
        full: Sequence[int],
        operand: str,
        shape: tuple[int, ...] | None = None,
    ) -> str:
        """Undo a broadcast to a shape."""
        own = self.shape(operand) if shape is None else shape
        missing = len(full) - len(own)
        axes = [*range(missing)]
        axes += [
            missing + axis
            for axis, size in enumerate(own)
            if size == 1 and full[missing + axis] != 1
        ]
        if axes:
            tensor = self.add("ReduceSum", tensor, self.constant(axes, np.int64), keepdims=1)
        is_other = missing or shape not in {None, self.shape(operand)}
        return self.shaped_like(tensor, operand) if is_other else tensor


Rule = Callable[[AdjointBuilder, Step], Parts]
"""A function that adds the gradients of a node's inputs."""


def _probe(model: onnx.ModelProto, name: str, n_images: int) -> dict[str, NDArray[Any]]:
    """Run a graph on black images, and return every tensor."""
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    pixels = np.zeros((n_images, *sizes[1:]), np.float32)
    names = [one for node in model.graph.node for one in node.output if one]
    session = make_session(expose_tensors(model, names).SerializeToString(), name)
    found = session.run(None, {"pixels": pixels})
    return {"pixels": pixels, **dict(zip(names, found, strict=True))}
