"""Grad-CAM: maps of the layers between pixels and score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._activations import channel_maps
from detectorkit.saliency._base import Map, Saliency, resize_to_image
from detectorkit.saliency._score import content_of, score_gradient
from detectorkit.saliency.attention_rollout import attention_layers

__all__ = ["GradCAM"]


class GradCAM(Saliency):
    """Explain a score by the channels of a layer, weighted by their gradients.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a network, usually of convolutions.
    layer : str, default=None
        Name of a tensor of shape (n, channels, height, width) in the detector's graph. None takes
        the last whose height and width are above 1. See `layers`.
    signed : bool, default=False
        Whether a map is negative where channels speak against "generated". False sets these
        places to 0, as in the paper.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    AttentionRollout : Maps of the attention of transformers.
    DeepFeatureFactorization : Concepts of a layer, over many images.

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
        """List the layers that the parameter `layer` can name.

        Returns
        -------
        layers : dict of str to tuple of (int, int, int)
            Channels, height and width of each layer, in the order of computation.
        """
        name = type(self.detector).__name__
        return self._kept.make(channel_maps, content_of(self.detector), name)

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        layers, layer = self.layers(), self.layer
        if layer is None:
            content, name = content_of(self.detector), type(self.detector).__name__
            if self._kept.make(attention_layers, content, name):
                raise ValueError(
                    f"{type(self).__name__}: layer=None does not find a map of channels in a "
                    "transformer. Use AttentionRollout, or name a layer."
                )
            layer = next(reversed(layers), None)
        if layer not in layers:
            known = ", ".join(map(repr, layers)) or "none; use GradientSaliency"
            raise ValueError(
                f"{type(self).__name__}: layer={self.layer!r}, but the layers of shape (n, "
                f"channels, height, width) of this detector are: {known}."
            )
        run = score_gradient(self.detector, self._kept, wrt=layer, n_jobs=self.n_jobs)

        def explain(index: int) -> Map:
            gradient, activation = run.run(run.read(images, index), "gradient", "activation")
            weights = gradient.mean(axis=(2, 3), keepdims=True)
            found = (weights * activation).sum(axis=1)
            found = found if self.signed else np.maximum(found, 0)
            return resize_to_image(found, images, index, run.record.preprocessing)

        return explain
