"""Detector of the original study: a linear support vector machine on HoG features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from detectorkit.detectors._recorded import RecordedDetector
from detectorkit.features.hog import BlockNorm, check_hog_parameters, hog_features
from detectorkit.heads.linear_svm import GRAM_LIMIT, solve_gram, solve_stream
from detectorkit.images.batches import concatenate_batches, map_batches
from detectorkit.images.preprocessing import ColorSpace, Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.images.treatment import Treatment
from detectorkit.training.file_changes import add_views
from detectorkit.utils.feature_cache import FeatureCache, open_cache
from detectorkit.utils.progress import track
from detectorkit.utils.validation import check_choice, check_integer, check_real

if TYPE_CHECKING:
    import onnx

__all__ = ["HoGSVMDetector"]


class HoGSVMDetector(RecordedDetector):
    """Detect AI-generated images with a linear SVM on HoG features.

    Each image is resized to `image_size`, described by a histogram of oriented gradients,
    and scored by a linear support vector machine.

    Read more in the :ref:`User Guide <hog_svm>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    C : float, default=0.01
        Inverse strength of the regularisation, as in `sklearn.svm.SVC`. Useful values are small, as
        there are many HoG features, of unit norm in each block.
    orientations : int, default=9
        Number of orientation bins over 180 degrees.
    pixels_per_cell : tuple of (int, int), default=(8, 8)
        Height and width of a cell, in pixels.
    cells_per_block : tuple of (int, int), default=(2, 2)
        Number of rows and columns of cells in a block.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Normalisation of the histogram of a block.
    transform_sqrt : bool, default=False
        Whether the square root of every pixel is taken first, against uneven light.
    color_space : {"gray", "rgb"}, default="gray"
        Colour space of the images. In "rgb", the channel with the largest gradient is used at
        each pixel.
    image_size : tuple of (int, int), default=(128, 128)
        Height and width to which images are resized, after float images have been rounded
        to 8 bits. None keeps the size of the images, which must then all be equal. Rows of a
        2-D float array are not rounded.
    solver : {"auto", "gram", "stream"}, default="auto"
        Solver of the support vector machine. "gram" is exact and keeps all features and 12 bytes
        per pair of images in memory. "stream" finds the same weights to about 1e-3 in passes over
        features in a temporary file, of two bytes each. In memory are some 50 bytes per image, and
        there are at most 200 passes, so the time is linear in the number of images. "auto" uses
        "gram" for up to 10 000 images.
    treatment : None, "aligned" or Treatment, default=None
        Treatment of every image, in training and in predictions; it is saved with the model.
        "aligned" takes the centre square, resizes it to 160 x 160 pixels and encodes it as JPEG,
        see `detectorkit.images.Treatment`. None takes images as they are.
    class_weight : dict or "balanced", default=None
        Factors by which `C` is multiplied for each class. "balanced" gives both classes the same
        total weight; None leaves all weights as they are.
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
        Source of randomness for the images on which the probabilities are fitted, and for the
        order of images in "stream".
    verbose : bool, default=False
        Whether `fit` shows its progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    coef_ : ndarray of shape (1, n_features)
        Weights of the HoG features.
    intercept_ : ndarray of shape (1,)
        Constant in the score, ``features @ coef_[0] + intercept_``.
    threshold_ : float
        Score above which `predict` returns "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration
        Map from scores to probabilities, used by `predict_proba`; fitted on held-out scores.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell", as `fit_band` sets it; None after `fit`.
    working_size_ : tuple of (int, int)
        Height and width of the images from which the features are computed.
    record_ : ModelRecord
        Record of the model, with its current threshold and calibration.
    training_summary_ : dict
        Number of images in total and in each class, generators and sources if `origin` was passed,
        and the solver used; saved with the model.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    detectorkit.features.HoGTransformer : The HoG features alone, for pipelines.
    detectorkit.load_detector : Read a saved detector.

    Notes
    -----
    "gram" finds the solution of ``SVC(kernel="linear")`` on the same features, some fifteen
    times faster: with far more features than images, almost all the time is spent on inner
    products, which are computed by one float32 matrix product. The folds for the probabilities
    use the same matrix. libsvm [2]_ solves the remaining problem.

    The histogram is that of `skimage.feature.hog`, without the interpolation of the
    paper [1]_. Parameters that are set after `fit` take effect at the next `fit`, except `n_jobs`
    and `input_shape`.

    References
    ----------
    .. [1] Dalal, N. and Triggs, B. (2005). Histograms of oriented gradients for human
       detection. CVPR. :doi:`10.1109/CVPR.2005.177`
    .. [2] Chang, C.-C. and Lin, C.-J. (2011). LIBSVM: a library for support vector machines.
       ACM TIST. :doi:`10.1145/1961189.1961199`

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data, data.target)
    >>> detector.predict(data.data[:2]).shape
    (2,)
    """

    def __init__(
        self,
        C: float = 0.01,
        *,
        orientations: int = 9,
        pixels_per_cell: tuple[int, int] = (8, 8),
        cells_per_block: tuple[int, int] = (2, 2),
        block_norm: BlockNorm = "L2-Hys",
        transform_sqrt: bool = False,
        color_space: ColorSpace = "gray",
        image_size: tuple[int, int] | None = (128, 128),
        solver: Literal["auto", "gram", "stream"] = "auto",
        treatment: Literal["aligned"] | Treatment | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        n_views: int = 0,
        cache_dir: str | Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.C = C
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt
        self.color_space = color_space
        self.image_size = image_size
        self.solver = solver
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
        """Fit the support vector machine and its probabilities.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        sample_weight : array-like of shape (n_samples,), default=None
            Factors by which `C` is multiplied for each image. None weighs all images equally.
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
            If a parameter is wrong, X is not a set of images, or y does not have two classes.
        """
        C = check_real(self, "C", above=0)
        check_choice(self, "solver", ("auto", "gram", "stream"))
        hog, preprocessing = check_hog_parameters(self), self._check_preprocessing()
        n_views = check_integer(self, "n_views", minimum=0)
        random_state = check_random_state(self.random_state)
        training = self._check_training(X, y, sample_weight, groups, origin)
        training = add_views(training, n_views, random_state)
        images, y = training.images, training.y

        working_size = images.read(0, preprocessing).shape[:2]
        uses_gram = self.solver == "gram" or (self.solver == "auto" and len(y) <= GRAM_LIMIT)
        made_by = (preprocessing, hog, working_size)
        cache = open_cache(self.cache_dir, "hog", made_by)
        parts = self._features(images, *made_by, cache=cache)
        batches = track("Computing features", parts, len(y), show=self.verbose)
        settings = {"C": C, "sample_weight": training.weight, "random_state": random_state}
        if uses_gram:
            features = concatenate_batches(batches, len(y))
            solution = solve_gram(features, y, groups=training.groups, **settings)
        else:
            solution = solve_stream(
                batches, y, groups=training.groups, verbose=self.verbose, **settings
            )

        self.coef_ = solution.coef[np.newaxis]
        self.intercept_ = np.array([solution.intercept])
        self.working_size_ = working_size
        self._fitted = {
            "image_size": preprocessing.image_size,
            "color_space": preprocessing.color_space,
            "treatment": preprocessing.treatment,
            "hog": hog,
        }
        solver = "gram" if uses_gram else "stream"
        self._finish_fit(
            training,
            solution.held_out,
            solution.held_out_scores,
            C=C,
            solver=solver,
            n_views=n_views,
        )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Compute the signed distances of the images from the plane, in units of the margin.

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
        images = self._validate_images(X, reset=False)
        coef = self.coef_[0].astype(np.float32)
        preprocessing, hog = self._fitted_parameters()
        batches = self._features(images, preprocessing, hog, self.working_size_, coef=coef)
        return concatenate_batches(batches, len(images)).astype(np.float64) + self.intercept_[0]

    def to_onnx(self) -> onnx.ModelProto:
        """Convert the fitted detector to one ONNX model, HoG included.

        Returns
        -------
        model : onnx.ModelProto
            Model whose input "pixels" takes uint8 images of `working_size_`, of shape (n, height,
            width), or (n, height, width, 3) in RGB. Its outputs are "score" and "probability" of
            "generated", both float32 of shape (n,). The metadata contain a JSON record of
            everything else that a prediction needs.
        """
        from detectorkit.graph.hog import hog_svm_graph

        check_is_fitted(self)
        return hog_svm_graph(self.record_, self.coef_[0], float(self.intercept_[0]))

    def _describe_itself(self) -> dict[str, Any]:
        preprocessing, hog = self._fitted_parameters()
        return {
            "detector": type(self).__name__,
            "preprocessing": replace(preprocessing, image_size=self.working_size_),
            "features": [{"name": "hog", **hog}],
        }

    def _fitted_parameters(self) -> tuple[Preprocessing, dict[str, Any]]:
        """Return the preprocessing and HoG parameters of `fit`, even if changed since."""
        fitted: dict[str, Any] | None = getattr(self, "_fitted", None)
        if fitted is None:  # pickled by an older version, which did not keep them
            return self._check_preprocessing(), check_hog_parameters(self)
        preprocessing = Preprocessing(
            fitted["image_size"], fitted["color_space"], treatment=fitted.get("treatment")
        )
        return preprocessing, fitted["hog"]

    def _features(
        self,
        images: ImageSequence,
        preprocessing: Preprocessing,
        hog: dict[str, Any],
        size: tuple[int, ...],
        coef: NDArray[np.float32] | None = None,
        cache: FeatureCache | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """Compute the features batch by batch, or with `coef` their products with `coef`."""
        function = partial(_describe, size=size, coef=coef, **hog)
        return map_batches(function, images, preprocessing, n_jobs=self.n_jobs, cache=cache)


def _describe(
    batch: NDArray[Any],
    *,
    size: tuple[int, ...],
    coef: NDArray[np.float32] | None,
    **hog: Any,
) -> NDArray[np.float32]:
    if batch.shape[1:3] != size:
        raise ValueError(
            f"HoGSVMDetector: an image has {batch.shape[1]} x {batch.shape[2]} pixels, but the "
            f"first one in `fit` had {size[0]} x {size[1]}. Set `image_size` to resize all images "
            "to one size."
        )
    features = hog_features(batch, **hog)
    return features if coef is None else features @ coef
