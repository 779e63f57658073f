"""Detector based on classical features: traces of processing and generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.base import ImageTransformer
from detectorkit.detectors._recorded import RecordedDetector
from detectorkit.features._planes import PLANES, PlaneSpace
from detectorkit.features.block_dct import BlockDCTTransformer
from detectorkit.features.hog import HoGTransformer
from detectorkit.features.lbp import LBPTransformer
from detectorkit.features.residual import ResidualTransformer
from detectorkit.features.smoothness import SmoothnessTransformer
from detectorkit.features.spectrum import RadialSpectrumTransformer
from detectorkit.features.stack import FeatureStack
from detectorkit.heads.stacked import LinearHead, fit_head
from detectorkit.images.batches import concatenate_batches, map_batches
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.images.treatment import Treatment
from detectorkit.training.file_changes import add_views
from detectorkit.utils.feature_cache import FeatureCache, open_cache
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.progress import track
from detectorkit.utils.validation import (
    check_choice,
    check_integer,
    check_pair,
    check_real,
    parameter_error,
)

if TYPE_CHECKING:
    import onnx

__all__ = ["DEFAULT_FEATURES", "ForensicDetector"]

DEFAULT_FEATURES = ("hog", "lbp", "residual")
"""Families of ``feature_set="default"``, chosen as docs/accuracy_details.md says."""


def _default_transformers() -> dict[str, ImageTransformer]:
    """Return the transformer of each family, with its parameters in the detector."""
    return {
        "hog": HoGTransformer(
            orientations=12,
            pixels_per_cell=(8, 8),
            cells_per_block=(1, 1),
            block_norm="L2",
            image_size=(256, 256),
        ),
        "lbp": LBPTransformer(radius=2, grid=(12, 12), color_space="ycbcr"),
        "residual": ResidualTransformer(color_space="ycbcr"),
        "block_dct": BlockDCTTransformer(color_space="ycbcr"),
        "spectrum": RadialSpectrumTransformer(color_space="ycbcr"),
        "smoothness": SmoothnessTransformer(color_space="ycbcr"),
    }


class ForensicDetector(RecordedDetector):
    """Detect AI-generated images by a stack of classical features.

    Families of features are computed at the native resolution of every image, scaled so that all
    families have the same weight, and scored by a linear classifier or by boosted trees.

    Read more in the :ref:`User Guide <forensic>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    feature_set : {"default", "all"} or sequence of str or of transformers, default="default"
        Families of features: names out of "hog", "lbp", "residual", "block_dct", "spectrum" and
        "smoothness", with parameters that worked well in experiments; or transformers of
        `detectorkit.features` with your own parameters. "default" means HoG, LBP and residuals.
    C : float, default=10.0
        Inverse strength of the regularisation of the linear classifiers, as in scikit-learn. As
        features are scaled to a small variance, useful values are large: from 1 for "svm", from 30
        for "logistic".
    classifier : {"svm", "logistic", "boosting"}, default="svm"
        Classifier of the features: a linear support vector machine, logistic regression, or
        `sklearn.ensemble.HistGradientBoostingClassifier`, which is slow with thousands of features
        unless `n_components` is set. "svm" is meant for up to some ten thousand images.
    n_components : int, default=None
        Number of principal components to which the scaled features are reduced first. None uses
        the features themselves.
    color_space : {"gray", "rgb", "ycbcr"}, default=None
        Colour planes on which all families are computed (HoG uses grey instead of "ycbcr"). None
        leaves each family its own: "ycbcr" for all but HoG.
    image_size : tuple of (int, int), default=None
        Height and width to which all images are resized first, which destroys the finest traces.
        None keeps the native resolution, except that HoG resizes the images for itself.
    treatment : None, "aligned" or Treatment, default=None
        Treatment of every image, in training and in predictions; it is saved with the model.
        "aligned" takes the centre square, resizes it to 160 x 160 pixels and encodes it as JPEG,
        see `detectorkit.images.Treatment`. None takes images as they are.
    class_weight : dict or "balanced", default=None
        Factors by which the weights of the images of each class are multiplied. "balanced" gives
        both classes the same total weight; None leaves all weights as they are.
    n_views : int, default=0
        Number of random variants of each training image, on which the detector is fitted too. They
        are smaller and encoded anew, as files on the web are; see
        `detectorkit.training.FileChanges`. The time and memory of `fit` grow with them.
    cache_dir : str or Path, default=None
        Folder in which `fit` keeps the features between calls, by the content of the image files,
        so that files that are known are not decoded again. None keeps none.
    input_shape : tuple of int, default=None
        Shape of one image, (height, width) or (height, width, n_channels), where X is a 2-D array
        of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that decode images and compute features. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Source of randomness for the folds on which the probabilities are fitted, and for the
        principal components of large data sets.
    verbose : bool, default=False
        Whether `fit` shows its progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    families_ : dict of str to slice
        Columns of each family among all features.
    preprocessing_ : Preprocessing
        Size and colour space to which images are converted.
    transformers_ : list of transformers
        Transformers that compute the features, one for each family.
    head_ : LinearHead or BoostingHead
        Fitted classifier, which computes the score from the features. A linear one has `coef` and
        `intercept`, which apply to unscaled features.
    threshold_ : float
        Score above which `predict` returns "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration
        Map from scores to probabilities, used by `predict_proba`; fitted on held-out scores.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell", as `fit_band` sets it; None after `fit`.
    record_ : ModelRecord
        Record of the model, with its current threshold and calibration.
    training_summary_ : dict
        Number of images in total and in each class, generators and sources if `origin` was passed,
        and settings; saved with the model.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    HoGSVMDetector : A detector on HoG features alone.
    detectorkit.load_detector : Read a saved detector.

    Notes
    -----
    With its default features, images need at least 32 x 32 pixels. Floats are rounded to 8 bits.

    Each feature is scaled to the variance 1, divided by the number of features of its family and
    by the number of families. Both linear classifiers are solved exactly; if there are more
    features than images, in the space that the images span. `fit` needs 4 bytes of memory for each
    feature of each image, which is some 160 kB per image with the default features, and 12 bytes
    for each pair of images.

    Examples
    --------
    >>> from detectorkit import ForensicDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = ForensicDetector(["residual", "spectrum"], random_state=0)
    >>> detector.fit(data.data, data.target).predict(data.data[:2]).shape
    (2,)
    """

    def __init__(
        self,
        feature_set: str | Sequence[str] | Sequence[ImageTransformer] = "default",
        *,
        C: float = 10.0,
        classifier: Literal["svm", "logistic", "boosting"] = "svm",
        n_components: int | None = None,
        color_space: PlaneSpace | None = None,
        image_size: tuple[int, int] | None = None,
        treatment: Literal["aligned"] | Treatment | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        n_views: int = 0,
        cache_dir: str | Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.feature_set = feature_set
        self.C = C
        self.classifier = classifier
        self.n_components = n_components
        self.color_space = color_space  # type: ignore[assignment] # None: each family its own
        self.image_size = image_size
        self.treatment = treatment
        self.class_weight = class_weight
        self.n_views = n_views
        self.cache_dir = cache_dir
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, origin: Any = None
    ) -> Self:
        """Fit the classifier and its probabilities.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images. None weighs all images equally.
        groups : array-like of shape (n_samples,), default=None
            Group of each image. Images of one group are held out together when the probabilities
            are fitted. Pass groups where images come in pairs or copies, such as photographs and
            their reconstructions: without them, the probabilities are far off.
        origin : array-like of shape (n_samples,), default=None
            Generator of each generated image and source of each photograph, for the training
            summary.

        Returns
        -------
        self : object
            The detector itself, fitted to X and y.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If a parameter is wrong, X is not a set of images, an image is too small for the
            features, or y does not have two classes.
        """
        settings, treatment = self._check_head(), self._check_treatment()
        stack = self._make_stack()
        n_views = check_integer(self, "n_views", minimum=0)
        random_state = check_random_state(self.random_state)
        training = self._check_training(X, y, sample_weight, groups, origin)
        training = add_views(training, n_views, random_state)
        images, y = training.images, training.y

        size = None if self.image_size is None else check_pair(self, "image_size")
        preprocessing = Preprocessing(size, stack.color_space, treatment=treatment)
        first = stack.describe_families(images.read(0, preprocessing)[np.newaxis])
        ends = np.cumsum([part.shape[1] for part in first])
        made_by = (preprocessing, stack.to_record(), int(ends[-1]))
        cache = open_cache(self.cache_dir, "forensic", made_by)
        batches = self._describe(images, preprocessing, stack, int(ends[-1]), cache=cache)
        shown = track("Computing features", batches, len(y), show=self.verbose)
        features = concatenate_batches(iter(shown), len(y))
        slices = [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        fitted = fit_head(
            features,
            y,
            families=slices,
            sample_weight=training.weight,
            groups=training.groups,
            random_state=random_state,
            **settings,
        )
        self.preprocessing_ = preprocessing
        self.transformers_ = stack.transformers
        self.families_ = dict(zip(stack.names, slices, strict=True))
        self.head_ = fitted.head
        self._finish_fit(
            training, fitted.held_out, fitted.held_out_scores, n_views=n_views, **settings
        )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Compute the scores of the images.

        With "svm", a score is the signed distance from the separating plane in units of the margin.
        With the other classifiers, it is the logarithm of the odds of "generated" among images like
        those in training.

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
        """
        check_is_fitted(self)
        return self._map(X, self.head_.score).astype(np.float64)

    def family_importance(
        self,
        X: Any,
        y: Any = None,
        *,
        n_repeats: int = 5,
        random_state: int | np.random.RandomState | None = None,
    ) -> dict[str, float]:
        """Compute the importance of each family of features.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,), default=None
            Labels of the images. With labels, the importance of a family is the loss of area under
            the ROC curve when its features are permuted among the images. With None, it is the
            standard deviation of the family's part of the score, which only a linear head has.
        n_repeats : int, default=5
            Number of permutations over which the importance is averaged.
        random_state : int, RandomState instance or None, default=None
            Source of randomness for the permutations.

        Returns
        -------
        importance : dict of str to float
            Importance of each family, by its name.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If `y` is missing and the head is not linear.
        """
        check_is_fitted(self)
        head: Any = self.head_
        if y is None and not isinstance(head, LinearHead):
            raise ValueError(
                f"{type(self).__name__}: y=None, but the score of boosted trees has no parts that "
                "belong to families. Pass y for the importance by permutation."
            )
        y = None if y is None else encode_labels("family_importance", y, self)
        features = self._map(X, None)
        if y is None:
            coef = head.coef
            return {
                name: float(np.std(features[:, part] @ coef[part]))
                for name, part in self.families_.items()
            }
        check_consistent_length(features, y)
        random = check_random_state(random_state)
        whole = roc_auc_score(y, head.score(features))
        importance = {}
        for name, part in self.families_.items():
            areas = []
            for _ in range(n_repeats):
                permuted = features.copy()
                permuted[:, part] = features[random.permutation(len(features)), part]
                areas.append(roc_auc_score(y, head.score(permuted)))
            importance[name] = float(whole - np.mean(areas))
        return importance

    def to_onnx(self) -> onnx.ModelProto:
        """Convert the fitted detector to an ONNX model.

        Returns
        -------
        model : onnx.ModelProto
            Model with the outputs "score" and "probability" of "generated", both of shape (n,).
            With `image_size` and families that can be written as operators ("hog", "lbp" and
            "block_dct", in grey or RGB), its input "pixels" takes uint8 images of that size.
            Otherwise its input "features" takes rows of float32 features of shape (n, n_features);
            `detectorkit.load_detector` computes them as the record in the metadata says.
        """
        from detectorkit.graph.features import forensic_graph

        check_is_fitted(self)
        return forensic_graph(self.record_, self.head_, self._n_features)

    @property
    def _graph_input(self) -> str:
        from detectorkit.graph.features import is_writable

        return "pixels" if is_writable(self.record_) else "features"

    def _describe_itself(self) -> dict[str, Any]:
        return {
            "detector": type(self).__name__,
            "preprocessing": self.preprocessing_,
            "features": FeatureStack(self.transformers_).to_record(),
        }

    @property
    def _n_features(self) -> int:
        return max(int(part.stop) for part in self.families_.values())

    def _map(self, X: Any, score: Any) -> NDArray[np.float32]:
        """Compute the features of images, or the result of `score` on them."""
        images = self._validate_images(X, reset=False)
        stack = FeatureStack(self.transformers_)
        batches = self._describe(images, self.preprocessing_, stack, self._n_features, score)
        return concatenate_batches(batches, len(images))

    def _describe(
        self,
        images: ImageSequence,
        preprocessing: Preprocessing,
        stack: FeatureStack,
        n_features: int,
        score: Any = None,
        cache: FeatureCache | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        function = partial(_compute, stack=stack, n_features=n_features, score=score)
        return map_batches(function, images, preprocessing, n_jobs=self.n_jobs, cache=cache)

    def _check_head(self) -> dict[str, Any]:
        return {
            "classifier": check_choice(self, "classifier", ("svm", "logistic", "boosting")),
            "C": check_real(self, "C", above=0),
            "n_components": None
            if self.n_components is None
            else check_integer(self, "n_components", minimum=1),
        }

    def _make_stack(self) -> FeatureStack:
        """Make the transformers, with `color_space` and `image_size` of this detector."""
        space: str | None = self.color_space
        if space is not None:
            check_choice(self, "color_space", tuple(PLANES))
        transformers = [clone(transformer) for transformer in self._chosen()]
        for transformer in transformers:
            # The detector reads the images itself, in its own n_jobs threads.
            transformer.set_params(input_shape=None, n_jobs=None)
            if self.image_size is not None:
                transformer.set_params(image_size=None)
            if space is not None:
                is_gray = isinstance(transformer, HoGTransformer) and space == "ycbcr"
                transformer.set_params(color_space="gray" if is_gray else space)
        return FeatureStack(transformers)

    def _chosen(self) -> list[ImageTransformer]:
        known = _default_transformers()
        chosen: Any = self.feature_set
        if isinstance(chosen, str) and chosen in {"default", "all"}:
            chosen = DEFAULT_FEATURES if chosen == "default" else tuple(known)
        is_sequence = isinstance(chosen, list | tuple) and len(chosen) > 0
        if is_sequence and all(isinstance(one, ImageTransformer) for one in chosen):
            return list(chosen)
        if is_sequence and set(chosen) <= set(known) and len(set(chosen)) == len(chosen):
            return [known[name] for name in chosen]
        raise parameter_error(
            self,
            "feature_set",
            "'default', 'all', a sequence of different names out of "
            + ", ".join(map(repr, known))
            + ", or a sequence of transformers of detectorkit.features",
        )


def _compute(
    batch: NDArray[Any], *, stack: FeatureStack, n_features: int, score: Any
) -> NDArray[np.float32]:
    """Compute the features of a batch of images, or the result of `score` on them."""
    features = stack.describe(batch, n_features)
    return features if score is None else score(features)
