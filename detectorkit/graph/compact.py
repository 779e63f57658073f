"""Storage of the weights of a network in 4 or 8 bits, with products of float32.

Matrices of 4 bits have a scale for each block of inputs and each output, and are multiplied by
onnxruntime's operator `MatMulNBits`, which unpacks them block by block into float32. Matrices of 8
bits have a scale for each output, and are unpacked once, when the file is loaded. All other large
weights become 16-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit.graph.exact import replace_nodes
from detectorkit.graph.quantization import halve_weights

__all__ = [
    "PackedMatrix",
    "constant_matrices",
    "is_worth_packing",
    "pack_weights",
    "read_packed",
    "round_to_nearest",
]

_DOMAIN: Final = "com.microsoft"
_FLOAT_PRODUCTS: Final = 1  # the accuracy level that computes with float32
_SMALLEST: Final = 1024  # matrices with fewer numbers are not packed


@dataclass(frozen=True)
class PackedMatrix:
    """Matrix of weights in few bits: ``(levels - zeros) * scales``, by blocks of inputs.

    Attributes
    ----------
    levels : ndarray of shape (n_inputs, n_outputs), dtype uint8
        Whole numbers from 0 to ``2 ** bits - 1``.
    scales : ndarray of shape (n_blocks, n_outputs), dtype float16
        Scale of each block of ``n_inputs / n_blocks`` inputs. With 8 bits there is one block.
    zeros : ndarray of shape (n_blocks, n_outputs), dtype uint8, default=None
        Levels that mean 0. None means ``2 ** (bits - 1)``.
    bits : {4, 8}, default=4
        Number of bits of each weight.
    """

    levels: NDArray[np.uint8]
    scales: NDArray[np.float16]
    zeros: NDArray[np.uint8] | None = None
    bits: int = 4

    @property
    def block_size(self) -> int:
        """Number of inputs in a block."""
        return len(self.levels) // len(self.scales)

    def unpack(self) -> NDArray[np.float32]:
        """Return the matrix of weights.

        Returns
        -------
        weights : ndarray of shape (n_inputs, n_outputs), dtype float32
            Matrix by which the network multiplies.
        """
        zeros = np.float32(2 ** (self.bits - 1)) if self.zeros is None else self._spread(self.zeros)
        weights: NDArray[np.float32] = (self.levels - zeros) * self._spread(self.scales)
        return weights

    def _spread(self, by_block: NDArray[Any]) -> NDArray[np.float32]:
        """Repeat the values of blocks for each of their inputs."""
        return np.repeat(by_block.astype(np.float32), self.block_size, axis=0)


def round_to_nearest(weights: NDArray[Any], bits: int = 4, block_size: int = 64) -> PackedMatrix:
    """Round each weight of a matrix to the nearest level of its block.

    Parameters
    ----------
    weights : ndarray of shape (n_inputs, n_outputs)
        Matrix to round.
    bits : {4, 8}, default=4
        Number of bits of each weight. With 8 bits, all inputs are one block.
    block_size : int, default=64
        Number of inputs in a block; it must divide the number of inputs.

    Returns
    -------
    matrix : PackedMatrix
        Rounded matrix. The largest weight of each block is its lowest level exactly, up to the
        rounding of the scale to 16 bits.
    """
    n_inputs, n_outputs = weights.shape
    size = n_inputs if bits == 8 else block_size
    blocks = weights.astype(np.float32).reshape(-1, size, n_outputs)
    place = np.abs(blocks).argmax(axis=1)[:, np.newaxis]
    largest = np.take_along_axis(blocks, place, axis=1)[:, 0]
    half = 2 ** (bits - 1)
    scales = (largest / -half).astype(np.float16)
    step = scales.astype(np.float32)[:, np.newaxis]
    levels = np.round(np.divide(blocks, step, out=np.zeros_like(blocks), where=step != 0)) + half
    kept = np.clip(levels, 0, 2 * half - 1).astype(np.uint8).reshape(weights.shape)
    return PackedMatrix(kept, scales, bits=bits)


def pack_weights(
    model: onnx.ModelProto,
    matrices: Mapping[str, PackedMatrix] | None = None,
    *,
    bits: int = 4,
    block_size: int = 64,
) -> onnx.ModelProto:
    """Copy a network and store its weights in few bits; arithmetic stays float32.

    Parameters
    ----------
    model : onnx.ModelProto
        Network whose products have constant matrices of float32, or such as `make_exact` returns.
    matrices : mapping of str to PackedMatrix, default=None
        Rounded matrices, by the names of their MatMul nodes. What is not in it is rounded by
        `round_to_nearest`.
    bits : {4, 8}, default=4
        Number of bits of the weights that are rounded here.
    block_size : int, default=64
        Number of inputs in a block of the weights that are rounded here: 16, 32, 64, 128 or 256.

    Returns
    -------
    packed : onnx.ModelProto
        Network with the same inputs and outputs.

    Raises
    ------
    ValueError
        If a name in `matrices` is not that of a MatMul node with constant weights of this shape.
    """
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    rest = dict(matrices or {})
    new, constants = {}, []
    for node, weights in constant_matrices(packed):
        matrix = rest.pop(node.name, None)
        if matrix is None:
            if not is_worth_packing(weights, bits, block_size):
                continue
            matrix = round_to_nearest(weights, bits, block_size)
        if matrix.levels.shape != weights.shape:
            raise ValueError(
                f"pack_weights: matrices[{node.name!r}] has the shape {matrix.levels.shape}, but "
                f"the weights of this node have {weights.shape}."
            )
        new[node.output[0]], tensors = _multiply(node, matrix)
        constants += tensors
    if rest:
        raise ValueError(
            f"pack_weights: matrices has the names {sorted(rest)[:3]}, which are not MatMul nodes "
            f"with constant weights. Use names of the {len(new)} nodes such as {[*new][:1]}."
        )
    replace_nodes(packed, new, constants)
    halve_weights(packed)
    if all(one.domain != _DOMAIN for one in packed.opset_import):
        packed.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return packed


def constant_matrices(
    model: onnx.ModelProto,
) -> Iterator[tuple[onnx.NodeProto, NDArray[np.float32]]]:
    """Yield the MatMul nodes of a network that have constant weights, and these."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {one: node for node in model.graph.node for one in node.output}
    for node in model.graph.node:
        weights = _read_weights(node, values, makers)
        if weights is not None:
            yield node, weights


def is_worth_packing(weights: NDArray[Any], bits: int, block_size: int) -> bool:
    """Return whether a matrix is large enough for few bits, and has whole blocks."""
    return weights.size >= _SMALLEST and (bits == 8 or len(weights) % block_size == 0)


def _read_weights(
    node: onnx.NodeProto, values: dict[str, NDArray[Any]], makers: dict[str, onnx.NodeProto]
) -> NDArray[np.float32] | None:
    """Return the constant matrix of a MatMul node, or None."""
    if node.op_type != "MatMul":
        return None
    weights = values.get(node.input[1])
    maker = makers.get(node.input[1])
    if maker is not None and all(one in values for one in maker.input):
        stored = values[maker.input[0]].astype(np.float32)
        if maker.op_type == "Cast":
            weights = stored
        elif maker.op_type == "DequantizeLinear" and len(maker.input) == 3:  # by output, see exact
            weights = (stored - values[maker.input[2]].astype(np.float32)) * values[maker.input[1]]
    return None if weights is None or weights.ndim != 2 else weights


def _multiply(
    node: onnx.NodeProto, matrix: PackedMatrix
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes and constants that multiply by a packed matrix."""
    result = node.output[0]
    levels, half, scales, zeros = (
        f"{result}/packed-{part}" for part in ("levels", "half", "scales", "zeros")
    )
    widen = helper.make_node("Cast", [half], [scales], scales, to=onnx.TensorProto.FLOAT)
    if matrix.bits == 8:
        zero = np.full(matrix.scales.shape, 128, np.uint8) if matrix.zeros is None else matrix.zeros
        constants = {levels: matrix.levels, half: matrix.scales[0], zeros: zero[0]}
        weights = f"{result}/packed"
        nodes = [
            widen,
            helper.make_node(
                "DequantizeLinear", [levels, scales, zeros], [weights], weights, axis=1
            ),
            helper.make_node("MatMul", [node.input[0], weights], [result], node.name),
        ]
    else:
        n_inputs, n_outputs = matrix.levels.shape
        blocks = matrix.levels.T.reshape(n_outputs, -1, matrix.block_size)
        constants = {levels: _pairs(blocks), half: matrix.scales.T.reshape(-1)}
        inputs = [node.input[0], levels, scales]
        if matrix.zeros is not None:
            constants[zeros] = _pairs(matrix.zeros.T).reshape(-1)
            inputs.append(zeros)
        product = helper.make_node(
            "MatMulNBits",
            inputs,
            [result],
            node.name,
            domain=_DOMAIN,
            K=n_inputs,
            N=n_outputs,
            bits=4,
            block_size=matrix.block_size,
            accuracy_level=_FLOAT_PRODUCTS,
        )
        nodes = [widen, product]
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
    ]
    return nodes, tensors


def _pairs(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Store two levels in each byte along the last axis, the first in its low bits."""
    even: NDArray[Any] = np.pad(levels, [(0, 0)] * (levels.ndim - 1) + [(0, levels.shape[-1] % 2)])
    joined: NDArray[np.uint8] = even[..., ::2] | (even[..., 1::2] << 4)
    return joined


def read_packed(
    stored: NDArray[np.uint8], scales: NDArray[Any], zeros: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.uint8]]:
    """Return levels of shape (n, block size), scales and zeros of all blocks of `MatMulNBits`."""
    n_outputs, n_blocks, _ = stored.shape
    levels = _singles(stored).reshape(n_outputs * n_blocks, -1)
    if zeros is None:
        return levels, scales.reshape(-1), np.full(len(levels), 8, np.uint8)
    each = _singles(zeros.reshape(n_outputs, -1))[:, :n_blocks]
    return levels, scales.reshape(-1), each.reshape(-1)


def _singles(pairs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo `_pairs`."""
    return np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*pairs.shape[:-1], -1)
