"""Detectors that are an ONNX graph with its record: how it is run, kept and written."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from detectorkit.detectors._recorded import RecordedDetector
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.sequence import ImageSequence

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphDetector"]


class GraphDetector(RecordedDetector):
    """Base of the detectors that predict by running an ONNX graph.

    Attributes
    ----------
    onnx_model_ : bytes
        The content of an ONNX file: the graph, and the record that it came with.
    """

    onnx_model_: bytes
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
        ModelFileError
            If the graph fails, or gives a score that is not finite.
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
        from onnx import load_model_from_string

        from detectorkit.graph.builder import revise_model

        check_is_fitted(self)
        return revise_model(load_model_from_string(self.onnx_model_), self.record_)

    def _adopt(self, content: bytes, name: str) -> None:
        """Take a model over, with all that its record says."""
        self._runner = GraphRunner(content, name)
        self.onnx_model_ = content
        record = self._runner.record
        self.classes_ = np.array(record.classes)
        self.threshold_ = record.threshold
        self.calibration_ = record.calibration
        self.training_summary_ = deepcopy(record.training)

    def _describe_itself(self) -> dict[str, Any]:
        record = self._runner.record
        kept = ("detector", "preprocessing", "features", "run_size", "library_version")
        return {name: getattr(record, name) for name in kept}

    def _score(self, images: ImageSequence) -> NDArray[np.float64]:
        """Score images, by as many threads as `n_jobs` says."""
        return self._runner.score(images, n_jobs=self.n_jobs)
