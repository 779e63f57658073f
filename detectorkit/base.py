"""Base classes of all estimators on images: transformers of features and detectors.

What a subclass defines and what it inherits:

=====================  =========================================  ==============================
base                   a subclass defines                         and inherits
=====================  =========================================  ==============================
`ImageTransformer`     ``__init__``, ``_check_parameters``,       ``fit``, ``transform``, tags
                       ``_compute(batch)``
`BaseImageDetector`    ``__init__``, ``fit``,                     ``predict``, ``predict_proba``,
                       ``decision_function``, ``to_onnx``         ``predict_verdict``, ``save``,
                                                                  tags
=====================  =========================================  ==============================

Labels are 0 for a real photograph and 1 for a generated image; a higher score means
"generated". Bool and any other two numbers are also allowed: the larger one, ``classes_[1]``, is
then the generated class. Words are refused: scikit-learn sorts them, so that of "ai" and "human"
the second, "human", would become the generated class. Pass ``y == "ai"`` instead.
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

from detectorkit.calibration.decision import Band, Decision
from detectorkit.calibration.maps import Calibration, SigmoidCalibration
from detectorkit.images.batches import map_batches
from detectorkit.images.preprocessing import COLOR_SPACES, ColorSpace, Preprocessing
from detectorkit.images.sequence import ImageSequence, check_images, kind_of
from detectorkit.images.treatment import Treatment
from detectorkit.images.unfit import MIN_SIDE
from detectorkit.utils.files import write_whole
from detectorkit.utils.labels import find_classes
from detectorkit.utils.names import as_names
from detectorkit.utils.validation import (
    check_choice,
    check_pair,
    check_scores,
    parameter_error,
    refuse_masked,
)

__all__ = [
    "BaseImageDetector",
    "FitInputs",
    "ImageInputMixin",
    "ImageTransformer",
    "summarize_images",
]

_DOCS = "https://detectorkit.readthedocs.io/en/latest/generated/{name}.html"


class ImageInputMixin:
    """Mixin for estimators that take images in every form, or 2-D arrays with `input_shape`.

    Subclasses have the parameters `input_shape`, `image_size` and `color_space`.
    """

    input_shape: tuple[int, ...] | None
    image_size: tuple[int, int] | None
    color_space: ColorSpace

    def _validate_images(self, X: Any, *, reset: bool) -> ImageSequence:
        """Check the form of X and return its images; scikit-learn's `validate_data` for images.

        It sets `n_features_in_` and `feature_names_in_` where X is 2-D, and nothing else.
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
        """Check `image_size`, `color_space` and `treatment`; return them as a `Preprocessing`."""
        size = None if self.image_size is None else check_pair(self, "image_size")
        space = check_choice(self, "color_space", COLOR_SPACES)
        return Preprocessing(size, space, treatment=self._check_treatment())

    def _check_treatment(self) -> Treatment | None:
        """Check the parameter `treatment`, which trainable detectors have."""
        treatment = getattr(self, "treatment", None)
        if isinstance(treatment, str) and treatment == "aligned":
            return Treatment()
        if treatment is None or isinstance(treatment, Treatment):
            return treatment
        raise parameter_error(self, "treatment", "None, 'aligned' or a Treatment")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc] # the next class has it
        tags.input_tags.two_d_array = self.input_shape is not None
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _is_set_of_images(X: Any) -> bool:
    """Return whether X holds images or paths, rather than rows of numbers."""
    if isinstance(X, ImageSequence):
        return True
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        return X.ndim in {3, 4} or X.dtype.kind in "UT"
    if hasattr(X, "columns") or not (isinstance(X, Sequence) or getattr(X, "ndim", 0) == 1):
        return False
    first = next(iter(X), None)
    return getattr(first, "ndim", 0) >= 2 or kind_of(first) not in {None, "an array"}


class _EstimatorBase(BaseEstimator):
    """Base that links the "?" of the HTML representation to the documentation of the class."""

    _doc_link_module = "detectorkit"
    _doc_link_template = _DOCS

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        module = type(self).__module__.split(".")
        public = module[:2] if module[1] in {"features", "fingerprint", "saliency"} else module[:1]
        return {"name": ".".join([*public, type(self).__name__])}


class ImageTransformer(
    ImageInputMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _EstimatorBase,
    metaclass=ABCMeta,
):
    """Base class of the feature transformers, which compute float32 features from images."""

    n_jobs: int | None
    _family: str  # name of this family of features in the records of models

    @abstractmethod
    def _check_parameters(self) -> Preprocessing:
        """Check the constructor's parameters and return how images are prepared."""

    @abstractmethod
    def _compute(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the features of a batch of images of equal size."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - for pipelines
        """Check the parameters and find the number of features.

        Only the size of the first image is used; nothing else is learned from the images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : None
            Ignored; present for use in pipelines.

        Returns
        -------
        self : object
            The transformer itself, fitted to X.

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
        self._fitted_shape = first.shape
        self._fitted_parameters = self._feature_parameters()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the features of the images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        features : ndarray of shape (n_samples, `n_features_out_`), dtype float32
            Features of the images, one row per image.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If the number of features of an image differs from that of the first image in `fit`,
            or a parameter that the features depend on was changed after `fit`.
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
                    f"{self.n_features_out_} were expected: its size differs from that of the "
                    "first image in `fit`. Set `image_size` to resize all images to one size."
                )
            features[done : done + len(part)] = part
            done += len(part)
        return features

    def _feature_parameters(self) -> dict[str, Any]:
        """Return the parameters that the features depend on."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        return {k: v for k, v in parameters.items() if k not in {"input_shape", "n_jobs"}}

    def _refuse_changed_parameters(self) -> None:
        # The later steps of a pipeline were fitted on the features of the old parameters.
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
    """Checked arguments of `fit`.

    Attributes
    ----------
    images : ImageSequence
        The training images, not yet read.
    classes : ndarray of shape (2,)
        The two labels; the second means "generated".
    y : ndarray of shape (n_samples,)
        Labels as 0 for real photographs and 1 for generated images.
    weight : ndarray of shape (n_samples,) or None
        Weights of the images; None where all weigh the same.
    groups : ndarray of shape (n_samples,) or None
        Group of each image. Images of one group are held out together.
    origin : ndarray of shape (n_samples,) or None, default=None
        Generator of each generated image and source of each photograph, if known.
    n_views : int, default=0
        Number of random variants that follow each image.
    """

    images: ImageSequence
    classes: NDArray[Any]
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None
    groups: NDArray[Any] | None
    origin: NDArray[Any] | None = None
    n_views: int = 0


def summarize_images(y: NDArray[np.int64], origin: NDArray[Any] | None) -> dict[str, Any]:
    """Return the numbers of training images, and their generators and sources if known."""
    real = y == 0
    summary: dict[str, Any] = {
        "n_samples": len(y),
        "n_real": int(real.sum()),
        "n_generated": int((~real).sum()),
    }
    if origin is not None:
        summary["generators"] = np.unique(origin[~real]).tolist()
        summary["sources"] = np.unique(origin[real]).tolist()
    return summary


class BaseImageDetector(ImageInputMixin, ClassifierMixin, _EstimatorBase, metaclass=ABCMeta):
    """Base class of all detectors: binary classifiers whose positive class is "generated".

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        Score above which `predict` returns "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration or IsotonicCalibration
        Map from scores to probabilities, used by `predict_proba`.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell"; None after `fit`. It may be set, as
        `fit_band` finds it, is saved with the detector, and does not change `predict`.
    """

    classes_: NDArray[Any]
    threshold_: float
    calibration_: Calibration
    band_: Band | None
    training_summary_: dict[str, Any]
    class_weight: dict[Any, float] | Literal["balanced"] | None

    @abstractmethod
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
        """

    @abstractmethod
    def to_onnx(self) -> Any:
        """Convert the fitted detector to one ONNX model with its record.

        Returns
        -------
        model : onnx.ModelProto
            Model with the input "pixels" and the outputs "score" and "probability".
        """

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict for each image whether it is real or generated.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predicted labels: ``classes_[1]``, "generated", where the score is above
            `threshold_`, and ``classes_[0]`` elsewhere.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If a score or the threshold is NaN, or a score is infinite.
        """
        scores = self._finite_scores(X)  # first, so that an unfitted detector says that it is
        return self._decision.labels(scores)

    def predict_verdict(self, X: Any) -> NDArray[np.str_]:
        """Predict for each image "real", "generated" or "can't tell".

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        verdicts : ndarray of shape (n_samples,), dtype str
            "generated" where the score is above the band of the detector, "real" where it is at or
            below it, and "can't tell" within it. Without a band, `threshold_` decides alone. Where
            the threshold is outside of the band, the band reaches to it, so that a verdict never
            contradicts `predict`. It is also "can't tell" where an image is of one colour or its
            shorter side is below 96 pixels, or below the size that the detector uses if that is
            smaller.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If a score or the threshold is NaN, or a score is infinite.

        Examples
        --------
        >>> from detectorkit import HoGSVMDetector
        >>> from detectorkit.calibration import Band
        >>> from detectorkit.datasets import make_upsampling_images
        >>> data = make_upsampling_images(n_samples=40, random_state=0)
        >>> detector = HoGSVMDetector(random_state=0).fit(data.data, data.target)
        >>> detector.predict_verdict(data.data[:2]).tolist()
        ['real', 'generated']
        >>> detector.band_ = Band(low=-100, high=100)
        >>> detector.predict_verdict(data.data[:2]).tolist()
        ["can't tell", "can't tell"]
        """
        images = self._validate_images(X, reset=False).noting()
        scores = self._finite_scores(images)
        record = getattr(self, "record_", None)  # not of every detector of others
        min_side = MIN_SIDE if record is None else record.min_side
        return self._decision.verdicts(scores, images.unfit(min_side))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Compute the probabilities of the two classes.

        They hold for images like the training data: with the same proportion of generated
        images, from the same generators.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Probabilities of the classes, in the order of `classes_`: the second column is the
            probability of "generated".

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
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
        """Threshold, calibration, band and labels as they are now."""
        return Decision(self.classes_, self.threshold_, self.calibration_, self.band_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to an ONNX file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            File to write, which `detectorkit.load_detector` reads. An existing file is replaced.
        """
        write_whole(path, self.to_onnx().SerializeToString())

    def _check_training(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, origin: Any
    ) -> FitInputs:
        """Check the arguments of `fit`, for a detector with the parameter `class_weight`."""
        images = self._validate_images(X, reset=True)
        classes, y = find_classes(type(self).__name__, y)
        groups = None if groups is None else np.asarray(groups)
        origin = None if origin is None else as_names(origin)
        check_consistent_length(images, y, groups, origin)
        weight = self._check_weights(sample_weight, images, classes, y)
        return FitInputs(images, classes, y, weight, groups, origin)

    def _finish_fit(
        self,
        training: FitInputs,
        held_out: NDArray[np.intp],
        held_out_scores: NDArray[np.float64],
        **settings: Any,
    ) -> None:
        """Set the attributes of every fitted detector; the calibration from held-out scores."""
        from detectorkit.calibration.fit import fit_platt_slope

        weight = None if training.weight is None else training.weight[held_out]
        slope = fit_platt_slope(held_out_scores, training.y[held_out], weight)
        self.calibration_ = SigmoidCalibration(slope)
        self.classes_ = training.classes
        self.threshold_ = 0.0
        self.band_ = None
        step = training.n_views + 1  # over the variants of an image
        origin = None if training.origin is None else training.origin[::step]
        self.training_summary_ = summarize_images(training.y[::step], origin) | settings

    def _check_weights(
        self,
        sample_weight: Any,
        images: ImageSequence,
        classes: NDArray[Any],
        y: NDArray[np.int64],
    ) -> NDArray[np.float64] | None:
        """Return the weight of each image, or None where all weigh the same."""
        class_weight = self.class_weight
        if sample_weight is None and class_weight is None:
            return None
        refuse_masked(type(self).__name__, "sample_weight", sample_weight)
        weight: NDArray[np.float64] = _check_sample_weight(sample_weight, images, dtype=np.float64)
        if weight.min() < 0:
            raise ValueError(f"{type(self).__name__}: sample_weight has negative entries.")
        if any(weight[y == code].sum() == 0 for code in (0, 1)):
            raise ValueError(
                f"{type(self).__name__}: after removing images of zero sample_weight only one "
                "class is left. Pass both real and generated images."
            )
        if class_weight is None:
            return weight
        return weight * compute_sample_weight(class_weight, classes[y])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # scikit-learn measures accuracy on blobs of points, which are not images.
        tags.classifier_tags.poor_score = True
        return tags
