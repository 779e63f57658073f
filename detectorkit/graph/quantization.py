"""Quantisation of networks: smaller files, faster convolutions."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from detectorkit.graph.record import RECORD_KEY

__all__ = ["QUANTIZATIONS", "Quantization", "halve_weights", "quantize_model"]

Quantization = Literal["float16", "static", "dynamic"]
QUANTIZATIONS: Final[tuple[Quantization, ...]] = ("float16", "static", "dynamic")

_LOCK: Final = threading.Lock()
_SMALL: Final = 1024  # tensors with fewer numbers are not worth halving


class _Reader:
    """Reader that passes images to onnxruntime one by one."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._rows = iter(pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        row = next(self._rows, None)
        return None if row is None else {"pixels": row[np.newaxis]}


def quantize_model(content: bytes, how: Quantization, pixels: NDArray[np.uint8]) -> bytes:
    """Store the network of a detector in fewer bits.

    Notes
    -----
    Weights have 7 bits and a scale for each channel, because sums of 8-bit products overflow on
    processors without VNNI. The scaling before the network and the score after it stay floats.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    model = onnx.load_model_from_string(content)
    if how == "float16":
        halve_weights(model)
        halved: bytes = model.SerializeToString()
        return halved
    ours = [node.name for node in model.graph.node if not node.name.startswith("network/")]
    with tempfile.TemporaryDirectory() as folder, _own_logger():
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(model, source)
        common: dict[str, Any] = {
            "per_channel": True,
            "reduce_range": True,
            "weight_type": QuantType.QInt8,
        }
        if how == "dynamic":
            kinds = {"op_types_to_quantize": ["MatMul", "Gemm"], "nodes_to_exclude": ours}
            quantize_dynamic(source, target, **kinds, **common)
        else:
            quantize_static(
                source,
                target,
                _Reader(pixels),
                calibrate_method=CalibrationMethod.MinMax,
                activation_type=QuantType.QUInt8,
                nodes_to_exclude=ours,
                **common,
            )
        quantized = onnx.load(target)
    record = {p.key: p.value for p in model.metadata_props}[RECORD_KEY]
    helper.set_model_props(quantized, {RECORD_KEY: record})
    result: bytes = quantized.SerializeToString()
    return result


def halve_weights(model: onnx.ModelProto) -> None:
    """Store large weights as 16-bit floats, which are widened when the model is loaded."""
    kept, casts = [], []
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.size >= _SMALL:
            name = f"{tensor.name}/half"
            kept.append(numpy_helper.from_array(value.astype(np.float16), name))
            casts.append(helper.make_node("Cast", [name], [tensor.name], name, to=1))
        else:
            kept.append(tensor)
    nodes = [*casts, *model.graph.node]
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del field[:]
        field.extend(values)


@contextmanager
def _own_logger() -> Iterator[None]:
    """Redirect the log of onnxruntime's quantisation to its own logger, without its advice.

    Otherwise it writes to the root logger, which gets a handler by that, for good.
    """
    package = "onnxruntime.quantization"
    logger: Any = logging.getLogger(package)
    with _LOCK:
        modules = [
            module
            for name, module in sys.modules.items()
            if name.startswith(package) and getattr(module, "logging", None) is logging
        ]
        logger.addFilter(_is_no_advice)
        try:
            for module in modules:
                vars(module)["logging"] = logger
            yield
        finally:
            for module in modules:
                vars(module)["logging"] = logging
            logger.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Return whether a message is something else than onnxruntime's advice on preprocessing."""
    message = record.getMessage()
    return not ("pre-processing before quantization" in message or "out-of-range" in message)
