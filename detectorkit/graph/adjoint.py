"""Reverse-mode differentiation of ONNX nodes.

At a kink the derivative is that of torch: ReLU and the limits of a clip have 0 there, of equal
entries under a max-pooling the first is taken, and equal operands of a maximum share it, as do
equal entries of a `ReduceMax`. Rounding (of quantised networks) counts as the identity, which is
known as the straight-through estimator. Where a root or a norm is 0, its slope is too.

A gradient is right, or there is an error that names the node: of an operator without a rule, of a
setting that its rule does not know, of an input that the rule has no derivative for, of a shape
that changes with the pixels.
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

_NEWEST_VERSION: Final = 28  # of operators whose definition the rules are made for
_SEVERAL_OUTPUTS: Final = {"DynamicQuantizeLinear", "LayerNormalization", "Split"}


@dataclass(frozen=True)
class Step:
    """A node on the way back.

    Attributes
    ----------
    node : onnx.NodeProto
        The node.
    upstream : list of str
        The gradients of its outputs; an empty name where there is none.
    wanted : list of bool
        For each input, whether its gradient is wanted.
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
        """Return the name of an input.

        Parameters
        ----------
        place : int
            Its place.

        Returns
        -------
        name : str
            Empty if it was left out.
        """
        return self.node.input[place] if place < len(self.node.input) else ""

    def wants(self, place: int) -> bool:
        """Say whether the gradient of an input is wanted.

        Parameters
        ----------
        place : int
            Its place.

        Returns
        -------
        is_wanted : bool
            False if it was left out.
        """
        return place < len(self.wanted) and self.wanted[place]

    def text(self, attribute: str, default: str) -> str:
        """Return an attribute that is a text.

        Parameters
        ----------
        attribute : str
            Its name.
        default : str
            Its value where it is not given.

        Returns
        -------
        text : str
            Its value.
        """
        value = self.attributes.get(attribute, default)
        return value.decode() if isinstance(value, bytes) else str(value)


Parts = list[str | None]
"""Gradients of the inputs of a node, and None where none is wanted."""


class AdjointBuilder:
    """Walks a graph backwards; rules add the nodes.

    Parameters
    ----------
    model : onnx.ModelProto
        The graph, from "pixels", as `prepare_graph` returns it.
    of, wrt : str
        As in `gradient_graph`.
    name : str
        What error messages call it.
    rules : dict of str to callable
        For each operator what adds the gradients of a node's inputs.
    n_images : int, default=2
        Number of images that are run to see the shapes.
    is_sketch : bool, default=False
        Whether only `fingerprint` is wanted, so that constants are not kept.

    Attributes
    ----------
    graph : GraphBuilder
        Holds the nodes of the model, and takes those of its gradient.
    probes : dict of str to ndarray
        Every tensor of the model, for black images.
    dependent : set of str
        Tensors that change with `wrt`.
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

    @property
    def fingerprint(self) -> list[Any]:
        """What was added, to compare with what is added for another number of images."""
        n = len(self._model.graph.node)
        return [*self._sums, *(node.SerializeToString() for node in self.graph.nodes[n:])]

    # What is known of the model

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape of a tensor for the images that were run.

        Parameters
        ----------
        tensor : str
            Its name.

        Returns
        -------
        shape : tuple of int
            The shape.
        """
        if tensor in self._fixed:
            return tuple(self._fixed[tensor].dims)
        shape: tuple[int, ...] = self.probes[tensor].shape
        return shape

    def has_operator(self, operator: str) -> bool:
        """Say whether the model has nodes of an operator.

        Parameters
        ----------
        operator : str
            Its name.

        Returns
        -------
        has_operator : bool
            Whether there are any.
        """
        return any(node.op_type == operator for node in self._model.graph.node)

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """Return the type of a tensor.

        Parameters
        ----------
        tensor : str
            Its name.

        Returns
        -------
        dtype : dtype
            The type of its entries.
        """
        dtype: np.dtype[Any] = self.probes[tensor].dtype
        return dtype

    def value(self, tensor: str) -> NDArray[Any] | None:
        """Return a tensor that is the same for all images.

        Parameters
        ----------
        tensor : str
            Its name.

        Returns
        -------
        value : ndarray or None
            None, if it is not the same.
        """
        if tensor in self._fixed:
            return numpy_helper.to_array(self._fixed[tensor])
        return None if tensor in self._varying else self.probes[tensor]

    def evaluate(
        self, operator: str, *inputs: NDArray[Any] | None, **attributes: Any
    ) -> NDArray[Any]:
        """Run one operator now.

        Parameters
        ----------
        operator : str
            Its name.
        *inputs : ndarray or None
            Its inputs; None for one that is left out.
        **attributes : object
            Its attributes.

        Returns
        -------
        output : ndarray
            Its first output.
        """
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
        """Run a node now, with another first input.

        Parameters
        ----------
        node : onnx.NodeProto
            The node; its other inputs are the same for all images.
        first : ndarray
            The first input.

        Returns
        -------
        output : ndarray
            Its first output.
        """
        others = [self.value(one) if one else None for one in node.input[1:]]
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        return self.evaluate(node.op_type, first, *others, **attributes)

    def refuse(self, node: onnx.NodeProto, reason: str) -> NoReturn:
        """Raise the error that says why a node has no gradient.

        Parameters
        ----------
        node : onnx.NodeProto
            The node.
        reason : str
            A clause whose subject is the node: "has steps".

        Raises
        ------
        ModelFileError
            Always.
        """
        label = node.op_type if is_standard(node) else f"{node.domain}.{node.op_type}"
        node_name = node.name or next((one for one in node.output if one), "")
        raise ModelFileError(
            f"{self._name}: the operator {label} (node {node_name!r}) {reason}, and has no "
            "gradient here. Use OcclusionSaliency, which needs predictions only."
        )

    # The way back

    def differentiate(self) -> str:
        """Add the nodes of the gradient.

        Returns
        -------
        name : str
            Name of the gradient.

        Raises
        ------
        ModelFileError
            If an operator has no rule, or there is no way from one tensor to the other.
        """
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
        """Add the gradients of a node's inputs to the parts."""
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
        if not is_standard(node) or node.op_type not in self._rules:
            self.refuse(node, "is not known")
        schema = onnx.defs.get_schema(node.op_type, self._opset)
        if schema.since_version > _NEWEST_VERSION:
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

    # What rules add

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node.

        Parameters
        ----------
        operator : str
            Name of the operator.
        *inputs : str
            Names of its inputs.
        **attributes : object
            Its attributes.

        Returns
        -------
        name : str
            Name of its output.
        """
        return self.graph.add(operator, *inputs, **attributes)

    def output(self, node: onnx.NodeProto, place: int) -> str:
        """Return the name of an output of a node, which gets it if it has none.

        Parameters
        ----------
        node : onnx.NodeProto
            The node.
        place : int
            Which output.

        Returns
        -------
        name : str
            Its name.
        """
        while len(node.output) <= place:
            node.output.append("")
        if not node.output[place]:
            node.output[place] = f"{node.output[0]}/output_{place}"
        name: str = node.output[place]
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant.

        Parameters
        ----------
        value : array-like
            Its value.
        dtype : dtype, default=float32
            Its type.

        Returns
        -------
        name : str
            Its name.
        """
        array = np.asarray(value, dtype)
        self._sums.append((array.shape, array.dtype.str, zlib.crc32(array.tobytes())))
        return self.graph.constant(np.float32(0) if self._is_sketch else array)

    def constant_like(self, tensor: str, value: float) -> str:
        """Add a tensor of one number, of the shape that another has in each run.

        Parameters
        ----------
        tensor : str
            The other.
        value : float
            The number.

        Returns
        -------
        name : str
            Its name.
        """
        filled = numpy_helper.from_array(np.array([value], np.float32))
        return self.add("ConstantOfShape", self.add("Shape", tensor), value=filled)

    def shaped_like(self, tensor: str, other: str) -> str:
        """Give a tensor the shape of another with as many entries.

        Parameters
        ----------
        tensor, other : str
            Their names.

        Returns
        -------
        name : str
            Name of the result.
        """
        return self.add("Reshape", tensor, self.add("Shape", other))

    def reduced_to(self, tensor: str, result: str, operand: str) -> str:
        """Undo a broadcast: add what belongs to the same entry of an operand.

        Parameters
        ----------
        tensor : str
            A gradient, of the shape of `result`.
        result : str
            What the node gave.
        operand : str
            One of its inputs.

        Returns
        -------
        name : str
            A gradient of the shape of the operand.
        """
        return self.reduced_from(tensor, self.shape(result), operand)

    def reduced_from(
        self,
        tensor: str,
        full: Sequence[int],
        operand: str,
        shape: tuple[int, ...] | None = None,
    ) -> str:
        """Undo a broadcast to a shape.

        Parameters
        ----------
        tensor : str
            A gradient.
        full : sequence of int
            Its shape.
        operand : str
            What was broadcast.
        shape : tuple of int, default=None
            The shape in which it was; None takes its own.

        Returns
        -------
        name : str
            A gradient of the shape of the operand.
        """
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
"""What adds the gradients of a node's inputs."""


def _probe(model: onnx.ModelProto, name: str, n_images: int) -> dict[str, NDArray[Any]]:
    """Run a graph on black images, and return every tensor."""
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    pixels = np.zeros((n_images, *sizes[1:]), np.float32)
    names = [one for node in model.graph.node for one in node.output if one]
    session = make_session(expose_tensors(model, names).SerializeToString(), name)
    try:
        found = session.run(None, {"pixels": pixels})
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ModelFileError(f"{name} fails on {n_images} black images: {error}") from error
    return {"pixels": pixels, **dict(zip(names, found, strict=True))}
