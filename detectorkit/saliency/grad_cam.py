"""Maps of the layers between pixels and score."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from detectorkit.graph.builder import expose_tensors
from detectorkit.graph.gradients import tensor_shapes
from detectorkit.graph.runner import make_session
from detectorkit.images import ImageSequence
from detectorkit.saliency._activations import channel_maps
from detectorkit.saliency._base import Map, Saliency, bring_back, read_pixels, record_of
from detectorkit.saliency._score import content_of, score_gradient

__all__ = ["AttentionRollout", "GradCAM"]


class GradCAM(Saliency):
    """Explain a score by the channels of a layer, weighted by their gradients.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a network.
    layer : str, default=None
        Name of a tensor of shape (n, channels, height, width) in the detector's graph. None takes
        the last whose height and width are above 1. See `layers`.
    signed : bool, default=False
        Whether a map is also negative, where channels speak against "generated". False sets these
        places to 0, as in the paper.
    n_jobs : int, default=None
        Threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    AttentionRollout : For transformers.
    DeepFeatureFactorization : What a layer shows, over many images.

    Notes
    -----
    The weight of a channel is the mean of its gradient over all places [1]_. A map is as coarse as
    its layer. The mean supposes that a channel speaks for the same class everywhere, as it does
    before a global pooling; for a network that flattens its last map, such as `CNNDetector`, maps
    were measured to be worse than random ones.

    References
    ----------
    .. [1] R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, "Grad-CAM: visual
       explanations from deep networks via gradient-based localization", ICCV 2017,
       :doi:`10.1109/ICCV.2017.74`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import load_detector
    >>> from detectorkit.saliency import GradCAM
    >>> image = np.zeros((1, 96, 96, 3), np.uint8)
    >>> GradCAM(load_detector("transfer")).transform(image).shape
    (1, 96, 96)
    """

    def __init__(
        self,
        detector: Any,
        *,
        layer: str | None = None,
        signed: bool = False,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.layer = layer
        self.signed = signed
        self.n_jobs = n_jobs
        self.verbose = verbose

    def layers(self) -> dict[str, tuple[int, int, int]]:
        """Give the layers that can be asked for.

        Returns
        -------
        layers : dict of str to tuple of (int, int, int)
            Channels, height and width of each, in the order of computation.
        """
        name = type(self.detector).__name__
        return channel_maps(content_of(self.detector), name)

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        layers, layer = self.layers(), self.layer
        if layer is None:
            content, name = content_of(self.detector), type(self.detector).__name__
            if _attention_layers(content, name):
                raise ValueError(
                    f"{type(self).__name__}: layer=None finds no map of channels in a transformer. "
                    "Use AttentionRollout, or name a layer."
                )
            layer = next(reversed(layers), None)
        if layer not in layers:
            known = ", ".join(map(repr, layers)) or "none; use GradientSaliency"
            raise ValueError(
                f"{type(self).__name__}: layer={self.layer!r}, but the layers of shape (n, "
                f"channels, height, width) of this detector are: {known}."
            )
        run = score_gradient(self.detector, wrt=layer, n_jobs=self.n_jobs)

        def explain(index: int) -> Map:
            gradient, activation = run.run(run.read(images, index), "gradient", "activation")
            weights = gradient.mean(axis=(2, 3), keepdims=True)
            found = (weights * activation).sum(axis=1)
            found = found if self.signed else np.maximum(found, 0)
            return bring_back(found, images, index, run.record.preprocessing)

        return explain


class AttentionRollout(Saliency):
    """Follow the attention of a transformer from its class token back to the image.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector whose network is a vision transformer with a class token.
    n_jobs : int, default=None
        Threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    GradCAM : For networks of convolutions.

    Notes
    -----
    In each block the heads are averaged, and the path around the attention is counted as much as
    the attention itself; the blocks are multiplied [1]_. It says where the network looks, not what
    speaks for which class: a map is the same for both.

    References
    ----------
    .. [1] S. Abnar, W. Zuidema, "Quantifying attention flow in transformers", ACL 2020,
       :doi:`10.18653/v1/2020.acl-main.385`.

    Examples
    --------
    >>> from detectorkit.saliency import AttentionRollout
    >>> AttentionRollout(detector=None).n_jobs is None
    True
    """

    def __init__(self, detector: Any, *, n_jobs: int | None = None, verbose: bool = False) -> None:
        self.detector = detector
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        from joblib import effective_n_jobs  # noqa: PLC0415 - late: it costs import time

        name = type(self.detector).__name__
        content = content_of(self.detector)
        layers = _attention_layers(content, name)
        if not layers:
            raise ValueError(
                f"{type(self).__name__}: the graph of {name} has no attention. Use GradCAM."
            )
        session = _attention(content, layers, effective_n_jobs(self.n_jobs))
        preprocessing = record_of(session).preprocessing

        def explain(index: int) -> Map:
            found = session.run(list(layers), {"pixels": read_pixels(images, index, preprocessing)})
            return bring_back(_roll_out(found), images, index, preprocessing)

        return explain


@lru_cache(maxsize=8)
def _attention_layers(content: bytes, name: str) -> tuple[str, ...]:
    """Give the tensors that say, of every head, how much each token looks at each."""
    shapes = tensor_shapes(content, name)
    return tuple(
        node.output[0]
        for node in onnx.load_model_from_string(content).graph.node
        if node.op_type == "Softmax"
        and len(shape := shapes.get(node.output[0], ())) == 3
        and shape[1] == shape[2]
    )


@lru_cache(maxsize=8)
def _attention(content: bytes, layers: tuple[str, ...], n_threads: int) -> Any:
    """Make a session that gives the attention of every block."""
    exposed = expose_tensors(onnx.load_model_from_string(content), layers)
    return make_session(exposed.SerializeToString(), "The model", n_threads=n_threads)


def _roll_out(attentions: list[NDArray[np.float32]]) -> Map:
    """Multiply the blocks; of the class token give the share of each patch."""
    n_tokens = attentions[0].shape[-1]
    identity = np.eye(n_tokens, dtype=np.float32)
    rolled = np.broadcast_to(identity, (len(attentions[0]), n_tokens, n_tokens))
    for attention in attentions:
        mixed = (attention.mean(axis=1) + identity) / 2
        rolled = mixed @ rolled
    side = math.isqrt(n_tokens - 1)  # the tokens in front stand for no patch
    patches = rolled[:, 0, n_tokens - side * side :]
    return np.ascontiguousarray(patches.reshape(-1, side, side), np.float32)
