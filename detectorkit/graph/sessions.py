"""Sessions of onnxruntime: the only place where they are made, and where models are limited.

A model may come from anywhere. Its loops may never end, and its tensors may be larger than the
memory. So loading and every run have a time limit, and all sessions together a memory limit.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from os import PathLike, fspath
from typing import Any, Final

from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.checks import check_model
from detectorkit.graph.dynamic import has_operator
from detectorkit.utils.files import read_regular
from detectorkit.utils.time_limit import call_within

__all__ = ["MAX_BYTES", "Session", "make_session", "read_model_file"]

MAX_BYTES: Final = 2**31 - 1  # of a file; protobuf reads no more
MAX_MEMORY: Final = 8 * 2**30  # bytes of the tensors of all sessions together
MAX_CONSTANT: Final = 2**30  # bytes of each tensor that is computed while a model is loaded
LOAD_SECONDS: Final = 60.0
RUN_SECONDS: Final = 60.0
ROW_SECONDS: Final = 10.0  # more for each image in a run


class Session:
    """A session of onnxruntime whose runs end after a time limit, with an error of ours."""

    def __init__(self, session: Any, name: str) -> None:
        self._session = session
        self.name = name
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs
        self.get_modelmeta = session.get_modelmeta

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Compute some outputs, or all."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        n_rows = max((len(one) for one in inputs.values() if one.ndim), default=1)
        try:
            found: list[Any] = call_within(
                RUN_SECONDS + ROW_SECONDS * n_rows,
                lambda: self._session.run(outputs, inputs, options),
                stop=lambda: setattr(options, "terminate", True),
            )
        except Exception as error:  # onnxruntime's exceptions have no public base class
            raise ModelFileError(f"{self.name} cannot be run: {_first_line(error)}") from error
        return found


def make_session(content: bytes, name: str, *, n_threads: int = 1) -> Session:
    """Make a session of onnxruntime that runs a graph."""
    import onnxruntime

    check_model(content, name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # exceptions report the faults
    options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.load_model_format", "ONNX")  # no other is checked
    # Without VNNI, the fast sum of 8-bit products overflows, and CLIP's output is noise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    is_stored = has_operator(content, "DequantizeLinear")
    if is_stored and not has_operator(content, "QuantizeLinear"):
        # Weights that are only stored in few bits are unpacked once. Otherwise products with them
        # would round the activations to 8 bits, too.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    most = "optimization.constant_folding_max_output_size_in_bytes"
    options.add_session_config_entry(most, str(MAX_CONSTANT))
    _limit_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return call_within(
            LOAD_SECONDS,
            lambda: Session(_load(content, options), name),
            stop=lambda: _cancel_loading(options),
        )
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ModelFileError(
            f"{name} is not an ONNX model that can be run: {_first_line(error)}"
        ) from error


def _load(content: bytes, options: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], enable_fallback=False
    )
    # What is no UTF-8 is an error here, not where it is read.
    _ = session.get_modelmeta().custom_metadata_map
    _ = [(one.name, one.shape) for one in (*session.get_inputs(), *session.get_outputs())]
    return session


def read_model_file(path: str | PathLike[str]) -> bytes:
    """Read the ONNX file of a detector or of a backbone."""
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EFBIG}:
            raise
        raise ModelFileError(f"{fspath(path)} is not an ONNX model: {error.strerror}.") from error


@cache
def _limit_memory() -> None:
    """Limit the memory of all sessions that use the allocator of the process."""
    import onnxruntime as ort

    place = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    with suppress(Exception):  # the program around us has registered its own allocator
        ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": MAX_MEMORY}))


def _cancel_loading(options: Any) -> None:
    with suppress(AttributeError):  # older than onnxruntime 1.21
        options.set_load_cancellation_flag(True)


def _first_line(error: Exception) -> str:
    """Return the first line of the message of an exception."""
    return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
