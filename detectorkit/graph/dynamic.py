"""Search in the bytes of a model, which is quicker than to parse it.

Above all for graphs in which the score of an image depends on the other images of the run: dynamic
quantisation measures the range of a whole tensor, over all images of a run, and rounds
by it. So the score of an image changes with its neighbours, unless it is run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["has_functions", "has_operator", "is_dynamic", "may_contain"]

_OPERATORS: Final = (
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantizeMatMul",  # onnxruntime's own operators
    "DynamicQuantizeLSTM",
    "MatMulIntegerToFloat",
)
_OP_TYPE: Final = 0x22  # how protobuf begins the field `op_type` of a node
_GRAPH, _FUNCTION = 7, 25  # fields of ModelProto
_INITIALIZER, _RAW_DATA = 5, 9  # fields of GraphProto, of TensorProto
_FIXED: Final = {1: 8, 5: 4}  # bytes of numbers of fixed length, by protobuf's wire type
_END_OF_KEYS: Final = 1 << 32
_MOST_FIELDS: Final = 1_000_000  # which take a second
_SMALL: Final = 8192  # bytes of a weight that is searched as it is, which is quicker


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
    return may_contain(
        content, *(bytes([_OP_TYPE, len(name)]) + name.encode() for name in operators)
    )


def has_functions(content: bytes) -> bool:
    """Return whether a model has functions of its own; True if in doubt."""
    try:
        parts = _fields(content, 0, len(content), iter(range(_MOST_FIELDS)))
        return any(number == _FUNCTION for number, _, _ in parts)
    except LookupError:
        return True


def may_contain(content: bytes, *texts: bytes) -> bool:
    """Return whether a model has any of some bytes outside the values of its large weights."""
    try:
        parts = list(_find_code(content))
    except LookupError:  # not as exporters write it, so nothing is left out
        parts = [(0, len(content))]
    return any(content.find(text, begin, end) >= 0 for begin, end in parts for text in texts)


def _find_code(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each part that is not the values of a large weight."""
    budget = iter(range(_MOST_FIELDS))
    for number, begin, end in _fields(content, 0, len(content), budget):
        if number != _GRAPH:
            yield begin, end
            continue
        for kind, first, last in _fields(content, begin, end, budget):
            if kind != _INITIALIZER or last - first < _SMALL:
                yield first, last
                continue
            inside = _fields(content, first, last, budget)
            yield from ((b, e) for field, b, e in inside if field != _RAW_DATA)


def _fields(
    content: bytes, start: int, stop: int, budget: Iterator[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field with a length."""
    while start < stop:
        if next(budget, None) is None:
            raise LookupError("too many fields")
        key, start = _varint(content, start)
        if key >= _END_OF_KEYS:
            raise LookupError("a key that protobuf cuts")
        if key & 7 == 2:
            length, start = _varint(content, start)
            yield key >> 3, start, start + length
            start += length
        elif key & 7 == 0:
            _, start = _varint(content, start)
        else:
            start += _FIXED[key & 7]


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """Return a variable-length integer of protobuf, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[start]
        value |= (byte & 127) << shift
        start += 1
        if byte < 128:
            return value, start
    raise LookupError("a number of more than 10 bytes")
