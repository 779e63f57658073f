"""Attention rollout: the patches on which the class token of a transformer depends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from detectorkit.graph.builder import expose_tensors
from detectorkit.graph.gradients import tensor_shapes
from detectorkit.graph.runner import make_session
from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._base import Map, Saliency, read_pixels, record_of, resize_to_image
from detectorkit.saliency._score import content_of
from detectorkit.utils.parallel import count_threads

__all__ = ["AttentionRollout", "attention_layers"]


class AttentionRollout(Saliency):
    """Map the attention of a transformer from its class token back to the image.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector whose network is a vision transformer with a class token.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    GradCAM : Maps of the layers of convolutional networks.

    Notes
    -----
    In each block the heads are averaged, and the path around the attention is counted as much as
    the attention itself; the blocks are multiplied [1]_. A map shows where the network looks, not
    which class this speaks for: it is the same for both classes.

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
        name = type(self.detector).__name__
        content = content_of(self.detector)
        layers = self._kept.make(attention_layers, content, name)
        if not layers:
            raise ValueError(
                f"{type(self).__name__}: the graph of {name} has no attention. Use GradCAM."
            )
        n_threads = count_threads(self.n_jobs)
        session = self._kept.make(_attention, content, layers, n_threads)
        preprocessing = record_of(session).preprocessing

        def explain(index: int) -> Map:
            found = session.run(list(layers), {"pixels": read_pixels(images, index, preprocessing)})
            return resize_to_image(_roll_out(found), images, index, preprocessing)

        return explain


def attention_layers(content: bytes, name: str) -> tuple[str, ...]:
    """List the tensors of attention, which hold a weight for each pair of tokens in every head."""
    shapes = tensor_shapes(content, name)
    return tuple(
        node.output[0]
        for node in onnx.load_model_from_string(content).graph.node
        if node.op_type == "Softmax"
        and len(shape := shapes.get(node.output[0], ())) == 3
        and shape[1] == shape[2]
    )


def _attention(content: bytes, layers: tuple[str, ...], n_threads: int) -> Any:
    """Make a session that computes the attention of every block."""
    exposed = expose_tensors(onnx.load_model_from_string(content), layers)
    return make_session(exposed.SerializeToString(), "The model", n_threads=n_threads)


def _roll_out(attentions: list[NDArray[np.float32]]) -> Map:
    """Multiply the blocks and return the weight of each patch for the class token."""
    n_tokens = attentions[0].shape[-1]
    identity = np.eye(n_tokens, dtype=np.float32)
    rolled = np.broadcast_to(identity, (len(attentions[0]), n_tokens, n_tokens))
    for attention in attentions:
        mixed = (attention.mean(axis=1) + identity) / 2
        rolled = mixed @ rolled
    side = math.isqrt(n_tokens - 1)  # the tokens in front do not stand for patches
    patches = rolled[:, 0, n_tokens - side * side :]
    return np.ascontiguousarray(patches.reshape(-1, side, side), np.float32)
