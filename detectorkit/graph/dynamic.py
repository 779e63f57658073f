"""Find graphs in which what is computed of an image depends on the others of the same run.

Dynamic quantisation measures the range of a whole tensor, with all images of a run in it, and
rounds by that. So the score of an image changes with its neighbours, unless it is run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["is_dynamic"]

_OPERATORS: Final = (
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantizeMatMul",  # those of onnxruntime's own
    "DynamicQuantizeLSTM",
    "MatMulIntegerToFloat",
)
_OP_TYPE: Final = 0x22  # how protobuf begins the field `op_type` of a node
_WRITTEN: Final = [bytes([_OP_TYPE, len(name)]) + name.encode() for name in _OPERATORS]
_GRAPH, _FUNCTION, _INITIALIZER = 7, 25, 5  # numbers of fields of ModelProto and of GraphProto
_FIXED: Final = {1: 8, 5: 4}  # bytes of numbers of fixed length, by protobuf's wire type


def is_dynamic(content: bytes) -> bool:
    """Say whether a graph is quantised dynamically.

    Parameters
    ----------
    content : bytes
        The content of an ONNX file, which was read as such before.

    Returns
    -------
    is_dynamic : bool
        Whether it has operators whose ranges are measured in each run, also in a subgraph or a
        function.

    Notes
    -----
    The operators' names are searched for as protobuf writes them, in all but the weights. That
    takes a millisecond; the package onnx would take longer to be imported alone.
    """
    try:
        return any(
            content.find(written, begin, end) >= 0
            for begin, end in _find_code(content)
            for written in _WRITTEN
        )
    except IndexError:  # onnxruntime read it, but not as protobuf: alone is always right
        return True


def _find_code(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of all that is neither weights nor metadata."""
    for number, begin, end in _fields(content, 0, len(content)):
        if number == _FUNCTION:
            yield begin, end
        elif number == _GRAPH:
            inside = _fields(content, begin, end)
            yield from ((b, e) for kind, b, e in inside if kind != _INITIALIZER)


def _fields(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field that says its length."""
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
    """Read a number of protobuf's; say where it ends."""
    value = shift = 0
    while True:
        byte = content[start]
        value |= (byte & 127) << shift
        start, shift = start + 1, shift + 7
        if byte < 128:
            return value, start
