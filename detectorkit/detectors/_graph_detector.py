"""Detectors that are an ONNX graph with its record: how it is run, kept and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from detectorkit.base import BaseImageDetector
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.images import ImageSequence, concatenate_batches, iter_slices, map_batches

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphDetector", "make_session"]

_RUN_SIZE = 4  # images in one run of the graph; its intermediate results then fit into a cache
_NETWORK_BATCH = 8  # a network takes long enough for each to keep all cores busy to the end


class GraphDetector(BaseImageDetector):
    """Base of the detectors that predict by running an ONNX graph.

    Attributes
    ----------
    onnx_model_ : bytes
        The content of an ONNX file: the graph and its record.
    record_ : ModelRecord
        What the model says of itself: preprocessing, features, training.
    """

    onnx_model_: bytes
    record_: ModelRecord
    n_jobs: int | None

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score the images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Higher means "generated"; `predict` cuts at `threshold_`.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        """
        check_is_fitted(self)
        return self._score(self._validate_images(X, reset=False))

    def to_onnx(self) -> onnx.ModelProto:
        """Give the model, with threshold and calibration as they are now.

        Returns
        -------
        model : onnx.ModelProto
            From "pixels" to "score" and "probability".
        """
        from dataclasses import replace  # noqa: PLC0415 - only wanted where onnx is

        from onnx import load_model_from_string  # noqa: PLC0415 - costs import time

        from detectorkit.graph.builder import revise_model  # noqa: PLC0415 - imports onnx

        check_is_fitted(self)
        model = load_model_from_string(self.onnx_model_)
        record = replace(
            self.record_,
            classes=self.classes_.tolist(),
            threshold=float(self.threshold_),
            calibration=self.calibration_,
            training=getattr(self, "training_summary_", self.record_.training),
        )
        return revise_model(model, record)

    def _adopt(self, content: bytes, name: str) -> None:
        """Take a model over, with all that its record says."""
        session = make_session(content, name)
        text = session.get_modelmeta().custom_metadata_map.get(RECORD_KEY)
        if text is None:
            raise ModelFileError(
                f"{name} has no detectorkit record, so how to prepare images for it is unknown. "
                "Use a file that `save` or `detectorkit train` wrote, or say how by "
                "`preprocessing`."
            )
        record = ModelRecord.from_json(text)
        self._stack = None  # what computes features, where the graph begins with these
        if session.get_inputs()[0].name == "features":
            from detectorkit.features.stack import FeatureStack  # noqa: PLC0415 - few graphs need it

            self._stack = FeatureStack.from_record(record.features)
        elif record.preprocessing.image_size is None:
            raise ModelFileError(f"{name}: the record is damaged; it lacks the size of the pixels.")
        self.record_ = record
        self.onnx_model_ = content
        self._sessions = {(1, np.dtype(np.uint8)): session}
        self.classes_ = np.array(record.classes)
        self.threshold_ = record.threshold
        self.calibration_ = record.calibration

    def _score(self, images: ImageSequence) -> NDArray[np.float64]:
        """Score images, by as many threads as `n_jobs` says."""
        is_network = self._stack is None and not self.record_.features
        n_jobs, self._n_threads = self.n_jobs, 1
        if is_network and len(images) <= _NETWORK_BATCH:
            # Too few to share among callers: the threads work on one image together.
            from joblib import effective_n_jobs  # noqa: PLC0415 - late: joblib costs import time

            n_jobs, self._n_threads = 1, effective_n_jobs(self.n_jobs)
        size = {"batch_size": _NETWORK_BATCH} if is_network else {}
        preprocessing = self.record_.preprocessing
        batches = map_batches(self._run, images, preprocessing, n_jobs=n_jobs, **size)
        return concatenate_batches(batches, len(images)).astype(np.float64)

    def _run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Score images that were read together."""
        if self._stack is not None:
            session = self._get_session(np.dtype(np.uint8))
            rows = self._stack.describe(batch, session.get_inputs()[0].shape[1])
            scores: NDArray[np.float32] = session.run(["score"], {"features": rows})[0]
            return scores
        n_images, pixels = len(batch), batch
        if self.record_.preprocessing.n_crops is not None:
            pixels = batch.reshape(-1, *batch.shape[2:])
        session = self._get_session(pixels.dtype)
        if pixels.dtype != np.uint8:
            pixels = pixels * np.float32(255)
        parts = [
            session.run(["score"], {"pixels": pixels[part]})[0]
            for part in iter_slices(len(pixels), self.record_.run_size or _RUN_SIZE)
        ]
        mean: NDArray[np.float32] = np.concatenate(parts).reshape(n_images, -1).mean(axis=1)
        return mean

    def _get_session(self, dtype: np.dtype[Any]) -> Any:
        # Sessions can't be pickled, so copies make their own when they first need one.
        if getattr(self, "_sessions", None) is None:
            self._sessions = {}
        key = (getattr(self, "_n_threads", 1), dtype)
        if key not in self._sessions:
            content = self.onnx_model_ if dtype == np.uint8 else _with_float_pixels(self.onnx_model_)
            self._sessions[key] = make_session(content, "model", n_threads=key[0])
        return self._sessions[key]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_sessions"}


def _with_float_pixels(content: bytes) -> bytes:
    """Let a graph take floats, for rows of numbers that are no levels any more."""
    from onnx import TensorProto, load_model_from_string  # noqa: PLC0415 - costs import time

    model = load_model_from_string(content)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    changed: bytes = model.SerializeToString()
    return changed


def make_session(content: bytes, name: str, *, n_threads: int = 1) -> Any:
    """Prepare a graph for running.

    Parameters
    ----------
    content : bytes
        The content of an ONNX file.
    name : str
        What error messages call it.
    n_threads : int, default=1
        Threads that work on one run together.

    Returns
    -------
    session : onnxruntime.InferenceSession
        On the CPU.

    Raises
    ------
    ModelFileError
        If it is no ONNX model, or onnxruntime cannot run it.
    """
    import onnxruntime  # noqa: PLC0415 - late: it costs import time

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is said by the exception
    options.intra_op_num_threads = n_threads
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions have no public base class.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelFileError(f"{name} is no ONNX model that can be run: {reason}") from error
