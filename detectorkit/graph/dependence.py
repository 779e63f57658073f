"""Dependence of the tensors of a graph on the pixels: in values, shapes and derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

__all__ = ["Dependence", "is_standard", "needed_nodes", "read_by"]

FLAT: Final = frozenset(
    [
        "And",
        "ArgMax",
        "ArgMin",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Ceil",
        "ConstantOfShape",
        "Equal",
        "EyeLike",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Hardmax",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "NonMaxSuppression",
        "NonZero",
        "Not",
        "Or",
        "RandomNormalLike",
        "RandomUniformLike",
        "Round",
        "Shape",
        "Sign",
        "Size",
        "Xor",
    ]
)
"""Operators whose derivative is 0 wherever it exists."""

_ROUNDING: Final = {"DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear", "ConvInteger"}
_RANDOM: Final = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
_SHAPING: Final[dict[str, tuple[int, ...]]] = {
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "Compress": (0, 1),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "If": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "NonMaxSuppression": (0, 1, 2, 3, 4),
    "NonZero": (0,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unique": (0,),
    "Upsample": (1,),
}
"""Places of the inputs on whose values the shape of an output depends."""


def is_standard(node: onnx.NodeProto) -> bool:
    """Return whether the operator of a node is one of ONNX's own."""
    return node.domain in {"", "ai.onnx"}


def read_by(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tensors that a node reads, also inside its subgraphs."""
    inputs = node.input[:1] if node.op_type == "CastLike" else node.input  # the other is a type
    names = {name for name in inputs if name}
    for graph in _subgraphs(node):
        inside = {one.name for one in (*graph.input, *graph.initializer)}
        inside.update(name for one in graph.node for name in one.output)
        used = {one.name for one in graph.output}.union(*map(read_by, graph.node))
        names |= used - inside
    return names


def needed_nodes(
    nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that some tensors need, in order, and all tensors that are then used."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):  # nodes are in the order of computation
        if wanted & set(node.output):
            wanted |= read_by(node)
            kept.append(node)
    return kept[::-1], wanted


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for one in node.attribute:
        if one.type == onnx.AttributeProto.GRAPH:
            yield one.g
        yield from one.graphs


class Dependence:
    """Dependence of tensors on the pixels, or on a tensor between pixels and score.

    Attributes
    ----------
    varying : set of str
        Tensors whose values change with the pixels or at random. All others are determined by the
        number of images.
    elastic : dict of str to onnx.NodeProto
        Tensors whose shapes change with the pixels, with the node that causes it.
    dependent : set of str
        Tensors that have, or may have, a gradient with respect to `wrt`.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        wrt: str = "pixels",
        probes: Mapping[str, NDArray[Any]] | None = None,
        rules: Any = (),
    ) -> None:
        self.varying, self.dependent = {"pixels", wrt}, {wrt}
        self.elastic: dict[str, onnx.NodeProto] = {}
        self._probes, self._rules = probes or {}, rules
        for node in graph.node:
            self._follow(node)

    def _follow(self, node: onnx.NodeProto) -> None:
        outputs = [one for one in node.output if one]
        reads = read_by(node)
        is_of_shape = is_standard(node) and node.op_type in {"Shape", "Size"}
        changes = self.elastic.keys() if is_of_shape else self.varying
        if reads & changes or (is_standard(node) and node.op_type in _RANDOM):
            self.varying.update(outputs)
        origins = [self.elastic[one] for one in sorted(reads) if one in self.elastic]
        if origins or self._is_shaped_by_pixels(node):
            self.elastic.update(dict.fromkeys(outputs, origins[0] if origins else node))
        if reads & self.dependent:
            self.dependent.update(one for one in outputs if self._has_gradient(node, one))

    def _is_shaped_by_pixels(self, node: onnx.NodeProto) -> bool:
        if not is_standard(node):
            return False
        if node.op_type in {"Loop", "Scan"}:
            return bool(read_by(node) & self.varying)
        places = _SHAPING.get(node.op_type, ())
        return any(node.input[k] in self.varying for k in places if k < len(node.input))

    def _has_gradient(self, node: onnx.NodeProto, output: str) -> bool:
        """Return whether an output has a gradient, or may have one where its rule is unknown."""
        if not is_standard(node):
            return True
        if node.op_type in FLAT:
            return False
        if node.op_type == "DynamicQuantizeLinear":
            return output in node.output[:2]  # zero points are whole numbers
        if node.op_type in _ROUNDING or node.op_type not in self._rules:
            return True
        found = self._probes.get(output)
        return found is None or _is_float(found.dtype)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name.startswith(("float", "bfloat"))
