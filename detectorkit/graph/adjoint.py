"""Reverse-mode differentiation of ONNX nodes.

At a kink the derivative is that of torch: ReLU and the limits of a clip have 0 there, and of equal
entries under a max-pooling the first is taken. Rounding (of quantised networks) counts as the
identity, which is known as the straight-through estimator. Where a root is 0, its slope is too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import GraphBuilder, expose_tensors
from detectorkit.graph.runner import make_session

__all__ = ["AdjointBuilder", "Parts", "Rule", "Step"]

_N_PROBES: Final = 2  # images that are run to see the shapes; not 1, which could be a broadcast
_FLAT: Final = {"Shape", "ArgMax", "ArgMin", "Size", "NonZero", "Floor", "Ceil", "Sign"}
_ROUNDING: Final = {"DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear", "ConvInteger"}


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


Parts = list[str | None]
"""Gradients of the inputs of a node, and None where none is wanted."""


class AdjointBuilder:
    """Walks a graph backwards; rules add the nodes.

    Parameters
    ----------
    model : onnx.ModelProto
        The graph, from "pixels".
    of, wrt : str
        As in `gradient_graph`.
    name : str
        What error messages call it.

    Attributes
    ----------
    graph : GraphBuilder
        Holds the nodes of the model, and takes those of its gradient.
    probes : dict of str to ndarray
        Every tensor of the model, for two black images.
    dependent : set of str
        Tensors that change with `wrt`.
    """

    def __init__(self, model: onnx.ModelProto, of: str, wrt: str, name: str) -> None:
        self.graph = GraphBuilder("gradient/")
        self.graph.nodes.extend(model.graph.node)
        self._of, self._wrt, self._name = of, wrt, name
        self._fixed = {tensor.name: tensor for tensor in model.graph.initializer}
        self.probes = _probe(model, name)
        for tensor in (of, wrt):
            if tensor not in self.probes:
                raise ModelFileError(f"{name} has no tensor {tensor!r}.")
        self._constant = set(self._fixed)
        self.dependent = {wrt}
        for node in model.graph.node:
            inputs = [one for one in node.input if one]
            if self._constant.issuperset(inputs):
                self._constant.update(node.output)
            if self.dependent.intersection(inputs) and node.op_type not in _FLAT:
                self.dependent.update(
                    one for one in node.output if one and self._has_gradient(node, one)
                )

    def _has_gradient(self, node: onnx.NodeProto, output: str) -> bool:
        if node.op_type in _ROUNDING:
            return True
        found = self.probes.get(output)
        return found is not None and found.dtype.kind == "f"

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Give the shape of a tensor for two images.

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

    def value(self, tensor: str) -> NDArray[Any] | None:
        """Give a tensor that is the same for all images.

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
        return self.probes[tensor] if tensor in self._constant else None

    def differentiate(self, rules: dict[str, Rule]) -> str:
        """Add the nodes of the gradient.

        Parameters
        ----------
        rules : dict of str to callable
            For each operator what adds the gradients of a node's inputs.

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
            if not self.dependent.intersection(node.input):
                continue
            upstream = [self._sum(parts[one]) if parts.get(one) else "" for one in node.output]
            rule = rules.get(node.op_type)
            if rule is None or node.domain not in {"", "ai.onnx"}:
                raise ModelFileError(
                    f"{self._name}: the operator {node.op_type} has no gradient here. Use "
                    "OcclusionSaliency, which needs predictions only."
                )
            step = Step(node, upstream, [one in self.dependent for one in node.input])
            for tensor, part in zip(node.input, rule(self, step), strict=False):
                if part is not None and tensor in self.dependent:
                    parts[tensor].append(part)
        return self._sum(parts[self._wrt])

    def _sum(self, parts: list[str]) -> str:
        if len(parts) > 1:
            total = self.add("Sum", *parts) if len(parts) > 2 else self.add("Add", *parts)
            parts[:] = [total]
        return parts[0]

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
        return self.graph.constant(np.asarray(value, dtype))

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
        full, own = self.shape(result), self.shape(operand)
        if full == own:
            return tensor
        missing = len(full) - len(own)
        axes = [*range(missing)]
        axes += [
            missing + axis
            for axis, size in enumerate(own)
            if size == 1 and full[missing + axis] != 1
        ]
        if axes:
            tensor = self.add("ReduceSum", tensor, self.constant(axes, np.int64), keepdims=1)
        return self.shaped_like(tensor, operand) if missing else tensor


Rule = Callable[[AdjointBuilder, Step], Parts]
"""What adds the gradients of a node's inputs."""


def _probe(model: onnx.ModelProto, name: str) -> dict[str, NDArray[Any]]:
    """Run a graph on black images, and give every tensor."""
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    pixels = np.zeros((_N_PROBES, *sizes[1:]), np.float32)
    names = [one for node in model.graph.node for one in node.output if one]
    session = make_session(expose_tensors(model, names).SerializeToString(), name)
    try:
        found = session.run(None, {"pixels": pixels})
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ModelFileError(f"{name} fails on two images: {error}") from error
    return {"pixels": pixels, **dict(zip(names, found, strict=True))}
