"""Whether a map says what its detector looks at.

====================== ==============================================================
function               asks
====================== ==============================================================
`deletion_insertion`   Does the verdict fall with the pixels that the map names first?
`max_sensitivity`      Does the map stay, where the image hardly changes?
`randomization_check`  Does the map change, where the detector knows nothing any more?
`pointing_game`        Does the map find the half of a splice that was generated?
====================== ==============================================================

No single one is proof. A map that shows the edges of the image passes the second and fails the
third; a detector that looks at one trace everywhere leaves the first without much to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.utils.validation import check_is_fitted

from detectorkit.decoding import convert_color, resize_image
from detectorkit.detectors.onnx import OnnxDetector
from detectorkit.evaluation.estimates import Estimate, share
from detectorkit.exceptions import ModelFileError
from detectorkit.images import Image, ImageSequence, as_levels, check_images
from detectorkit.saliency._base import Map
from detectorkit.saliency._score import content_of
from detectorkit.saliency.occlusion import predict_mixtures, read_as_given, score_batch
from detectorkit.saliency.replacements import REPLACEMENTS, from_levels, make_replacement
from detectorkit.utils.validation import check_argument

__all__ = [
    "DeletionInsertion",
    "PointingGame",
    "RandomizationCheck",
    "deletion_insertion",
    "max_sensitivity",
    "pointing_game",
    "randomization_check",
]

_N_STAGES: Final = 4
_LARGEST_CONSTANT: Final = 64  # numbers; what has no more is a constant, not learned
_FLOATS: Final = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
_SEAM: Final = 4.0  # pixels over which one half of a splice fades into the other
_SMOOTHING: Final = 0.02  # standard deviation, as a share of the longer side
_SIDES: Final = ("left", "right", "top", "bottom")


class DeletionInsertion(NamedTuple):
    """What `deletion_insertion` found, for each image.

    Attributes
    ----------
    deletion : ndarray of shape (n_samples,)
        Area under the deletion curve, from 0 to 1. Lower is better.
    insertion : ndarray of shape (n_samples,)
        Area under the insertion curve, from 0 to 1. Higher is better.
    deletion_curves : ndarray of shape (n_samples, n_steps + 1)
        Probability of the verdict, from the image to its replacement.
    insertion_curves : ndarray of shape (n_samples, n_steps + 1)
        The same, from the replacement to the image.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_curves: NDArray[np.float64]
    insertion_curves: NDArray[np.float64]


class RandomizationCheck(NamedTuple):
    """What `randomization_check` found, for each stage.

    Attributes
    ----------
    correlation : ndarray of shape (n_stages, n_samples)
        Rank correlation of the map's absolute values with those of the map of the detector as it
        was. Near 0 is good; near 1, the map does not depend on what was learned.
    n_tensors : ndarray of shape (n_stages,)
        Tensors of weights that were permuted, counted from the last.
    """

    correlation: NDArray[np.float64]
    n_tensors: NDArray[np.int64]


class PointingGame(NamedTuple):
    """What `pointing_game` found.

    Attributes
    ----------
    hit_rate : Estimate
        Share of the splices in which the largest value of the map lies in the generated half, with
        its Wilson interval of 95 %. By chance it is 0.5.
    mass_share : float
        Mean share of the map's positive values that lie in the generated half. By chance 0.5.
    n : int
        Number of splices.
    """

    hit_rate: Estimate
    mass_share: float
    n: int


def deletion_insertion(
    detector: Any,
    X: Any,
    maps: Any,
    *,
    replacement: str = "blur",
    n_steps: int = 20,
    batch_size: int = 32,
) -> DeletionInsertion:
    """Take the pixels away that a map names first, and put them in first.

    Parameters
    ----------
    detector : estimator
        Any fitted binary classifier that takes images, as for `OcclusionSaliency`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    maps : ndarray of shape (n_samples, height, width), or sequence of ndarray
        What an explainer's `transform` gave for them.
    replacement : {"blur", "patch", "jpeg", "mean"}, default="blur"
        What takes the place of pixels; see `detectorkit.saliency.replacements`.
    n_steps : int, default=20
        Steps from the image to its replacement; in each, as many pixels change.
    batch_size : int, default=32
        Copies of an image that are scored at a time.

    Returns
    -------
    found : DeletionInsertion
        Areas and curves.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong, or the maps do not fit the images.

    Notes
    -----
    Evidence for the verdict that the detector gives goes first. If any of the maps has values below
    0, all are taken for signed: pixels are ranked from the highest value down where the verdict is
    "generated", and from the lowest up where it is "real". Otherwise they are ranked by the value,
    whatever the verdict.

    The curves of Petsiuk et al. [1]_ are those of the probability of the verdict, and so are these:
    of `predict_proba`, or where there is none, of the sigmoid of the score. So areas lie between 0
    and 1 for every image. A score relative to its start and end would have no scale to depend on,
    but it is not defined where both are nearly the same, which is so wherever the replacement is as
    good evidence as the image. Areas are for comparing maps of one detector by one replacement;
    they differ little where the replacement leaves the detector as sure as it was.

    Pixels that are replaced here and there make noise, which detectors look at too. So smooth the
    maps of gradients before they are compared with those of `OcclusionSaliency`.

    References
    ----------
    .. [1] V. Petsiuk, A. Das, K. Saenko, "RISE: randomized input sampling for explanation of
       black-box models", BMVC 2018, :doi:`10.48550/arXiv.1806.07421`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.faithfulness import deletion_insertion
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> maps = GradientSaliency(detector).transform(X[:2])
    >>> deletion_insertion(detector, X[:2], maps, n_steps=4).deletion_curves.shape
    (2, 5)
    """
    caller = "deletion_insertion"
    check_is_fitted(detector)
    check_argument(caller, "replacement", replacement, tuple(REPLACEMENTS))
    _check_count(caller, "n_steps", n_steps, least=1)
    _check_count(caller, "batch_size", batch_size, least=1)
    images = check_images(X, caller=caller)
    _check_maps(caller, images, maps)
    predict = partial(_probability, detector)
    are_signed = any(np.min(one) < 0 for one in maps)
    curves = np.empty((2, len(images), n_steps + 1))
    for index, one in enumerate(maps):
        image = read_as_given(images, index)
        is_generated = score_batch(detector, image[np.newaxis])[0] > _threshold(detector)
        evidence = -one if are_signed and not is_generated else one
        other = make_replacement(image, replacement)
        masks = _masks(evidence, n_steps)
        generated = predict_mixtures(predict, image, other, masks, batch_size=batch_size)
        curves[:, index] = (generated if is_generated else 1 - generated).reshape(2, -1)
    areas = np.asarray(np.trapezoid(curves, dx=1 / n_steps, axis=2))
    return DeletionInsertion(*areas, *curves)


def _check_maps(caller: str, images: ImageSequence, maps: Any) -> None:
    cure = "Pass what `transform` gave for the same images."
    if len(maps) != len(images):
        raise ValueError(f"{caller}: there are {len(maps)} maps of {len(images)} images. {cure}")
    for index, one in enumerate(maps):
        shape = images.shape_of(index)
        if np.shape(one) != shape:
            raise ValueError(
                f"{caller}: map {index} has the shape {np.shape(one)}, its image {shape}. {cure}"
            )


def _masks(evidence: Map, n_steps: int) -> Iterator[NDArray[np.bool_]]:
    """Say where pixels are replaced, step by step of the deletion, then of the insertion."""
    order = np.argsort(-evidence, axis=None, kind="stable")
    ranks = np.empty(evidence.shape, np.intp)
    ranks.flat[order] = np.arange(evidence.size)
    counts = np.rint(np.linspace(0, evidence.size, n_steps + 1))
    yield from (ranks < count for count in counts)
    yield from (ranks >= count for count in counts)


def _threshold(detector: Any) -> float:
    """Give the score above which the verdict is "generated"."""
    return float(getattr(detector, "threshold_", 0))


def _probability(detector: Any, batch: NDArray[Any]) -> NDArray[np.float64]:
    if hasattr(detector, "predict_proba"):
        return np.asarray(detector.predict_proba(batch), np.float64)[:, 1]
    return expit(score_batch(detector, batch))


def max_sensitivity(
    explainer: Any,
    X: Any,
    *,
    radius: float = 0.02,
    n_samples: int = 10,
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Measure how much a map changes at most, where the image hardly does.

    Parameters
    ----------
    explainer : Saliency
        What makes the maps.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    radius : float, default=0.02
        Largest change of a pixel, where white is 1; below 1. Of 8-bit images, what comes out is
        rounded, so choose more than half a level, 0.002.
    n_samples : int, default=10
        Noisy copies of an image.
    random_state : int, default=0
        Draws the noise; that of an image depends on its position in X and on nothing else.

    Returns
    -------
    sensitivity : ndarray of shape (n_images,)
        Largest Euclidean norm of the change of the map, as a share of that of the map. Lower is
        better; nan where the map is 0 everywhere.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong.

    Notes
    -----
    As Yeh et al. [1]_, with uniform noise in place of a search for the worst; they do not divide by
    the norm of the map, which maps of different methods need to be compared. An explainer
    that draws noise itself draws the same for all copies.

    References
    ----------
    .. [1] C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar, "On the (in)fidelity
       and sensitivity of explanations", NeurIPS 2019, :doi:`10.48550/arXiv.1901.09392`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.faithfulness import max_sensitivity
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> max_sensitivity(GradientSaliency(detector), X[:2], n_samples=2).shape
    (2,)
    """
    caller = "max_sensitivity"
    _check_count(caller, "n_samples", n_samples, least=1)
    _check_count(caller, "random_state", random_state, least=0)
    if not 0 < radius < 1:
        raise ValueError(f"{caller}: radius={radius!r} must be a number above 0 and below 1.")
    images = check_images(X, caller=caller)
    sensitivity = np.full(len(images), np.nan)
    for index in range(len(images)):
        image = read_as_given(images, index)
        random = np.random.default_rng([random_state, index])
        found = _map_of(explainer, image)
        copies = (_noisy(image, radius, random) for _ in range(n_samples))
        change = max(np.linalg.norm(_map_of(explainer, copy) - found) for copy in copies)
        if found.any():
            sensitivity[index] = change / np.linalg.norm(found)
    return sensitivity


def _map_of(explainer: Any, image: Image) -> NDArray[np.float64]:
    """Explain an image alone, so that its place among others has no part in it."""
    return np.asarray(explainer.transform([image])[0], np.float64)


def _noisy(image: Image, radius: float, random: np.random.Generator) -> Image:
    noise = random.uniform(-255 * radius, 255 * radius, image.shape)
    return from_levels(as_levels(image) + noise, image)


def randomization_check(
    detector: Any, make_explainer: Callable[[Any], Any], X: Any, *, random_state: int = 0
) -> RandomizationCheck:
    """Explain a detector whose weights are shuffled more and more, from the last to the first.

    Parameters
    ----------
    detector : estimator
        A fitted detector of this library.
    make_explainer : callable
        Takes a detector and gives what makes its maps; a class such as `GradientSaliency` does.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths.
    random_state : int, default=0
        Draws the permutations.

    Returns
    -------
    found : RandomizationCheck
        Four stages, or as many as there are tensors of weights, if these are fewer. In the last,
        all are permuted.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ModelFileError
        If the detector is no graph, or has no weights.
    ValueError
        If an argument is wrong.

    Notes
    -----
    The cascading randomisation of Adebayo et al. [1]_, on the detector's ONNX graph. Weights are
    its constants of floating-point numbers, of two or more dimensions and more than 64 numbers;
    each is replaced by a permutation of itself, where they draw new ones, so that scales stay. Of
    networks in whole numbers and of trees there are none. A map that is the same everywhere ranks
    nothing, and its correlation counts as 0.

    References
    ----------
    .. [1] J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim, "Sanity checks for
       saliency maps", NeurIPS 2018, :doi:`10.48550/arXiv.1810.03292`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.faithfulness import randomization_check
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> randomization_check(detector, GradientSaliency, X[:2]).correlation.shape
    (1, 2)
    """
    caller = "randomization_check"
    check_is_fitted(detector)
    _check_count(caller, "random_state", random_state, least=0)
    images = check_images(X, caller=caller)
    model = _model_of(detector, caller)
    weights = _weights_from_last(model)
    if not weights:
        raise ModelFileError(
            f"{caller}: {type(detector).__name__} has no floating-point weights to permute. Pass a "
            "detector that is neither quantised nor made of trees."
        )
    random = np.random.default_rng(random_state)
    before = make_explainer(detector).transform(images)
    n_jobs = getattr(detector, "n_jobs", None)
    stages = np.array_split(np.arange(len(weights)), min(_N_STAGES, len(weights)))
    correlation = []
    for stage in stages:
        for position in stage:
            _permute(weights[position], random)
        shuffled = OnnxDetector(model.SerializeToString(), n_jobs=n_jobs).fit(images)
        after = make_explainer(shuffled).transform(images)
        correlation.append([_rank_correlation(*pair) for pair in zip(before, after, strict=True)])
    return RandomizationCheck(np.array(correlation), np.cumsum([len(stage) for stage in stages]))


def _model_of(detector: Any, caller: str) -> onnx.ModelProto:
    if not (hasattr(detector, "onnx_model_") or hasattr(detector, "to_onnx")):
        raise ModelFileError(
            f"{caller}: {type(detector).__name__} is no graph, so its weights are not known. Pass "
            "a detector of this library, or load an exported one by OnnxDetector."
        )
    return onnx.load_model_from_string(content_of(detector))


def _weights_from_last(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Give the tensors of weights, that of the last node first."""
    large = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type in _FLOATS
        and len(tensor.dims) >= 2
        and np.prod(tensor.dims) > _LARGEST_CONSTANT
    }
    inputs = (name for node in model.graph.node for name in node.input)
    # A tensor that several nodes share stands where the first of them does.
    used = dict.fromkeys(name for name in inputs if name in large)
    return [large[name] for name in reversed(used)]


def _permute(tensor: onnx.TensorProto, random: np.random.Generator) -> None:
    values = numpy_helper.to_array(tensor)
    permuted = random.permutation(values.ravel()).reshape(values.shape)
    tensor.CopyFrom(numpy_helper.from_array(permuted, tensor.name))


def _rank_correlation(first: Map, second: Map) -> float:
    a, b = np.abs(first).ravel(), np.abs(second).ravel()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)


def pointing_game(
    explainer: Any, X_real: Any, X_generated: Any, *, random_state: int = 0
) -> PointingGame:
    """Splice real and generated images, and see whether a map finds the generated half.

    Parameters
    ----------
    explainer : Saliency
        What makes the maps.
    X_real : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        Real images: one array, or a sequence of arrays (of any sizes) or of paths.
    X_generated : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        As many generated ones; each is spliced with the real one at its position, and resized where
        its size differs. Resizing leaves traces of its own, so better pass pairs of one size.
    random_state : int, default=0
        Draws for each pair which half is generated: left, right, top or bottom.

    Returns
    -------
    found : PointingGame
        How often and how much the maps pointed to the generated half.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong, or there are not as many images of both kinds.

    Notes
    -----
    The pointing game of Zhang et al. [1]_, where splices say for certain which pixels are
    generated. The halves fade into each other over 4 pixels, so that no sharp edge gives the place
    away. Maps are smoothed by a Gaussian of a fiftieth of the longer side before their largest
    value is taken. Of a signed map, the mass is that of its values above 0; where there is none,
    the share counts as 0.5.

    References
    ----------
    .. [1] J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff, "Top-down neural
       attention by excitation backprop", International Journal of Computer Vision 2018,
       :doi:`10.1007/s11263-017-1059-x`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.faithfulness import pointing_game
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> pointing_game(GradientSaliency(detector), X[::2], X[1::2]).n
    4
    """
    caller = "pointing_game"
    _check_count(caller, "random_state", random_state, least=0)
    real, generated = (check_images(X, caller=caller) for X in (X_real, X_generated))
    if len(real) != len(generated):
        raise ValueError(
            f"{caller}: there are {len(real)} real and {len(generated)} generated images. Pass as "
            "many of each, as they are spliced in pairs."
        )
    random = np.random.default_rng(random_state)
    hits, shares = 0, []
    for index in range(len(real)):
        first, second = read_as_given(real, index), read_as_given(generated, index)
        weight = _half(first.shape[:2], _SIDES[random.integers(len(_SIDES))])
        found = np.asarray(explainer.transform([_splice(first, second, weight)])[0], np.float64)
        is_hit, mass = _point(found, weight > 0.5)
        hits += is_hit
        shares.append(mass)
    return PointingGame(share(hits, len(real)), float(np.mean(shares)), len(real))


def _half(shape: tuple[int, ...], side: str) -> NDArray[np.float32]:
    """Give the share of the generated image at each pixel: 1 on one side, with a soft seam."""
    axis = 0 if side in {"top", "bottom"} else 1
    from_middle = np.arange(shape[axis]) - (shape[axis] - 1) / 2
    if side in {"left", "top"}:
        from_middle = -from_middle
    weight = (from_middle / _SEAM + 0.5).clip(0, 1).astype(np.float32)
    return np.broadcast_to(weight[:, np.newaxis] if axis == 0 else weight, shape)


def _splice(real: Image, generated: Image, weight: NDArray[np.float32]) -> Image:
    """Mix two images, as pixels of the kind that the real one has."""
    if real.ndim != generated.ndim:
        real, generated = (convert_color(one, "rgb") for one in (real, generated))
    if real.shape != generated.shape:
        generated = resize_image(generated, real.shape[:2])
    if real.ndim == 3:
        weight = weight[..., np.newaxis]
    return from_levels(as_levels(generated) * weight + as_levels(real) * (1 - weight), real)


def _point(found: NDArray[np.float64], is_generated: NDArray[np.bool_]) -> tuple[bool, float]:
    """Say whether the largest value lies in the half, and the share of the mass that does."""
    smooth = cv2.GaussianBlur(found, (0, 0), _SMOOTHING * max(found.shape))
    mass = found.clip(min=0)
    total = mass.sum()
    share_inside = float(mass[is_generated].sum() / total) if total else 0.5
    return bool(is_generated.flat[np.argmax(smooth)]), share_inside


def _check_count(caller: str, name: str, value: Any, *, least: int) -> None:
    is_whole = isinstance(value, Integral) and value is not True and value is not False
    if not is_whole or value < least:
        raise ValueError(f"{caller}: {name}={value!r} must be a whole number of at least {least}.")
