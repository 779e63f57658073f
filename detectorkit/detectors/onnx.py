"""Run a saved detector: an ONNX file with its record, and nothing unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.base import BaseImageDetector
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.images import iter_slices, map_batches

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxDetector", "load_detector"]

_RUN_SIZE = 4  # images in one run of the graph; its intermediate results then fit into a cache


class OnnxDetector(BaseImageDetector):
    """Run a detector that was saved as an ONNX graph.

    Read more in the :ref:`User Guide <saving>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    model : str, Path or bytes
        The ONNX file, or its content. It must hold the record that `save` writes.
    n_jobs : int, default=None
        Number of threads that decode images and run the graph. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        The score above which `predict` says "generated", from the record. It may be changed.
    calibration_ : SigmoidCalibration or IsotonicCalibration
        How `predict_proba` makes probabilities of scores, from the record.
    onnx_model_ : bytes
        The content of the ONNX file.
    record_ : ModelRecord
        What the model says of itself: preprocessing, features, training.

    See Also
    --------
    detectorkit.load_detector : The usual way to get one.

    Notes
    -----
    `fit` loads the model and trains nothing, so that the detector can stand beside others in
    scikit-learn's tools. The graph runs in onnxruntime.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from detectorkit import HoGSVMDetector, OnnxDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> fitted = HoGSVMDetector(random_state=0).fit(data.data, data.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.onnx"
    ...     fitted.save(path)
    ...     detector = OnnxDetector.from_file(path)
    >>> bool((detector.predict(data.data) == fitted.predict(data.data)).all())
    True
    """

    # A graph takes pixels, not rows of numbers that may have been scaled.
    input_shape = None

    def __init__(self, model: str | os.PathLike[str] | bytes, *, n_jobs: int | None = None) -> None:
        self.model = model
        self.n_jobs = n_jobs

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, n_jobs: int | None = None) -> Self:
        """Load a saved detector, ready to predict.

        Parameters
        ----------
        path : str or Path
            The ONNX file.
        n_jobs : int, default=None
            As in the constructor.

        Returns
        -------
        detector : OnnxDetector
            Fitted.

        Raises
        ------
        ModelFileError
            If the file is no detector.
        OSError
            If it cannot be read.
        """
        detector = cls(path, n_jobs=n_jobs)
        detector._load()
        return detector

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the model; nothing is trained.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`. Only its form is checked.
        y : array-like of shape (n_samples,), default=None
            The labels. If given, they must be the two that the model knows.

        Returns
        -------
        self : object
            The loaded detector.

        Raises
        ------
        ModelFileError
            If the model is no detector.
        ValueError
            If X is not a set of images, or y has other labels than the model.
        """
        images = self._validate_images(X, reset=True)
        if y is not None:
            check_consistent_length(images, y)
        classes = None if y is None else self._check_y(y)[0]
        self._load()
        if classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"OnnxDetector: y has the labels {classes.tolist()}, but the model knows "
                f"{self.classes_.tolist()}. Translate y."
            )
        return self

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
        images = self._validate_images(X, reset=False)
        batches = map_batches(self._run, images, self.record_.preprocessing, n_jobs=self.n_jobs)
        return np.concatenate(list(batches)).astype(np.float64)

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
            self.record_, threshold=float(self.threshold_), calibration=self.calibration_
        )
        return revise_model(model, record)

    def _load(self) -> None:
        content = self.model if isinstance(self.model, bytes) else Path(self.model).read_bytes()
        name = "model" if isinstance(self.model, bytes) else os.fspath(self.model)
        session = _make_session(content, name)
        text = session.get_modelmeta().custom_metadata_map.get(RECORD_KEY)
        if text is None:
            raise ModelFileError(
                f"{name} has no detectorkit record, so how to prepare images for it is unknown. "
                "Use a file that `save` or `detectorkit train` wrote."
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
        self._session = session
        self.classes_ = np.array(self.record_.classes)
        self.threshold_ = self.record_.threshold
        self.calibration_ = self.record_.calibration

    def _run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = self._get_session()
        if self._stack is not None:
            rows = self._stack.describe(batch, session.get_inputs()[0].shape[1])
            scores: NDArray[np.float32] = session.run(["score"], {"features": rows})[0]
            return scores
        parts = [
            session.run(["score"], {"pixels": batch[part]})[0]
            for part in iter_slices(len(batch), _RUN_SIZE)
        ]
        return np.concatenate(parts)

    def _get_session(self) -> Any:
        # Sessions can't be pickled, so copies make their own when they first need one.
        if getattr(self, "_session", None) is None:
            self._session = _make_session(self.onnx_model_, "model")
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_session"}


def _make_session(content: bytes, name: str) -> Any:
    import onnxruntime  # noqa: PLC0415 - late: it costs import time

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is said by the exception
    options.intra_op_num_threads = 1  # batches run side by side instead, by `n_jobs`
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions have no public base class.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelFileError(f"{name} is no ONNX model that can be run: {reason}") from error


def load_detector(path: str | os.PathLike[str], *, n_jobs: int | None = None) -> OnnxDetector:
    """Read a saved detector, ready to predict.

    Nothing is unpickled: the file is an ONNX graph with a JSON record.

    Parameters
    ----------
    path : str or Path
        A file that a detector's `save` or ``detectorkit train`` wrote.
    n_jobs : int, default=None
        Number of threads for predictions; -1 means all processors.

    Returns
    -------
    detector : OnnxDetector
        Fitted.

    Raises
    ------
    ModelFileError
        If the file is no detector.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> from detectorkit import load_detector
    >>> load_detector("missing.onnx")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.onnx'
    """
    return OnnxDetector.from_file(path, n_jobs=n_jobs)
