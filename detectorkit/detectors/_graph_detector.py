"""Base class of the detectors that run an ONNX graph with its record."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from detectorkit.detectors._recorded import RecordedDetector
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.sequence import ImageSequence
from detectorkit.utils.files import write_whole

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphDetector"]


class GraphDetector(RecordedDetector):
    """Base class of the detectors that predict by running an ONNX graph.

    Attributes
    ----------
    onnx_model_ : bytes
        Content of an ONNX file: the graph and its record as they were loaded.
    """

    onnx_model_: bytes
    _head: bytes | None  # graph of the head alone, if its backbone has a file of its own
    n_jobs: int | None

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Compute the scores of the images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Scores of the images. Higher means "generated"; `predict` compares them with
            `threshold_`.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ModelFileError
            If the graph fails or a score is not finite.
        """
        check_is_fitted(self)
        return self._score(self._validate_images(X, reset=False))

    def to_onnx(self) -> onnx.ModelProto:
        """Return the ONNX model with the current threshold and calibration.

        Returns
        -------
        model : onnx.ModelProto
            Model with the input "pixels" and the outputs "score" and "probability".
        """
        from onnx import load_model_from_string

        from detectorkit.graph.builder import revise_model

        check_is_fitted(self)
        record = replace(self.record_, backbone=None)
        return revise_model(load_model_from_string(self._runner.joined()), record)

    def save(self, path: str | os.PathLike[str], *, with_backbone: bool = True) -> None:
        """Write the fitted detector to an ONNX file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            File to write, which `detectorkit.load_detector` reads. An existing file is replaced.
        with_backbone : bool, default=True
            Whether the file contains the backbone. Without it, the file is a head of some
            kilobytes, which refers to the file of its backbone by the sha256. That file must be
            installed, or lie beside the head, where the head is loaded.

        Raises
        ------
        ValueError
            If the detector does not have a backbone in a file of its own.
        """
        if with_backbone:
            super().save(path)
            return
        from onnx import load_model_from_string

        from detectorkit.graph.builder import revise_model

        check_is_fitted(self)
        if self._head is None:
            raise ValueError(
                f"{type(self).__name__}: with_backbone=False needs a detector with a head on a "
                "fixed backbone that is not quantized with it, such as BackboneDetector."
            )
        head = load_model_from_string(self._head)
        (known,) = (one.value for one in head.metadata_props if one.key == RECORD_KEY)
        record = replace(self.record_, backbone=ModelRecord.from_json(known).backbone)
        write_whole(path, revise_model(head, record).SerializeToString())

    def _adopt(self, content: bytes, name: str) -> None:
        """Set the fitted attributes from an ONNX model and its record."""
        self._runner = GraphRunner(content, name)
        self.onnx_model_ = content
        record = self._runner.record
        self._head = None if record.backbone is None else content
        self.classes_ = np.array(record.classes)
        self.threshold_ = record.threshold
        self.calibration_ = record.calibration
        self.band_ = record.band
        self.training_summary_ = deepcopy(record.training)

    @property
    def _graph_input(self) -> str:
        return self._runner.graph_input

    def _describe_itself(self) -> dict[str, Any]:
        record = self._runner.record
        own = {"classes", "threshold", "calibration", "band", "training"}
        names = {one.name for one in fields(record)} - own
        return {name: getattr(record, name) for name in names}

    def _score(self, images: ImageSequence) -> NDArray[np.float64]:
        """Compute the scores of images in `n_jobs` threads."""
        return self._runner.score(images, n_jobs=self.n_jobs)
