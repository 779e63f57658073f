"""Checks of models from anywhere, before onnxruntime sees them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.dynamic import has_functions, may_contain

__all__ = ["check_functions", "check_model", "find_parts"]

_LOCATION: Final = b"location"  # the entry without which no tensor can be in another file
_PICKLES: Final = (b"\x80", b"PK\x03\x04", b"\x78")  # torch writes zip, joblib zlib
_MOST_NODES: Final = 1_000_000  # a hundred times those of a large network


def check_model(content: bytes, name: str) -> None:
    """Check that a model is one file, and that its functions do not unfold without end.

    Of a tensor in another file, onnxruntime would read any file of the working directory.
    """
    if content.startswith(_PICKLES):
        raise ModelFileError(
            f"{name} is not an ONNX model: it looks like a file of pickle, joblib or torch. Such "
            "a file can run any code when it is opened, so detectorkit opens none. `detectorkit "
            "train`, or `save` of a detector, writes an ONNX file."
        )
    if not (has_functions(content) or may_contain(content, _LOCATION)):
        return
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise ModelFileError(f"{name} is not an ONNX model: it cannot be parsed.") from error
    check_functions(model, name)
    for tensor in find_parts(model, "TensorProto"):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelFileError(
                f"{name} keeps the tensor {tensor.name!r} in another file. A model must be one "
                "file: save it with its weights inside."
            )


def check_functions(model: Any, name: str) -> None:
    """Check that a model is not too large once each call of a function is replaced by its nodes."""
    bodies = {(one.domain, one.name, one.overload): one for one in model.functions}

    @cache
    def size(key: tuple[str, str, str]) -> int:
        return 1 + (unfold(bodies[key]) if key in bodies else 0)

    def unfold(part: Any) -> int:
        nodes = find_parts(part, "NodeProto")
        return sum(size((node.domain, node.op_type, node.overload)) for node in nodes)

    try:
        is_too_large = bool(bodies) and unfold(model) > _MOST_NODES
    except RecursionError:  # a function that calls itself
        is_too_large = True
    if is_too_large:
        raise ModelFileError(
            f"{name} has functions that call each other until there are more than {_MOST_NODES} "
            "nodes. Export it without functions."
        )


def find_parts(message: Any, kind: str) -> Iterator[Any]:
    """Yield all messages of a kind in one of protobuf: those of subgraphs and functions, too."""
    if message.DESCRIPTOR.name == kind:
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from find_parts(one, kind)
