"""Run an ONNX file: a saved detector, or a classifier from elsewhere. Nothing is unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.utils.validation import check_consistent_length

from detectorkit.detectors._graph_detector import GraphDetector
from detectorkit.models import find_detector
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
        The ONNX file, or its content. Unless `network_input` is given, it must hold the record
        that `save` writes.
    network_input : NetworkInput, default=None
        For a classifier from elsewhere: how images are prepared for it. None takes this from the
        record of a saved detector.
    output : {"auto", "logit", "logits", "probability", "probabilities"}, default="auto"
        What such a classifier gives: one logit or probability for each image, or one for each
        class. "auto" reads it from the shape of the output and from the last node.
    generated_index : {0, 1}, default=1
        Which output of two is that of generated images; of one output, whether it falls (0) or
        rises (1) with them.
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
    training_summary_ : dict
        What the record says of the training.
    record_ : ModelRecord
        What the model says of itself, as it is now: preprocessing, features, training.

    See Also
    --------
    detectorkit.load_detector : The usual way to get one.

    Notes
    -----
    `fit` loads the model and trains nothing, so that the detector can stand beside others in
    scikit-learn's tools. The graph runs in onnxruntime.

    A classifier from elsewhere is checked when it is loaded: it needs one input of images, channels
    first or last, of any number of images or of one at a time; weights inside its file or its
    folder; and finite scores for a probe. Its score is the logit of "generated", and its
    probabilities are those that it gives itself, until `calibrate` fits others. One that is
    quantised dynamically is run one image at a time, as its scores depend on the others of a run.

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
            The ONNX file.
        **parameters : object
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
        detector = cls(path, **parameters)
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
        self._load()
        if y is not None:
            encode_labels("OnnxDetector", y, self, need_both=True)
        return self

    def _load(self) -> None:
        source = self.model if isinstance(self.model, bytes) else Path(self.model)
        name = "model" if isinstance(source, bytes) else str(source)
        if self.network_input is None:
            self._adopt(source if isinstance(source, bytes) else source.read_bytes(), name)
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
        A file that a detector's `save` or ``detectorkit train`` wrote, or the name of a detector
        that comes with the library: "hog-svm", "forensic", "cnn" or "transfer", as far as they are
        in `detectorkit.models.shipped_detectors`. A file of that name wins. None takes "transfer",
        or where that is missing the first that is there: see
        `detectorkit.models.default_detector`.
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
    ValueError
        If `model` is neither a path nor the name of a shipped detector.

    Examples
    --------
    >>> from detectorkit import load_detector
    >>> load_detector("missing.onnx")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.onnx'
    """
    return OnnxDetector.from_file(find_detector(model), n_jobs=n_jobs)
