"""Exact arithmetic for networks whose weights are stored in few bits.

A network that `quantize_dynamic` wrote rounds the activations of all images of a run by their
common range. Here its products become products of float32 with the stored weights, so that the
features of an image depend neither on its neighbours nor on the processor. The file stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit.graph.dependence import needed_nodes

__all__ = ["make_exact", "replace_nodes"]

_PRODUCTS: Final = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
_OUTPUT_AXIS: Final = {"MatMulInteger": 1, "ConvInteger": 0}  # has a scale for each entry


def make_exact(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a dynamically quantised graph and let it multiply floats by its stored weights.

    What `quantize_dynamic` writes for MatMul, Gemm and Conv is rewritten. All else stays.
    """
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    graph = exact.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {one: node for node in graph.node for one in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for one in node.input:
            readers[one].append(node)
    new: dict[str, list[onnx.NodeProto]] = {}
    constants: list[onnx.TensorProto] = []
    for node in graph.node:
        found = _find_product(node, values, makers, readers)
        if found is None:
            continue
        source, scale, result = found
        names = [f"{result}/{part}" for part in ("weights", "scale", "zero")]
        weights = values[node.input[1]]
        zero = values.get(node.input[3]) if len(node.input) > 3 else np.zeros(1, weights.dtype)
        scale, zero = np.broadcast_arrays(scale.reshape(-1), np.asarray(zero).reshape(-1))
        constants += [
            numpy_helper.from_array(np.ascontiguousarray(one), name)
            for one, name in zip((scale, zero), names[1:], strict=True)
        ]
        new[result] = [
            helper.make_node(
                "DequantizeLinear",
                [node.input[1], *names[1:]],
                names[:1],
                names[0],
                axis=_OUTPUT_AXIS[node.op_type],
            ),
            helper.make_node(
                _PRODUCTS[node.op_type], [source, names[0]], [result], node.name or result
            ),
        ]
        new[result][1].attribute.extend(node.attribute)
    replace_nodes(exact, new, constants)
    return exact


def _find_product(
    node: onnx.NodeProto,
    values: dict[str, NDArray[Any]],
    makers: dict[str, onnx.NodeProto],
    readers: dict[str, list[onnx.NodeProto]],
) -> tuple[str, NDArray[Any], str] | None:
    """Return the float input of an integer product, the scale of its weights, and its result."""
    rounding = makers.get(node.input[0]) if node.op_type in _PRODUCTS else None
    if rounding is None or rounding.op_type != "DynamicQuantizeLinear":
        return None
    if node.input[1] not in values or (len(node.input) > 3 and node.input[3] not in values):
        return None
    cast = readers[node.output[0]]
    last = readers[cast[0].output[0]] if len(cast) == 1 else []
    if len(last) != 1 or (cast[0].op_type, last[0].op_type) != ("Cast", "Mul"):
        return None
    factors = [makers.get(one) for one in last[0].input if one != cast[0].output[0]]
    if len(factors) != 1 or factors[0] is None or factors[0].op_type != "Mul":
        return None
    scales = [one for one in factors[0].input if one != rounding.output[1]]
    if len(scales) != 1 or scales[0] not in values:
        return None
    return rounding.input[0], values[scales[0]].astype(np.float32), last[0].output[0]


def replace_nodes(
    model: onnx.ModelProto,
    new: dict[str, list[onnx.NodeProto]],
    constants: Iterable[onnx.TensorProto] = (),
) -> None:
    """Put other nodes in the places of those that make some tensors; drop what is then unused."""
    graph = model.graph
    nodes = [made for node in graph.node for made in _of_first(node, new) or [node]]
    known = {one.name: one for one in (*graph.initializer, *constants)}
    nodes, wanted = needed_nodes(nodes, [one.name for one in graph.output])
    tensors = [tensor for name, tensor in known.items() if name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


def _of_first(
    node: onnx.NodeProto, new: dict[str, list[onnx.NodeProto]]
) -> list[onnx.NodeProto] | None:
    return next((new[one] for one in node.output if one in new), None)
