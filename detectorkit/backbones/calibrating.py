"""Rounding of all matrices of a network, one after another, by the inputs that they get.

A matrix has a level: the number of rounded matrices through which images pass before it. All
matrices of one level are rounded by their inputs, which the network that is already rounded
computes. Then the network is run on to the inputs of the next level, from tensors that were kept,
so that all its nodes are run once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from detectorkit.graph.compact import (
    PackedMatrix,
    constant_matrices,
    is_worth_packing,
    pack_weights,
)
from detectorkit.graph.dependence import needed_nodes, read_by
from detectorkit.graph.rounding import round_by_moments
from detectorkit.graph.sessions import make_session

__all__ = ["round_network"]

_Tensors = dict[str, NDArray[Any]]


def round_network(
    model: onnx.ModelProto,
    batches: Iterable[NDArray[np.float32]],
    *,
    bits: int = 4,
    block_size: int = 64,
    token_weight: float = 1.0,
    matrices: Mapping[str, PackedMatrix] | None = None,
) -> dict[str, PackedMatrix]:
    """Round the matrices of a network by `round_by_moments`, with the inputs that they get.

    Parameters
    ----------
    model : onnx.ModelProto
        Network whose products have constant matrices of float32, or such as `make_exact` returns.
    batches : iterable of ndarray of shape (n, n_channels, height, width), dtype float32
        Scaled images.
    bits : {4, 8}, default=4
        Number of bits of the weights.
    block_size : int, default=64
        Number of inputs that have a common scale in 4 bits.
    token_weight : float, default=1.0
        Weight of the first token in the second moments of a stream of tokens.
    matrices : mapping of str to PackedMatrix, default=None
        Matrices that were rounded elsewhere, by the names of their MatMul nodes.

    Returns
    -------
    rounded : dict of str to PackedMatrix
        All rounded matrices, by the names of their MatMul nodes, for `pack_weights`.
    """
    rounded = dict(matrices or {})
    names = {
        node.name
        for node, weights in constant_matrices(model)
        if node.name in rounded or (node.name and is_worth_packing(weights, bits, block_size))
    }
    start, outputs = _ends(model)
    levels = _find_levels(model, start, names)
    kept = [{start: batch} for batch in batches]
    for level in range(max(levels.values()) + 1):
        later = (node for node in model.graph.node if _level(node, levels) > level)
        needed = outputs.union(*map(read_by, later))
        part = _cut(model, levels, level, needed, kept[0])
        inside: dict[str, PackedMatrix] = {}
        moments: _Tensors = {}
        for node, weights in constant_matrices(part):
            name, taken = node.name, node.input[0]
            if name not in names or _level(node, levels) != level:
                continue
            if name not in rounded:
                if taken not in moments:
                    moments[taken] = _compute_moments((one[taken] for one in kept), token_weight)
                rounded[name] = round_by_moments(weights, moments[taken], bits, block_size)
            inside[name] = rounded[name]
        _run_on(pack_weights(part, inside, bits=bits, block_size=block_size), kept, needed)
    return rounded


def _ends(model: onnx.ModelProto) -> tuple[str, set[str]]:
    """Return the names of the input and of the outputs of a network."""
    known = {tensor.name for tensor in model.graph.initializer}
    start = next(one.name for one in model.graph.input if one.name not in known)
    return start, {one.name for one in model.graph.output}


def _find_levels(model: onnx.ModelProto, start: str, names: set[str]) -> dict[str, int]:
    """Return the number of rounded matrices before each tensor that outputs need of the images."""
    levels = {start: 0}
    for node in needed_nodes(model.graph.node, _ends(model)[1])[0]:
        before = [levels[one] for one in read_by(node) if one in levels]
        if before:
            is_rounded = node.op_type == "MatMul" and node.name in names
            levels.update(dict.fromkeys(node.output, max(before) + is_rounded))
    return levels


def _level(node: onnx.NodeProto, levels: dict[str, int]) -> int:
    """Return the level of what a node computes; -1 for what is the same for all images."""
    return levels.get(node.output[0], -1)


def _cut(
    model: onnx.ModelProto, levels: dict[str, int], level: int, needed: set[str], given: _Tensors
) -> onnx.ModelProto:
    """Return the part of a network from tensors that are given to those needed of one level."""
    made = [node for node in model.graph.node if _level(node, levels) in {-1, level}]
    outputs = [one for node in made for one in node.output if one in needed and one in levels]
    nodes, used = needed_nodes(made, outputs)
    graph = helper.make_graph(
        nodes,
        "part",
        [
            helper.make_tensor_value_info(one, helper.np_dtype_to_tensor_dtype(value.dtype), None)
            for one, value in given.items()
            if one in used
        ],
        [helper.make_empty_tensor_value_info(one) for one in outputs],
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    opsets = model.opset_import
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)


def _run_on(part: onnx.ModelProto, kept: list[_Tensors], needed: set[str]) -> None:
    """Compute the next tensors of each batch, and forget those that are not needed any more."""
    session = make_session(part.SerializeToString(), "A part of the backbone")
    names = [one.name for one in session.get_inputs()]
    outputs = [one.name for one in session.get_outputs()]
    for tensors in kept:
        found = session.run(outputs, {one: tensors[one] for one in names})
        tensors.update(zip(outputs, found, strict=True))
        for one in tensors.keys() - needed:
            del tensors[one]


def _compute_moments(batches: Iterable[NDArray[Any]], token_weight: float) -> NDArray[np.float64]:
    """Return the sum of the products of the rows of inputs, with a weight for the first token."""
    total: Any = 0.0
    for batch in batches:
        rows = batch.astype(np.float32)
        if rows.ndim == 3:  # a stream of tokens
            rows[:, 0] *= np.float32(np.sqrt(token_weight))
        rows = rows.reshape(-1, rows.shape[-1])
        total = total + (rows.T @ rows).astype(np.float64)
    moments: NDArray[np.float64] = total
    return moments
