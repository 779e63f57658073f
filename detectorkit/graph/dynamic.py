"""Detection of graphs in which the score of an image depends on the other images of the run.

Dynamic quantisation measures the range of a whole tensor, over all images of a run, and rounds by
it. So the score of an image changes with its neighbours, unless it is run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["has_operator", "is_dynamic"]

_OPERATORS: Final = (
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantizeMatMul",  # onnxruntime's own operators
    "DynamicQuantizeLSTM",
    "MatMulIntegerToFloat",
)
_OP_TYPE: Final = 0x22  # how protobuf begins the field `op_type` of a node
_GRAPH, _FUNCTION, _INITIALIZER = 7, 25, 5  # numbers of fields of ModelProto and of GraphProto
_FIXED: Final = {1: 8, 5: 4}  # bytes of numbers of fixed length, by protobuf's wire type


def is_dynamic(content: bytes) -> bool:
    """Return whether a graph is quantised dynamically."""
    return has_operator(content, *_OPERATORS)


def has_operator(content: bytes, *operators: str) -> bool:
    """Return whether a graph has any of some operators.

    Notes
    -----
    The operators' names are searched for as protobuf writes them, outside the weights. That takes a
    millisecond, less than an import of the package onnx.
    """
    written = [bytes([_OP_TYPE, len(name)]) + name.encode() for name in operators]
    try:
        return any(
            content.find(one, begin, end) >= 0
            for begin, end in _find_code(content)
            for one in written
        )
    except IndexError:  # onnxruntime's own format, of which nothing is known
        return True


def _find_code(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each part that is neither weights nor metadata."""
    for number, begin, end in _fields(content, 0, len(content)):
        if number == _FUNCTION:
            yield begin, end
        elif number == _GRAPH:
            inside = _fields(content, begin, end)
            yield from ((b, e) for kind, b, e in inside if kind != _INITIALIZER)


def _fields(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field with a length."""
    while start < stop:
        key, start = _varint(content, start)
        if key & 7 == 2:
            length, start = _varint(content, start)
            yield key >> 3, start, start + length
            start += length
        elif key & 7 == 0:
            _, start = _varint(content, start)
        else:
            start += _FIXED.get(key & 7, stop)


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """Return a variable-length integer of protobuf, and the place after it."""
    value = shift = 0
    while True:
        byte = content[start]
        value |= (byte & 127) << shift
        start, shift = start + 1, shift + 7
        if byte < 128:
            return value, start
