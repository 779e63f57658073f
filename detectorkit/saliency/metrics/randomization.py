"""Sanity check by random weights: whether a map depends on what the network learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.stats import spearmanr
from sklearn.utils.validation import check_is_fitted

from detectorkit.detectors.onnx import OnnxDetector
from detectorkit.exceptions import ModelFileError
from detectorkit.images.sequence import check_images
from detectorkit.saliency._base import Map
from detectorkit.saliency._score import content_of
from detectorkit.utils.validation import check_seed

__all__ = ["RandomizationCheck", "randomization_check"]

_N_STAGES: Final = 4


_LARGEST_CONSTANT: Final = 64  # numbers; smaller tensors are constants, not learned


_FLOATS: Final = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}


class RandomizationCheck(NamedTuple):
    """Results of `randomization_check`, one row for each stage.

    Attributes
    ----------
    correlation : ndarray of shape (n_stages, n_samples)
        Rank correlation of the absolute values of the map with those of the unchanged detector's
        map. Near 0 is good; near 1, the map does not depend on what was learned.
    n_tensors : ndarray of shape (n_stages,)
        Number of tensors of weights that were permuted, counted from the last.
    """

    correlation: NDArray[np.float64]
    n_tensors: NDArray[np.int64]


def randomization_check(
    detector: Any,
    make_explainer: Callable[[Any], Any],
    X: Any,
    *,
    random_state: int | np.random.RandomState | None = 0,
) -> RandomizationCheck:
    """Compare maps before and after a detector's weights are shuffled, from the last to the first.

    Parameters
    ----------
    detector : estimator
        A fitted detector of this library.
    make_explainer : callable
        Function that takes a detector and returns an explainer; a class such as
        `GradientSaliency` will do.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the permutations.

    Returns
    -------
    found : RandomizationCheck
        Correlations in four stages, or in one for each tensor of weights if there are fewer. All
        tensors are permuted in the last stage.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ModelFileError
        If the detector is not a graph, or lacks weights.
    ValueError
        If an argument is wrong.

    Notes
    -----
    This is the cascading randomisation of Adebayo et al. [1]_, on the detector's ONNX graph.
    Weights are its floating-point constants with two or more dimensions and more than 64 numbers.
    Each is replaced by a permutation of itself, so that scales stay; the paper draws new weights.
    Quantised networks and trees do not have such weights. A map that is the same everywhere ranks
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
    >>> from detectorkit.saliency.metrics.randomization import randomization_check
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> randomization_check(detector, GradientSaliency, X[:2]).correlation.shape
    (1, 2)
    """
    caller = "randomization_check"
    check_is_fitted(detector)
    seed = check_seed(caller, random_state)
    images = check_images(X, caller=caller)
    model = _model_of(detector, caller)
    weights = _weights_from_last(model)
    if not weights:
        raise ModelFileError(
            f"{caller}: {type(detector).__name__} has no floating-point weights to permute. Pass a "
            "detector that is neither quantised nor made of trees."
        )
    random = np.random.default_rng(seed)
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
            f"{caller}: {type(detector).__name__} is not a graph, so its weights are not known. "
            "Pass a detector of this library, or load an exported one by OnnxDetector."
        )
    return onnx.load_model_from_string(content_of(detector))


def _weights_from_last(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """List the tensors of weights, that of the last node first."""
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
