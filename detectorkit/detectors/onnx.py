"""Detector that runs an ONNX file: a saved detector or any exported binary classifier."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.utils.validation import check_consistent_length

from detectorkit.detectors._graph_detector import GraphDetector
from detectorkit.graph.sessions import read_model_file
from detectorkit.models import default_detector, find_detector
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.validation import check_choice

if TYPE_CHECKING:
    from detectorkit.graph.inputs import NetworkInput
    from detectorkit.graph.networks import Output

__all__ = ["OnnxDetector", "load_detector"]

_OUTPUTS = ("auto", "logit", "logits", "probability", "probabilities")


class OnnxDetector(GraphDetector):
    """Run a detector that was saved as an ONNX graph, or any exported binary classifier.

    Read more in the :ref:`User Guide <saving>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    model : str, Path or bytes
        Path of the ONNX file, or its content, or the name of a shipped detector, one of
        `detectorkit.models.shipped_detectors`. Unless `network_input` is given, the file must
        contain the record that `save` writes.
    network_input : NetworkInput, default=None
        Size, colours and scaling of the images that a classifier from elsewhere takes. None reads
        them from the record of a saved detector.
    output : {"auto", "logit", "logits", "probability", "probabilities"}, default="auto"
        Kind of output of a classifier from elsewhere: one logit or probability for each image, or
        one for each class. "auto" infers it from the shape of the output and from the last node.
    generated_index : {0, 1}, default=1
        Index of the class of generated images among two outputs. With one output, 1 means that it
        rises for generated images, and 0 that it falls.
    n_jobs : int, default=None
        Number of threads that decode images and run the graph. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        Score above which `predict` returns "generated", from the record. It may be changed.
    calibration_ : SigmoidCalibration or IsotonicCalibration
        Map from scores to probabilities, used by `predict_proba`; from the record.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell", as `fit_band` sets it; from the record.
    onnx_model_ : bytes
        Content of the ONNX file.
    training_summary_ : dict
        Summary of the training, from the record.
    record_ : ModelRecord
        Record of the model with its current threshold and calibration: preprocessing, features,
        training.

    See Also
    --------
    detectorkit.load_detector : Read a saved or a shipped detector, the usual way to make one.

    Notes
    -----
    `fit` loads the model and trains nothing, so that the detector can be used in scikit-learn's
    tools. The graph is run by onnxruntime. Nothing is unpickled.

    A classifier from elsewhere is checked when it is loaded: it needs one input of images, channels
    first or last, for any number of images or for one at a time; weights inside its file or its
    folder; and finite scores for a test image. Its score is the logit of "generated", and its
    probabilities are its own until `calibrate` fits others. A classifier that is quantised
    dynamically is run one image at a time, as its scores depend on the other images of a batch.

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

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        network_input: NetworkInput | None = None,
        output: Output = "auto",
        generated_index: Literal[0, 1] = 1,
        n_jobs: int | None = None,
    ) -> None:
        self.model = model
        self.network_input = network_input
        self.output = output
        self.generated_index = generated_index
        self.n_jobs = n_jobs

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Load a model, ready to predict.

        Parameters
        ----------
        path : str or Path
            Path of the ONNX file, or name of a shipped detector.
        **parameters : object
            Other parameters of the constructor.

        Returns
        -------
        detector : OnnxDetector
            Fitted detector, ready to predict.

        Raises
        ------
        ModelFileError
            If the file is not a detector.
        OSError
            If the file cannot be read.
        """
        detector = cls(path, **parameters)
        detector._load()
        return detector

    def fit(self, X: Any, y: Any = None, origin: Any = None) -> Self:  # noqa: ARG002
        """Load the model; nothing is trained.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`. Only its form is checked.
        y : array-like of shape (n_samples,), default=None
            Labels of the images. They must be the two labels that the model knows. None skips
            this check.
        origin : None
            Ignored; present so that a detector can take the place of another.

        Returns
        -------
        self : object
            The detector itself, ready to predict.

        Raises
        ------
        ModelFileError
            If the model is not a detector.
        ValueError
            If X is not a set of images, or y has other labels than the model.
        """
        images = self._validate_images(X, reset=True)
        if y is not None:
            check_consistent_length(images, y)
        self._load()
        if y is not None:
            encode_labels("OnnxDetector", y, self, need_both=True)
        return self

    def _load(self) -> None:
        source = self.model if isinstance(self.model, bytes) else find_detector(self.model)
        name = "model" if isinstance(source, bytes) else str(source)
        if self.network_input is None:
            self._adopt(source if isinstance(source, bytes) else read_model_file(source), name)
            return
        from detectorkit.graph.networks import adopt_classifier

        classifier = adopt_classifier(
            source,
            self.network_input,
            output=check_choice(self, "output", _OUTPUTS),
            generated_index=check_choice(self, "generated_index", (0, 1)),
        )
        self._adopt(classifier, name)


def load_detector(
    model: str | os.PathLike[str] | None = None, *, n_jobs: int | None = None
) -> OnnxDetector:
    """Read a saved or a shipped detector, ready to predict.

    Nothing is unpickled: the file is an ONNX graph with a JSON record.

    Parameters
    ----------
    model : str or Path, default=None
        Path of a file that a detector's `save` or ``detectorkit train`` wrote, or name of a shipped
        detector, one of `detectorkit.models.shipped_detectors`. A file takes precedence over a
        name. None means the default: the first installed one of "clip", "transfer", "forensic",
        "cnn" and "hog-svm".
    n_jobs : int, default=None
        Number of threads for predictions. None means 1 unless in a `joblib.parallel_config`
        context; -1 means all processors.

    Returns
    -------
    detector : OnnxDetector
        Fitted detector, ready to predict.

    Raises
    ------
    ModelFileError
        If the file is not a detector.
    OSError
        If the file cannot be read.
    TypeError
        If `model` is neither text nor a Path.
    ValueError
        If `model` is neither a path nor the name of a shipped detector.

    Examples
    --------
    >>> from detectorkit import load_detector
    >>> load_detector("hog-svm")
    OnnxDetector(model='hog-svm')
    >>> load_detector("missing.onnx")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.onnx'
    """
    if model is None:
        model = default_detector()
        if Path(model).is_file():  # which would take precedence over the name
            model = find_detector()
    return OnnxDetector.from_file(model, n_jobs=n_jobs)
