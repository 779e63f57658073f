"""Attribution of images to generators by the fingerprints that these leave."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from detectorkit.base import ImageInputMixin, _EstimatorBase
from detectorkit.fingerprint.correlation import correlations, log_peak_to_energy, to_unit
from detectorkit.fingerprint.residuals import RESIDUALS, Residual, noise_residuals
from detectorkit.fingerprint.stability import FingerprintStability, measure_stability
from detectorkit.images.batches import BATCH_SIZE, map_batches
from detectorkit.images.preprocessing import COLOR_SPACES, ColorSpace, Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.images.treatment import Treatment
from detectorkit.utils.progress import track
from detectorkit.utils.validation import (
    check_choice,
    check_confidence,
    check_pair,
    check_real,
)

__all__ = ["FingerprintEstimator"]

_JPEG_UNIT: Final = 16  # pixels; crops begin at multiples of it, so that blocks and grids stay put
_MAX_VALUES: Final = 4_000_000  # pixels of a batch of residuals
_MAX_NEGATIVES: Final = 10_000  # images that thresholds are set on, drawn at random
_PHOTOGRAPHS: Final = ("photograph", "photographs")  # as the data sets of this library name them
_STATISTICS: Final = ("correlation", "pce")


class FingerprintEstimator(ImageInputMixin, ClassifierMixin, TransformerMixin, _EstimatorBase):
    """Attribute images to generators by the fingerprints that these leave.

    The fingerprint of a generator is the average of the noise residuals of its images [1]_. An
    image belongs to the generator with whose fingerprint its own residual correlates most, or to
    none of them, "unknown", if no correlation is above its threshold.

    Read more in the :ref:`User Guide <fingerprints>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    residual : {"highpass", "wavelet", "median", "nlm"}, default="highpass"
        Denoiser whose residual is averaged, see `noise_residuals`. "highpass" and "median"
        are fast.
    crop_size : tuple of (int, int), default=(128, 128)
        Height and width of the crop from the centre of each image, at its own resolution. It
        begins at a multiple of 16 pixels. A smaller image is an error, as resizing would change
        its pattern. None takes whole images, which must then all have one size.
    statistic : {"correlation", "pce"}, default="correlation"
        Score that `predict` compares with the thresholds: the normalised correlation, or the
        logarithm of the peak-to-correlation energy [2]_, which also finds a pattern that is
        shifted, but not one that repeats itself many times.
    false_alarm_rate : float or None, default=0.01
        Proportion of the images without a known fingerprint, photographs and images of other
        generators, that `predict` may attribute to a generator. None attributes every image to
        the generator with the highest score.
    real_label : str or number, default="real"
        Label of photographs in y. They have no fingerprint, and serve to set the thresholds. Pass
        0 if y is 0 for photographs, or "photograph" if that is their name in the column of
        generators.
    treatment : None, "aligned" or Treatment, default=None
        Treatment of every image, see `detectorkit.images.Treatment`. None takes images as they are.
    color_space : {"gray", "rgb"}, default="gray"
        Colour space of the residuals.
    input_shape : tuple of int, default=None
        Shape of one image, (height, width) or (height, width, n_channels), where X is a 2-D array
        of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that decode images and compute residuals. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Source of randomness for `stability`, and for the 10,000 images on which thresholds are
        set if there are more.
    verbose : bool, default=False
        Whether `fit` shows its progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (n_generators,)
        Labels of the generators, without that of photographs.
    unknown_ : str or int
        Answer of `predict` for an image without a known fingerprint: "unknown", or -1 if the
        labels are numbers.
    fingerprints_ : ndarray of shape (n_generators, height, width) or \
            (n_generators, height, width, 3)
        Average of the standardised residuals of each generator.
    spectra_ : ndarray of shape (n_generators, height, width)
        Mean power spectrum of the residuals of each generator, 1 on average, with the frequency 0
        in the centre.
    autocorrelations_ : ndarray of shape (n_generators, height, width)
        Mean autocorrelation of the residuals, 1 for the shift 0, which is in the centre.
    thresholds_ : ndarray of shape (n_generators,) or None
        Score above which an image may belong to each generator; 0 if `false_alarm_rate` is None,
        and None after `partial_fit`. They may be changed.
    false_alarm_rate_ : float or None
        Rate that the thresholds hold; higher than `false_alarm_rate` if there were too few images
        to set them.
    n_images_ : ndarray of shape (n_generators,)
        Number of images of each generator.
    n_real_ : int
        Number of photographs.
    real_spectrum_ : ndarray of shape (height, width)
        Mean power spectrum of the residuals of photographs; 0 if there were none.
    real_autocorrelation_ : ndarray of shape (height, width)
        Mean autocorrelation of the residuals of photographs; 0 if there were none.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    FingerprintDisplay : Plot of the spectra and autocorrelations.
    detection_probability : Formula for how often a fingerprint is detected.

    Notes
    -----
    `predict` never answers "real": that an image has no known fingerprint is no evidence that it is
    a photograph. `score` counts "unknown" as right for photographs and for every label that is not
    in `classes_`.

    Fingerprints are of what the images of a label have in common. If they all come from one
    repository, that includes its resizing and its JPEG compression. Only images of one generator
    from other sources can tell these apart.

    **Thresholds.** Photographs, and the images of all other generators, are in no fingerprint that
    they are compared with, so their scores are held out. They are standardised for each
    generator, and the threshold is an order statistic of the highest score of each image, such
    that the rate holds for new images from the same sources, whatever the distribution. That is
    worked out for photographs and for images of generators, and the higher threshold is taken. An
    image of one of K generators has only K - 1 scores, for which the rate is lowered to
    (K - 1) / K of it. A rate of 1 % needs 99 photographs, and up to 199 images of generators. **It
    need not hold for photographs from other sources, nor for a new generator whose pattern
    resembles a known one.**

    **Memory** does not grow with the number of images: sums of residuals and of spectra are kept
    in double precision. `fit` reads every image once for these, and up to 10,000 images again for
    the thresholds.

    `fit_transform` leaves each image out of its own fingerprint, so that what is fitted on the
    features in a pipeline does not see correlations of an image with itself.

    References
    ----------
    .. [1] Marra, F., Gragnaniello, D., Verdoliva, L. and Poggi, G. (2019). Do GANs leave artificial
       fingerprints? MIPR. :doi:`10.1109/MIPR.2019.00103`
    .. [2] Goljan, M., Fridrich, J. and Filler, T. (2009). Large scale test of sensor fingerprint
       camera identification. Media Forensics and Security, SPIE 7254. :doi:`10.1117/12.805701`
    .. [3] Corvi, R., Cozzolino, D., Zingarini, G., Poggi, G., Nagano, K. and Verdoliva, L. (2023).
       On the detection of synthetic images generated by diffusion models. ICASSP.
       :doi:`10.1109/ICASSP49357.2023.10095167`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.fingerprint import FingerprintEstimator
    >>> random = np.random.default_rng(0)
    >>> images = random.normal(128, 10, (90, 64, 64))
    >>> pattern = np.tile(random.normal(0, 4, (8, 8)), (8, 8))
    >>> images[:30] += pattern
    >>> y = np.repeat(["upsampler", "real"], [30, 60])
    >>> images = images.clip(0, 255).astype(np.uint8)
    >>> estimator = FingerprintEstimator(crop_size=(64, 64), false_alarm_rate=0.05)
    >>> estimator.fit(images, y).predict(images[[0, 60]])
    array(['upsampler', 'unknown'], dtype='<U9')
    """

    thresholds_: NDArray[np.float64] | None
    false_alarm_rate_: float | None

    def __init__(
        self,
        residual: Residual = "highpass",
        *,
        crop_size: tuple[int, int] | None = (128, 128),
        statistic: Literal["correlation", "pce"] = "correlation",
        false_alarm_rate: float | None = 0.01,
        real_label: Any = "real",
        treatment: Literal["aligned"] | Treatment | None = None,
        color_space: ColorSpace = "gray",
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.residual = residual
        self.crop_size = crop_size
        self.statistic = statistic
        self.false_alarm_rate = false_alarm_rate
        self.real_label = real_label
        self.treatment = treatment
        self.color_space = color_space
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Average the residuals of each generator, and set the thresholds.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image, and `real_label` for photographs. Numbers are
            also allowed.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If a parameter, the labels or X are wrong, an image is too small, there is nothing to
            set thresholds on, or photographs seem to have another label than `real_label`.
        """
        images, labels = self._check_inputs(X, y, reset=True)
        self._check_real_label(labels)
        self._accumulate(images, labels, reset=True)
        return self._set_thresholds(images, labels)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:  # noqa: ARG002
        """Add the residuals of more images to the fingerprints.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image, and `real_label` for photographs. New generators
            may come with any batch.
        classes : None
            Ignored; present as scikit-learn's tools pass it.

        Returns
        -------
        self : object
            The estimator. Unless `false_alarm_rate` is None, call `fit_thresholds` before
            `predict`.
        """
        is_first = not hasattr(self, "classes_")
        images, labels = self._check_inputs(X, y, reset=is_first)
        if not is_first:
            self._refuse_changed_parameters()
        self._accumulate(images, labels, reset=is_first)
        self.thresholds_ = None if self._rate() is not None else np.zeros(len(self.classes_))
        self.false_alarm_rate_ = None
        return self

    def fit_thresholds(self, X: Any, y: Any) -> Self:
        """Set the thresholds of fitted fingerprints, for example on photographs of other sources.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image, and `real_label` for photographs. Images of
            generators without a fingerprint are allowed.

        Returns
        -------
        self : object
            The estimator, with new `thresholds_`.
        """
        self._check_fitted()
        images, labels = self._check_inputs(X, y, reset=False)
        self._check_real_label(labels, self._sums.labels)
        return self._set_thresholds(images, labels)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Compute the scores of images with all fingerprints.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_generators)
            The normalised correlation, from -1 to 1, or log(1 + PCE) with the sign of the peak, as
            `statistic` says.
        """
        self._check_fitted()
        return self._score(self._validate_images(X, reset=False), (self.statistic,))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Compute how far the scores of images are above the thresholds.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        margins : ndarray of shape (n_samples, n_generators) or (n_samples,)
            Scores less the thresholds. With one generator, one number for each image; with two, as
            scikit-learn has it, that of the second less that of the first, which does not show
            whether an image is unknown.
        """
        margins = self._margins(X)
        if margins.shape[1] > 2:
            return margins
        return margins[:, 0] if margins.shape[1] == 1 else margins[:, 1] - margins[:, 0]

    def predict(self, X: Any) -> NDArray[Any]:
        """Attribute images to generators.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Generator whose threshold is exceeded most, or `unknown_` where none is exceeded. A
            photograph should be unknown.

        Warns
        -----
        UserWarning
            If there were too few images to set thresholds that hold `false_alarm_rate`.
        """
        margins = self._margins(X)
        best = margins.argmax(axis=1)
        held, wanted = self.false_alarm_rate_, self._rate()
        if wanted is None:
            return self.classes_[best]
        if held is not None and held > wanted:
            warnings.warn(
                f"FingerprintEstimator: false_alarm_rate={wanted:g} is not held, as thresholds "
                f"were set on too few images; {held:.2g} is. Pass more photographs, or a higher "
                "false_alarm_rate.",
                UserWarning,
                stacklevel=2,
            )
        answers = np.append(self.classes_, self.unknown_)
        return answers[np.where(margins.max(axis=1) > 0, best, len(self.classes_))]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the proportion of images that are attributed as they should be.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image. Photographs and generators that are not in
            `classes_` should be unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images; None weighs all alike.

        Returns
        -------
        score : float
            Accuracy, from 0 to 1.
        """
        predicted, labels = self.predict(X), column_or_1d(y)
        answers = np.append(self.classes_, self.unknown_)
        is_known = np.isin(labels, self.classes_)
        places = np.where(is_known, np.searchsorted(self.classes_, labels), -1)
        expected = answers[np.where(is_known, places, -1)]
        return float(accuracy_score(expected, predicted, sample_weight=sample_weight))

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the correlation and the peak-to-correlation energy with all fingerprints.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        features : ndarray of shape (n_samples, 2 * n_generators), dtype float32
            Normalised correlations with all fingerprints, times the square root of the number
            of pixels, so that white noise has the variance 1; then log(1 + PCE) with all.
        """
        self._check_fitted()
        images = self._validate_images(X, reset=False)
        return self._as_features(self._score(images, _STATISTICS))

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Fit, and compute the features of the same images, each left out of its own fingerprint.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image, and `real_label` for photographs.

        Returns
        -------
        features : ndarray of shape (n_samples, 2 * n_generators), dtype float32
            As `transform` computes them for new images.
        """
        self.fit(X, y)
        images, labels = self._check_inputs(X, y, reset=False)
        patterns, done = to_unit(self.fingerprints_), 0
        n = len(self.classes_)
        features = np.empty((len(images), 2 * n), np.float32)
        for residuals in self._batches(images, _Describe(self.residual, self._size)):
            rows = features[done : done + len(residuals)]
            rows[:] = self._as_features(_score_residuals(residuals, patterns, _STATISTICS))
            for row, residual, label in zip(rows, residuals, labels[done:], strict=False):
                code = np.flatnonzero(self.classes_ == label)
                if len(code):
                    total = self.fingerprints_[code] * self.n_images_[code[0]]
                    others = to_unit(total - residual if self.n_images_[code[0]] > 1 else 0 * total)
                    own = _score_residuals(residual[np.newaxis], others, _STATISTICS)
                    row[[code[0], n + code[0]]] = self._as_features(own)[0]
            done += len(residuals)
        return features

    def stability(
        self, X: Any, y: Any, *, confidence: float = 0.95
    ) -> dict[Any, FingerprintStability]:
        """Measure how stable the fingerprints of images are, and how many images they need.

        The images of each generator are dealt into 16 parts, whose sums are split in halves and
        resampled, so that memory does not grow with their number. The estimator need not be
        fitted.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Name of the generator of each image. Photographs may be among them, to see what they
            have in common.
        confidence : float, default=0.95
            Confidence level of the intervals, by resampling the parts.

        Returns
        -------
        stability : dict of label to FingerprintStability
            Strength and reliability of each fingerprint, and a curve of split-half correlations.

        Raises
        ------
        ValueError
            If a label has fewer than 4 images.
        """
        confidence = check_confidence("FingerprintEstimator.stability", confidence)
        preparation = self._check_parameters()
        images, labels = self._check_inputs(X, y, reset=False)
        names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if counts.min() < 4:
            fewest = names.tolist()[counts.argmin()]
            raise ValueError(
                f"FingerprintEstimator.stability: {fewest!r} has {counts.min()} "
                "images; at least 4 of each label are needed. Leave smaller ones out."
            )
        describe = _Describe(self.residual, self._find_size(images, preparation))
        batches = _with_codes(self._batches(images, describe), codes)
        random = check_random_state(self.random_state)
        return dict(
            zip(
                names.tolist(),
                measure_stability(batches, counts, random, confidence),
                strict=True,
            )
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; only used to check that they are those of `fit`.

        Returns
        -------
        names : ndarray of shape (2 * n_generators,), dtype object
            Names such as "fingerprint_correlation_sdxl".
        """
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features)
        return np.array(
            [
                f"fingerprint_{kind}_{c}"
                for kind in ("correlation", "log_pce")
                for c in self.classes_
            ],
            dtype=object,
        )

    def _check_parameters(self) -> Preprocessing:
        """Check all parameters but the labels, and return how images are read."""
        check_choice(self, "residual", tuple(RESIDUALS))
        check_choice(self, "statistic", _STATISTICS)
        if self.crop_size is not None:
            check_pair(self, "crop_size")
        self._rate()
        space = check_choice(self, "color_space", COLOR_SPACES)
        return Preprocessing(None, space, treatment=self._check_treatment())

    def _rate(self) -> float | None:
        if self.false_alarm_rate is None:
            return None
        return check_real(self, "false_alarm_rate", above=0, below=1)

    def _check_inputs(self, X: Any, y: Any, *, reset: bool) -> tuple[ImageSequence, NDArray[Any]]:
        self._check_parameters()
        images = self._validate_images(X, reset=reset)
        if y is None:
            raise ValueError(
                "FingerprintEstimator requires y to be passed, but the target y is None. Pass the "
                "name of the generator of each image."
            )
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(images, labels)
        return images, labels

    def _check_real_label(self, *labels: NDArray[Any]) -> None:
        """Refuse labels among which photographs would be taken for one more generator."""
        found = {label for part in labels for label in part.tolist()}
        if self.real_label in found:
            return
        likely = [name for name in _PHOTOGRAPHS if name in found]
        cure = ""
        if self.false_alarm_rate is not None and found == {0, 1}:
            likely, cure = [min(found)], ", or false_alarm_rate=None if 0 is a generator as 1 is"
        if likely:
            raise ValueError(
                f"FingerprintEstimator: y has the label {likely[0]!r} and no "
                f"real_label={self.real_label!r}, so that photographs would be one more generator. "
                f"Pass real_label={likely[0]!r}{cure}."
            )

    def _check_fitted(self) -> None:
        check_is_fitted(self)
        self._refuse_changed_parameters()

    def _refuse_changed_parameters(self) -> None:
        for name, old in self._fitted_parameters.items():
            if getattr(self, name) != old:
                raise ValueError(
                    f"FingerprintEstimator: {name}={getattr(self, name)!r} was {old!r} in `fit`. "
                    "Call `fit` again after changing a parameter."
                )

    def _find_size(self, images: ImageSequence, preparation: Preprocessing) -> tuple[int, int]:
        if self.crop_size is not None:
            return check_pair(self, "crop_size")
        first = images.read(0, preparation)
        return first.shape[0], first.shape[1]

    def _batches(self, images: ImageSequence, function: Any) -> Iterator[NDArray[Any]]:
        """Apply a function to the residuals of all images, in bounded memory."""
        batch_size = max(1, min(BATCH_SIZE, _MAX_VALUES // math.prod(function.size)))
        parts = map_batches(
            function, images, self._check_parameters(), n_jobs=self.n_jobs, batch_size=batch_size
        )
        return track("Residuals", parts, len(images), show=self.verbose)

    def _score(self, images: ImageSequence, statistics: tuple[str, ...]) -> NDArray[np.float64]:
        score = partial(
            _score_residuals, patterns=to_unit(self.fingerprints_), statistics=statistics
        )
        return np.concatenate(
            list(self._batches(images, _Describe(self.residual, self._size, score)))
        )

    def _as_features(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale the correlations, which come first, so that noise has the variance 1."""
        scores[:, : scores.shape[1] // 2] *= math.sqrt(self.fingerprints_[0].size)
        return scores.astype(np.float32)

    def _margins(self, X: Any) -> NDArray[np.float64]:
        self._check_fitted()
        if self.thresholds_ is None:
            raise NotFittedError(
                "FingerprintEstimator: the thresholds are not fitted. Call `fit_thresholds` after "
                "`partial_fit`, or set false_alarm_rate=None."
            )
        return self.score_samples(X) - self.thresholds_

    def _accumulate(self, images: ImageSequence, labels: NDArray[Any], *, reset: bool) -> None:
        """Add images to the sums, and work out all attributes that follow from these."""
        preparation = self._check_parameters()
        sums = None if reset else self._sums
        size = self._find_size(images, preparation) if sums is None else self._size
        channels = (3,) if preparation.color_space == "rgb" else ()
        sums = _Sums.of(labels, (*size, *channels), sums)
        codes = np.searchsorted(sums.labels, labels)
        done = 0
        for rows in self._batches(images, _Describe(self.residual, size, _with_power)):
            sums.add(rows, codes[done : done + len(rows)])
            done += len(rows)
        self._finish(sums, size)

    def _finish(self, sums: _Sums, size: tuple[int, int]) -> None:
        is_real = np.array([label == self.real_label for label in sums.labels.tolist()])
        generators = sums.labels[~is_real]
        unknown = "unknown" if generators.dtype.kind in "OUS" else -1
        if not len(generators):
            raise ValueError(
                f"FingerprintEstimator: y has only the class {self.real_label!r}, photographs, "
                "which have no fingerprint. Pass images of at least one generator, or another "
                "real_label."
            )
        if self._rate() is not None and unknown in generators.tolist():
            raise ValueError(
                f"FingerprintEstimator: the label {unknown!r} in y is the answer for images "
                "without a known fingerprint. Rename it, or set false_alarm_rate=None."
            )
        self._sums, self._size = sums, size
        self._fitted_parameters = {
            name: getattr(self, name)
            for name in ("residual", "crop_size", "color_space", "treatment")
        }
        self.classes_, self.unknown_ = generators, unknown
        self.n_images_ = sums.counts[~is_real]
        self.n_real_ = int(sums.counts[is_real].sum())
        self.fingerprints_ = np.stack(
            [s / n for s, n in zip(sums.residuals[~is_real], self.n_images_, strict=True)]
        )
        spectra, autocorrelations = sums.spectra(size)
        self.spectra_, self.autocorrelations_ = spectra[~is_real], autocorrelations[~is_real]
        self.real_spectrum_ = spectra[is_real].sum(axis=0)
        self.real_autocorrelation_ = autocorrelations[is_real].sum(axis=0)

    def _set_thresholds(self, images: ImageSequence, labels: NDArray[Any]) -> Self:
        """Set the thresholds on the scores of images with fingerprints that are not theirs."""
        rate, n = self._rate(), len(self.classes_)
        self.thresholds_, self.false_alarm_rate_ = np.zeros(n), rate
        if rate is None:
            return self
        is_own = labels[:, np.newaxis] == self.classes_
        negatives = np.flatnonzero(~is_own.all(axis=1))
        if len(negatives) == 0:
            raise ValueError(
                f"FingerprintEstimator: false_alarm_rate={rate!r} needs images that are not of "
                f"the one generator {self.classes_[0]!r}. Pass photographs with the label "
                f"{self.real_label!r}, or set false_alarm_rate=None."
            )
        if len(negatives) > _MAX_NEGATIVES:
            random = check_random_state(self.random_state)
            negatives = np.sort(random.choice(negatives, _MAX_NEGATIVES, replace=False))
        is_own = is_own[negatives]
        scores = self._score(images.take(negatives), (self.statistic,))
        self.thresholds_, self.false_alarm_rate_ = _find_thresholds(scores, is_own, rate)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # rows of two or three numbers have no noise
        tags.transformer_tags.preserves_dtype = []  # always float32
        tags.target_tags.required = True
        return tags


class _Describe(NamedTuple):
    """Function from a batch of images to their residuals, or to what another makes of these."""

    residual: Residual
    size: tuple[int, int]
    then: Any = None

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        found, wanted = batch.shape[1:3], self.size
        places = [
            max(f - w, 0) // 2 // _JPEG_UNIT * _JPEG_UNIT
            for f, w in zip(found, wanted, strict=True)
        ]
        rows, columns = (slice(p, p + w) for p, w in zip(places, wanted, strict=True))
        cropped = batch[:, rows, columns]
        if cropped.shape[1:3] != wanted:
            raise ValueError(
                f"FingerprintEstimator: an image of {found[0]} x {found[1]} pixels is smaller than "
                f"the size of {wanted[0]} x {wanted[1]} of the fingerprints. Leave it out, set a "
                "smaller `crop_size`, or bring all images to one size by `treatment`."
            )
        residuals = noise_residuals(cropped, self.residual)
        return residuals if self.then is None else self.then(residuals)


class _Sums(NamedTuple):
    """Sums over the images of each label, whose size does not depend on the number of images."""

    labels: NDArray[Any]
    counts: NDArray[np.int64]
    residuals: NDArray[np.float64]
    powers: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[Any], shape: tuple[int, ...], before: _Sums | None) -> _Sums:
        """Make sums of nothing, or extend older ones by the labels that are new."""
        known = np.unique(labels) if before is None else np.union1d(before.labels, labels)
        powers = (len(known), shape[0], shape[1] // 2 + 1)
        made = cls(
            known, np.zeros(len(known), int), np.zeros((len(known), *shape)), np.zeros(powers)
        )
        if before is not None:
            places = np.searchsorted(known, before.labels)
            for new, old in zip(made[1:], before[1:], strict=True):
                new[places] = old
        return made

    def add(self, rows: NDArray[np.float32], codes: NDArray[np.intp]) -> None:
        """Add rows of `_with_power`."""
        n_values = math.prod(self.residuals.shape[1:])
        for code in np.unique(codes):
            total = rows[codes == code].sum(axis=0, dtype=np.float64)
            self.counts[code] += np.count_nonzero(codes == code)
            self.residuals[code] += total[:n_values].reshape(self.residuals.shape[1:])
            self.powers[code] += total[n_values:].reshape(self.powers.shape[1:])

    def spectra(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the mean power spectra and autocorrelations, with their origin in the centre."""
        means = self.powers / self.counts[:, np.newaxis, np.newaxis]
        shifts = fft.irfft2(means, s=size)
        peaks = shifts[:, :1, :1]
        shifts = np.divide(shifts, peaks, out=np.zeros_like(shifts), where=peaks > 1e-9)
        whole = fft.fft2(shifts * peaks).real
        return fft.fftshift(whole, axes=(1, 2)), fft.fftshift(shifts, axes=(1, 2))


def _with_power(residuals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the power spectrum of each residual behind it, with the mean of 1 over frequencies."""
    spectra = fft.rfft2(residuals, axes=(1, 2))
    powers = np.square(spectra.real) + np.square(spectra.imag)
    powers = (powers.mean(axis=3) if powers.ndim == 4 else powers) / math.prod(residuals.shape[1:3])
    n = len(residuals)
    return np.concatenate([residuals.reshape(n, -1), powers.reshape(n, -1)], axis=1)


def _score_residuals(
    residuals: NDArray[np.float32], patterns: NDArray[np.float32], statistics: tuple[str, ...]
) -> NDArray[np.float64]:
    functions = {"correlation": correlations, "pce": log_peak_to_energy}
    return np.concatenate([functions[s](residuals, patterns) for s in statistics], axis=1)


def _with_codes(
    batches: Iterator[NDArray[Any]], codes: NDArray[np.intp]
) -> Iterator[tuple[NDArray[Any], NDArray[np.intp]]]:
    done = 0
    for batch in batches:
        yield batch, codes[done : done + len(batch)]
        done += len(batch)


def _find_thresholds(
    scores: NDArray[np.float64], is_own: NDArray[np.bool_], rate: float
) -> tuple[NDArray[np.float64], float]:
    """Find the thresholds of scores that hold a false-alarm rate, and the rate that they hold."""
    others = np.where(is_own, np.nan, scores)
    means, spreads = np.nanmean(others, axis=0), np.nanstd(others, axis=0)
    spreads[spreads == 0] = 1
    highest = np.nanmax((others - means) / spreads, axis=1)
    limit, held = -np.inf, rate
    for is_generator in (False, True):  # the rate is held for each, as their scores differ
        part = np.sort(highest[is_own.any(axis=1) == is_generator])
        if len(part) == 0:
            continue
        # An image of a generator has one score less than an image without a known fingerprint.
        factor = 1 - is_generator / scores.shape[1]
        rank = math.ceil((len(part) + 1) * (1 - rate * factor))
        limit = max(limit, part[min(rank, len(part)) - 1])
        if rank > len(part):
            held = max(held, min(1 / (len(part) + 1) / factor, 1.0))
    return means + spreads * limit, held
