"""What all estimators share: the images they take and the verdicts they give.

Two bases. Each says what its subclasses define and what they get:

=====================  =========================================  ==============================
base                   a subclass defines                         and inherits
=====================  =========================================  ==============================
`ImageTransformer`     ``__init__``, ``_check_parameters``,       ``fit``, ``transform``, tags
                       ``_compute(batch)``
`BaseImageDetector`    ``__init__``, ``fit``,                     ``predict``, ``predict_proba``,
                       ``decision_function``, ``to_onnx``         ``save``, tags
=====================  =========================================  ==============================

Labels are 0 for a real photograph and 1 for a generated image; a higher score means
"generated". Bool and any other two numbers work too: then the larger one, ``classes_[1]``, is
the generated class. Words do not, as scikit-learn sorts them and would take "human" of "ai" and
"human" for the generated class: pass ``y == "ai"``.
"""

from __future__ import annotations

import os
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from detectorkit.calibration.decision import Decision
from detectorkit.calibration.maps import Calibration, SigmoidCalibration
from detectorkit.images.batches import map_batches
from detectorkit.images.preprocessing import COLOR_SPACES, ColorSpace, Preprocessing
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.utils.files import write_whole
from detectorkit.utils.labels import find_classes
from detectorkit.utils.validation import check_choice, check_pair, check_scores, parameter_error

__all__ = ["BaseImageDetector", "FitInputs", "ImageInputMixin", "ImageTransformer"]

_DOCS = "https://detectorkit.readthedocs.io/en/latest/generated/{name}.html"


class ImageInputMixin:
    """Take images in every form of the library, and 2-D arrays where `input_shape` says how.

    Subclasses have the parameters `input_shape`, `image_size` and `color_space`.
    """

    input_shape: tuple[int, ...] | None
    image_size: tuple[int, int] | None
    color_space: ColorSpace

    def _validate_images(self, X: Any, *, reset: bool) -> ImageSequence:
        """Settle the form of X; the image twin of scikit-learn's `validate_data`.

        The only state that it sets is `n_features_in_` and `feature_names_in_`, for 2-D X.
        """
        if self.input_shape is None or _is_set_of_images(X):
            return check_images(X, caller=type(self).__name__)
        # The rows may have passed through a scaler, so any real number is allowed in them.
        rows = validate_data(self, X, reset=reset, dtype=[np.float32, np.uint8])
        n_values = rows.shape[1]
        try:
            rows = rows.reshape(len(rows), *self.input_shape)
        except (TypeError, ValueError):
            rows = rows[:, :0]
        if rows.ndim not in {3, 4} or (rows.ndim == 4 and rows.shape[3] not in {1, 3, 4}):
            expected = (
                f"(height, width) or (height, width, n_channels) of rows of {n_values} values"
            )
            raise parameter_error(self, "input_shape", expected)
        return ImageSequence(rows, are_rows=True)

    def _check_preprocessing(self) -> Preprocessing:
        """Check the parameters that say how images are prepared."""
        size = None if self.image_size is None else check_pair(self, "image_size")
        return Preprocessing(size, check_choice(self, "color_space", COLOR_SPACES))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc] # the next class has it
        tags.input_tags.two_d_array = self.input_shape is not None
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _is_set_of_images(X: Any) -> bool:
    """Whether X is images or paths, rather than rows of numbers."""
    if isinstance(X, ImageSequence):
        return True
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        return X.ndim in {3, 4} or X.dtype.kind in "UT"
    if hasattr(X, "columns") or not (isinstance(X, Sequence) or getattr(X, "ndim", 0) == 1):
        return False
    first = next(iter(X), None)
    return isinstance(first, str | os.PathLike) or getattr(first, "ndim", 0) >= 2


class _EstimatorBase(BaseEstimator):
    """Where the "?" of the HTML representation points to."""

    _doc_link_module = "detectorkit"
    _doc_link_template = _DOCS

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        module = type(self).__module__.split(".")
        public = module[:2] if module[1] in {"features", "saliency"} else module[:1]
        return {"name": ".".join([*public, type(self).__name__])}


class ImageTransformer(
    ImageInputMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _EstimatorBase,
    metaclass=ABCMeta,
):
    """Base of the feature transformers: images in, float32 features out."""

    n_jobs: int | None
    _family: str  # its name in the records of models

    @abstractmethod
    def _check_parameters(self) -> Preprocessing:
        """Check the constructor's parameters and say how images are prepared."""

    @abstractmethod
    def _compute(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the features of images of one size."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - for pipelines
        """Check the parameters and find the number of features.

        Nothing is learned from the images but, of the first one, its size.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`.
        y : None
            Ignored; present for use in pipelines.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ImageReadError
            If the first image cannot be decoded.
        ValueError
            If a parameter is wrong or X is not a set of images.
        """
        preprocessing = self._check_parameters()
        images = self._validate_images(X, reset=True)
        first = images.read(0, preprocessing)
        self.n_features_out_ = self._compute(first[np.newaxis]).shape[1]
        self._fitted_parameters = self._feature_parameters()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the features.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`.

        Returns
        -------
        features : ndarray of shape (n_samples, `n_features_out_`), dtype float32
            One row an image.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If an image has another number of features than the first one had in `fit`, or a
            parameter that the features depend on was changed since.
        """
        check_is_fitted(self)
        self._refuse_changed_parameters()
        images = self._validate_images(X, reset=False)
        features = np.empty((len(images), self.n_features_out_), np.float32)
        done = 0
        for part in map_batches(
            self._compute, images, self._check_parameters(), n_jobs=self.n_jobs
        ):
            if part.shape[1] != self.n_features_out_:
                raise ValueError(
                    f"{type(self).__name__}: image {done} has {part.shape[1]} features, but "
                    f"{self.n_features_out_} were expected, as its size differs from the first "
                    "image in `fit`. Set `image_size` to bring all images to one size."
                )
            features[done : done + len(part)] = part
            done += len(part)
        return features

    def _feature_parameters(self) -> dict[str, Any]:
        """Return the parameters that say what the features are, and not how X is taken."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        return {k: v for k, v in parameters.items() if k not in {"input_shape", "n_jobs"}}

    def _refuse_changed_parameters(self) -> None:
        # What follows a transformer was fitted on the features of its old parameters.
        now = self._feature_parameters()
        for name, old in getattr(self, "_fitted_parameters", now).items():
            if now[name] is not old and now[name] != old:
                raise ValueError(
                    f"{type(self).__name__}: {name}={now[name]!r} was {old!r} in `fit`. Call `fit` "
                    "again after changing a parameter."
                )

    @property
    def _n_features_out(self) -> int:
        # ClassNamePrefixFeaturesOutMixin asks for this name.
        return int(self.n_features_out_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags


class FitInputs(NamedTuple):
    """What `fit` was given, checked.

    Attributes
    ----------
    images : ImageSequence
        The images, not yet read.
    classes : ndarray of shape (2,)
        The labels.
    codes : ndarray of shape (n_samples,)
        0 for real, 1 for generated.
    weight : ndarray of shape (n_samples,) or None
        One for each image; None where all are the same.
    groups : ndarray of shape (n_samples,) or None
        Images of one group are held out together.
    """

    images: ImageSequence
    classes: NDArray[Any]
    codes: NDArray[np.int64]
    weight: NDArray[np.float64] | None
    groups: NDArray[Any] | None


class BaseImageDetector(ImageInputMixin, ClassifierMixin, _EstimatorBase, metaclass=ABCMeta):
    """Base of all detectors: binary classifiers whose positive class means "generated".

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        The score above which `predict` says "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration or IsotonicCalibration
        How `predict_proba` makes probabilities of scores.
    """

    classes_: NDArray[Any]
    threshold_: float
    calibration_: Calibration
    training_summary_: dict[str, Any]
    class_weight: dict[Any, float] | Literal["balanced"] | None

    @abstractmethod
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
        """

    @abstractmethod
    def to_onnx(self) -> Any:
        """Write the fitted detector as one ONNX graph with its record.

        Returns
        -------
        model : onnx.ModelProto
            From "pixels" to "score" and "probability".
        """

    def predict(self, X: Any) -> NDArray[Any]:
        """Say for each image whether it is real or generated.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            ``classes_[1]``, "generated", where the score is above `threshold_`; otherwise
            ``classes_[0]``.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If a score or the threshold is NaN, or a score is infinite.
        """
        scores = self._finite_scores(X)  # first, so that an unfitted detector says that it is
        return self._decision.labels(scores)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the probabilities of the two classes.

        They hold for a world like the training data: as many generated images among all, from
        the same generators.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths. A 2-D
            array needs `input_shape`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of `classes_`; the second is that of "generated".

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If a score is NaN or infinite.
        """
        scores = self._finite_scores(X)
        generated = self._decision.probabilities(scores)
        return np.column_stack([1 - generated, generated])

    def _finite_scores(self, X: Any) -> NDArray[np.float64]:
        return check_scores(type(self).__name__, self.decision_function(X))

    @property
    def _decision(self) -> Decision:
        """How it decides, as threshold and calibration are now."""
        return Decision(self.classes_, self.threshold_, self.calibration_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to an ONNX file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file; `detectorkit.load_detector` reads it. An existing file is replaced.
        """
        write_whole(path, self.to_onnx().SerializeToString())

    def _check_training(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> FitInputs:
        """Check what `fit` was given; the detector has the parameter `class_weight`."""
        images = self._validate_images(X, reset=True)
        classes, codes = find_classes(type(self).__name__, y)
        groups = None if groups is None else np.asarray(groups)
        check_consistent_length(images, codes, groups)
        weight = self._check_weights(sample_weight, images, classes, codes)
        return FitInputs(images, classes, codes, weight, groups)

    def _finish_fit(
        self,
        training: FitInputs,
        held_out: NDArray[np.intp],
        held_out_scores: NDArray[np.float64],
        **settings: Any,
    ) -> None:
        """Set the attributes that every fitted detector has, from held-out scores."""
        from detectorkit.calibration.fit import fit_platt_slope

        weight = None if training.weight is None else training.weight[held_out]
        slope = fit_platt_slope(held_out_scores, training.codes[held_out], weight)
        self.calibration_ = SigmoidCalibration(slope)
        self.classes_ = training.classes
        self.threshold_ = 0.0
        self.training_summary_ = {
            "n_samples": len(training.codes),
            "n_real": int(np.sum(training.codes == 0)),
            "n_generated": int(np.sum(training.codes == 1)),
            **settings,
        }

    def _check_weights(
        self,
        sample_weight: Any,
        images: ImageSequence,
        classes: NDArray[Any],
        codes: NDArray[np.int64],
    ) -> NDArray[np.float64] | None:
        """Give one weight for each image; None where all are the same."""
        class_weight = self.class_weight
        if sample_weight is None and class_weight is None:
            return None
        weight: NDArray[np.float64] = _check_sample_weight(sample_weight, images, dtype=np.float64)
        if weight.min() < 0:
            raise ValueError(f"{type(self).__name__}: sample_weight has negative entries.")
        if any(weight[codes == code].sum() == 0 for code in (0, 1)):
            raise ValueError(
                f"{type(self).__name__}: after removing images of zero sample_weight only one "
                "class is left. Pass both real and generated images."
            )
        if class_weight is None:
            return weight
        return weight * compute_sample_weight(class_weight, classes[codes])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # scikit-learn measures accuracy on blobs, of which an image has nothing to say.
        tags.classifier_tags.poor_score = True
        return tags
