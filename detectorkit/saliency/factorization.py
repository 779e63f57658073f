"""Concepts that a network finds in real and in generated images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import NMF
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.base import _EstimatorBase
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.saliency._activations import LayerRun, layer_run
from detectorkit.saliency._base import Map, place_back, window_of
from detectorkit.saliency._kept import KeptMixin
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.progress import track
from detectorkit.utils.validation import check_integer, check_seed, parameter_error, refuse_name

__all__ = ["ConceptExamples", "DeepFeatureFactorization"]


class ConceptExamples(NamedTuple):
    """The crops of images in which a concept is strongest.

    Attributes
    ----------
    indices : ndarray of shape (n,), dtype int
        Indices of the images, from the largest weight of the concept down.
    places : ndarray of shape (n, 2), dtype int
        First row and column of each crop, in pixels of its image.
    crops : list of ndarray of shape (height, width, 3)
        Crops of the images, one for each index.
    """

    indices: NDArray[np.intp]
    places: NDArray[np.intp]
    crops: list[NDArray[Any]]


class DeepFeatureFactorization(
    KeptMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _EstimatorBase
):
    """Factorise the activations of a layer into concepts, and compare these between the classes.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a network of convolutions and takes whole images.
    layer : str, default=None
        Name, in the detector's graph, of the tensor that is factorised: of shape (n, channels,
        height, width), nowhere negative. None takes the last one after a ReLU that has more than
        one place.
    n_concepts : int, default=4
        Number of concepts to find.
    max_iter : int, default=400
        Maximum number of iterations of the factorisation; it warns where they do not suffice.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the start of the singular value decomposition.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether progress is shown on standard error.

    Attributes
    ----------
    components_ : ndarray of shape (n_concepts, n_channels)
        The concepts: directions in the space of the channels, of length 1.
    layer_ : str
        Name of the tensor that was factorised.
    prevalence_ : ndarray of shape (n_samples, n_concepts)
        Mean weight of each concept over the places of each image.
    concept_auc_ : ndarray of shape (n_concepts,)
        ROC AUC of each concept's prevalence for "generated", on the images of `fit`: 1 where only
        generated images have it, 0 where only real ones do. Set if y is given.
    reconstruction_err_ : float
        Frobenius norm of the difference between the activations and their factorisation.

    See Also
    --------
    GradientSaliency : Maps of the pixels on which the score of one image depends.
    gradient_statistics : Statistics of the gradients of many images.

    Notes
    -----
    The activations at all places of all images are the rows of one matrix. It is approximated by
    the product of two non-negative matrices [1]_: the weights of the concepts at each place, and
    the concepts. The factorisation begins with the singular vectors (NNDSVDa). Here real
    and generated images are factorised together, so that a concept means the same in both and its
    prevalences can be compared; that is new. The weights are then computed again image by image,
    so that those of an image do not depend on the other images.

    Concepts are found without the labels and without the score: one that tells the classes apart
    need not be what the detector looks at. The AUCs are those of the images in which the concepts
    were found; those of other images can be computed from `transform`.

    While `fit` runs, the matrix is held in memory: 4 bytes for each place and channel of each
    image, so 250 MB for 1000 images of 7 x 7 places and 1280 channels, and the images of one run of
    the network. Afterwards, only concepts and prevalences are kept.

    References
    ----------
    .. [1] E. Collins, R. Achanta, S. Süsstrunk, "Deep feature factorization for concept
       discovery", ECCV 2018, :doi:`10.1007/978-3-030-01264-9_21`.

    Examples
    --------
    The layer of this network holds the colours of the pixels. The right half is blue in generated
    images and green in real ones:

    >>> import numpy as np
    >>> from onnx import parser
    >>> from detectorkit import OnnxDetector
    >>> from detectorkit.graph.inputs import NetworkInput
    >>> from detectorkit.saliency.factorization import DeepFeatureFactorization
    >>> network = parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 17]>
    ...     colours (float[n, 3, 16, 16] images) => (float[n, 1] logit) {
    ...         found = Relu (images)
    ...         means = GlobalAveragePool (found)
    ...         logit = ReduceMean <axes = [1, 2], keepdims = 0> (means)
    ...     }''')
    >>> prepared = NetworkInput((16, 16), mean=(0, 0, 0), std=(1, 1, 1))
    >>> X, y = np.zeros((8, 16, 16, 3), np.uint8), [0, 1] * 4
    >>> X[:, :, :8, 0] = X[::2, :, 8:, 1] = X[1::2, :, 8:, 2] = 200
    >>> detector = OnnxDetector(network.SerializeToString(), network_input=prepared).fit(X)
    >>> concepts = DeepFeatureFactorization(detector, n_concepts=3).fit(X, y)
    >>> sorted(concepts.concept_auc_.tolist())
    [0.0, 0.5, 1.0]
    >>> concepts.heatmaps(X).shape
    (8, 3, 16, 16)
    """

    components_: NDArray[np.float32]
    layer_: str
    prevalence_: NDArray[np.float32]
    concept_auc_: NDArray[np.float64]
    reconstruction_err_: float

    def __init__(
        self,
        detector: Any,
        *,
        layer: str | None = None,
        n_concepts: int = 4,
        max_iter: int = 400,
        random_state: int | np.random.RandomState | None = 0,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.layer = layer
        self.n_concepts = n_concepts
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the concepts of a set of images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.
        y : array-like of shape (n_samples,), default=None
            Labels of the images, which do not change the concepts; they are needed for
            `concept_auc_`.

        Returns
        -------
        self : object
            The factorisation itself, now fitted.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ModelFileError
            If the detector is not a graph from pixels, or takes crops of images.
        ValueError
            If a parameter is wrong, X is not a set of images, or y does not hold
            both classes.
        """
        refuse_name(type(self).__name__, self.detector)
        check_is_fitted(self.detector)
        name = type(self).__name__
        images = check_images(X, caller=name)
        factorizer = NMF(
            check_integer(self, "n_concepts", minimum=1),
            init="nndsvda",
            max_iter=check_integer(self, "max_iter", minimum=1),
            random_state=check_seed(name, self.random_state),
        )
        codes = None
        if y is not None:
            codes = encode_labels(name, y, self.detector, need_both=True) == 1
            check_consistent_length(images, codes)
        run = self._run(self.layer)
        activations = self._activations(run, images)
        self._factorize(factorizer, activations.reshape(-1, run.shape[0]))
        self.layer_ = run.layer
        self.prevalence_ = np.stack([self._weigh(one).mean(axis=(0, 1)) for one in activations])
        if codes is not None:
            scores = self.prevalence_.T
            self.concept_auc_ = np.array([roc_auc_score(codes, one) for one in scores])
        elif hasattr(self, "concept_auc_"):
            del self.concept_auc_  # it belongs to another set of images
        return self

    def _run(self, layer: str | None) -> LayerRun:
        caller = type(self).__name__
        return layer_run(self.detector, self._kept, layer, caller=caller, n_jobs=self.n_jobs)

    def _activations(self, run: LayerRun, images: ImageSequence) -> NDArray[np.float32]:
        """Return the activations of all images: (n_samples, height, width, n_channels)."""
        whole = np.empty((len(images), *run.shape[1:], run.shape[0]), np.float32)
        done = 0
        for batch in self._batches(run, images):
            whole[done : done + len(batch)] = batch
            done += len(batch)
        return whole

    def _batches(self, run: LayerRun, images: ImageSequence) -> Iterator[NDArray[np.float32]]:
        batches = run.batches(images, caller=type(self).__name__)
        return track("Running the network", batches, len(images), show=self.verbose)

    def _factorize(self, factorizer: NMF, rows: NDArray[np.float32]) -> None:
        if factorizer.n_components > min(rows.shape):
            raise parameter_error(
                self, "n_concepts", f"at most {min(rows.shape)} for {rows.shape} places x channels"
            )
        if not rows.any():
            raise ValueError(
                f"{type(self).__name__}: the layer is 0 everywhere in these images, so it "
                "cannot be factorised. Choose another `layer`."
            )
        factorizer.fit(rows)
        self.reconstruction_err_ = float(factorizer.reconstruction_err_)
        # The scale of the factors of a product is arbitrary. With directions of length 1, weights
        # have the unit of the activations, and those of two concepts can be compared.
        length = np.linalg.norm(factorizer.components_, axis=1, keepdims=True)
        factorizer.components_ /= np.where(length > 0, length, 1)
        self.components_ = factorizer.components_
        self._factorizer = factorizer

    def _weigh(self, activations: NDArray[np.float32]) -> Map:
        """Compute the weights of the concepts in one image: (height, width, n_concepts)."""
        rows = activations.reshape(-1, activations.shape[-1])
        weights: Map = self._factorizer.transform(rows)
        return weights.reshape(*activations.shape[:2], -1)

    def _weights(self, images: ImageSequence) -> Iterator[Map]:
        """Yield the weights of the concepts for each image in turn."""
        for batch in self._batches(self._run(self.layer_), images):
            yield from map(self._weigh, batch)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the prevalence of each concept in each image.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.

        Returns
        -------
        prevalence : ndarray of shape (n_samples, n_concepts), dtype float32
            Mean weight of each concept over the places of each image.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If X is not a set of images.
        """
        check_is_fitted(self)
        images = check_images(X, caller=type(self).__name__)
        return np.stack([weights.mean(axis=(0, 1)) for weights in self._weights(images)])

    def heatmaps(self, X: Any) -> Map | list[Map]:
        """Compute heat maps of the concepts.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.

        Returns
        -------
        maps : ndarray of shape (n_samples, n_concepts, height, width), dtype float32, or list
            Weights of the concepts, at each image's height and width. A list if these differ.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If X is not a set of images.
        """
        check_is_fitted(self)
        images = check_images(X, caller=type(self).__name__)
        preprocessing = self._run(self.layer_).record.preprocessing
        maps = []
        for index, weights in enumerate(self._weights(images)):
            shape = images.shape_of(index)
            planes = np.ascontiguousarray(np.moveaxis(weights, 2, 0))
            maps.append(np.stack([place_back(one, shape, preprocessing) for one in planes]))
        return np.stack(maps) if len({one.shape for one in maps}) == 1 else maps

    def example_crops(
        self, X: Any, *, n_examples: int = 4, crop_size: tuple[int, int] = (48, 48)
    ) -> list[ConceptExamples]:
        """Cut out the parts of images in which the concepts are strongest.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.
        n_examples : int, default=4
            Maximum number of crops of a concept; at most one is cut from an image, and none where
            the concept is absent.
        crop_size : tuple of (int, int), default=(48, 48)
            Height and width of a crop, in pixels of the image. The place of the largest weight is
            in its middle, unless that is too near to the edge. A smaller image is taken whole.

        Returns
        -------
        examples : list of ConceptExamples
            The crops, one entry for each concept.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ValueError
            If X is not a set of images, or an argument is wrong.
        """
        check_is_fitted(self)
        caller = type(self).__name__
        if n_examples < 1 or min(crop_size) < 1:
            raise ValueError(
                f"{caller}: n_examples={n_examples!r} and crop_size={crop_size!r} must be positive."
            )
        images = check_images(X, caller=caller)
        peaks, centres = zip(*map(_find_peaks, self._weights(images)), strict=True)
        preprocessing = self._run(self.layer_).record.preprocessing
        return [
            _cut_examples(images, preprocessing, heat, centre, n_examples, crop_size)
            for heat, centre in zip(np.stack(peaks, 1), np.stack(centres, 1), strict=True)
        ]

    @property
    def _n_features_out(self) -> int:
        # ClassNamePrefixFeaturesOutMixin asks for this name.
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags


def _find_peaks(weights: Map) -> tuple[Map, NDArray[np.float64]]:
    """Return the largest weight of each concept and its place, as proportions of the image."""
    rows = weights.reshape(-1, weights.shape[2])
    places = np.unravel_index(rows.argmax(axis=0), weights.shape[:2])
    return rows.max(axis=0), (np.stack(places, axis=1) + 0.5) / weights.shape[:2]


def _cut_examples(
    images: ImageSequence,
    preprocessing: Preprocessing,
    heat: Map,
    centres: NDArray[np.float64],
    n_examples: int,
    crop_size: tuple[int, int],
) -> ConceptExamples:
    """Cut out one concept from the images in which its weights are largest."""
    indices = np.argsort(-heat, kind="stable")[: min(n_examples, int(np.sum(heat > 0)))]
    places, crops = [], []
    for index in indices:
        image = images[int(index)]
        size = np.minimum(crop_size, image.shape[:2])
        window = window_of(preprocessing, image.shape[:2])
        ends = np.array([(one.start, one.stop) for one in window])
        centre = ends[:, 0] + centres[index] * np.diff(ends)[:, 0]
        corner = np.rint(centre - size / 2).astype(int)
        top, left = np.clip(corner, 0, image.shape[:2] - size)
        places.append((top, left))
        crops.append(image[top : top + size[0], left : left + size[1]])
    return ConceptExamples(indices, np.array(places, np.intp).reshape(-1, 2), crops)
