"""Detectors that are an ONNX graph with its record: how it is run, kept and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from detectorkit.base import BaseImageDetector
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.sequence import ImageSequence

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphDetector"]


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
        from dataclasses import replace

        from onnx import load_model_from_string

        from detectorkit.graph.builder import revise_model

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
        self._runner = GraphRunner(content, name)
        self.onnx_model_ = content
        self.record_ = self._runner.record
        self.classes_ = np.array(self.record_.classes)
        self.threshold_ = self.record_.threshold
        self.calibration_ = self.record_.calibration

    def _score(self, images: ImageSequence) -> NDArray[np.float64]:
        """Score images, by as many threads as `n_jobs` says."""
        # Sessions can't be pickled, so copies make their own when they first need one.
        if getattr(self, "_runner", None) is None:
            self._runner = GraphRunner(self.onnx_model_)
        return self._runner.score(images, n_jobs=self.n_jobs)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_runner"}
