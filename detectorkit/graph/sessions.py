"""Sessions of onnxruntime: the only place where they are made."""

from __future__ import annotations

from typing import Any

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.dynamic import has_operator

__all__ = ["first_line", "make_session"]


def make_session(content: bytes, name: str, *, n_threads: int = 1) -> Any:
    """Make a session of onnxruntime that runs a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # exceptions report the faults
    options.intra_op_num_threads = n_threads
    # Without VNNI, the fast sum of 8-bit products overflows, and CLIP's output is noise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    is_stored = has_operator(content, "DequantizeLinear")
    if is_stored and not has_operator(content, "QuantizeLinear"):
        # Weights that are only stored in few bits are unpacked once. Otherwise products with them
        # would round the activations to 8 bits, too.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions have no public base class.
        raise ModelFileError(
            f"{name} is not an ONNX model that can be run: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of the message of an exception."""
    return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
