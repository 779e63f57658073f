"""Saliency maps of the gradient with respect to the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.validation import check_consistent_length

from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.saliency._base import Map, Saliency, resize_to_image
from detectorkit.saliency._score import score_gradient
from detectorkit.utils.labels import encode_labels

__all__ = ["GradientSaliency", "magnitude"]


def magnitude(gradient: NDArray[np.float32]) -> Map:
    """Return the largest absolute value over the channels."""
    size: Map = np.abs(gradient)
    return size.max(axis=3) if size.ndim == 4 else size


class GradientSaliency(Saliency):
    """Explain a score by its gradient with respect to the pixels.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a graph from pixels to a score: a network, or `HoGSVMDetector`.
    times_input : bool, default=False
        Whether the gradient is multiplied by the pixels and summed over the channels. Such a map
        is signed: positive where the pixels speak for "generated".
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    SmoothGrad : Mean gradient of noisy copies, which is less speckled.
    IntegratedGradients : Maps that add up to a difference of scores.
    OcclusionSaliency : Maps of any classifier, without gradients.

    Notes
    -----
    A map is the largest absolute derivative over the channels [1]_. The gradient is computed by a
    graph that is derived from the detector's once and run by onnxruntime. At a kink it is that of
    torch: 0 at a ReLU, the first of equal entries under a max-pooling. In quantised networks,
    rounding counts as the identity. Where the detector resizes images, the map is resized back to
    the image.

    References
    ----------
    .. [1] K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising
       image classification models and saliency maps", ICLR workshop 2014,
       :doi:`10.48550/arXiv.1312.6034`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> GradientSaliency(detector).transform(X).shape
    (8, 64, 64)
    """

    def __init__(
        self,
        detector: Any,
        *,
        times_input: bool = False,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.times_input = times_input
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        run = score_gradient(self.detector, self._kept, n_jobs=self.n_jobs)

        def explain(index: int) -> Map:
            pixels = run.read(images, index)
            gradient = run.run(pixels, "gradient")[0]
            if self.times_input:
                found = gradient * (pixels / np.float32(255))
                found = found.sum(axis=3) if found.ndim == 4 else found
            else:
                found = magnitude(gradient)
            return resize_to_image(found, images, index, run.record.preprocessing)

        return explain

    def gradient(
        self, X: Any, y: Any = None, *, of: Literal["score", "loss"] = "score"
    ) -> NDArray[np.float32]:
        """Compute the signed gradient.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.
        y : array-like of shape (n_samples,), default=None
            Labels of the images; only the loss needs them.
        of : {"score", "loss"}, default="score"
            Function that is differentiated: the score, or the binary cross-entropy of its sigmoid
            and the label, as in the study that this library grew from.

        Returns
        -------
        gradient : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, 3), dtype float32
            Gradient by pixels from 0 to 1, at the size of the detector's input. With crops, the
            first axis counts all crops.

        Raises
        ------
        ModelFileError
            If the gradient of the detector cannot be computed.
        ValueError
            If the labels are missing or unknown, or X is not a set of images.
        """
        images = check_images(X, caller=type(self).__name__)
        run = score_gradient(self.detector, self._kept, n_jobs=self.n_jobs)
        codes = None
        if of not in {"score", "loss"}:
            raise ValueError(f"{type(self).__name__}: of={of!r} must be 'score' or 'loss'.")
        if of == "loss":
            if y is None:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of the loss needs the labels y. Pass "
                    "them, or use of='score'."
                )
            codes = encode_labels(type(self).__name__, y, self.detector)
            check_consistent_length(images, codes)
        parts = []
        for index in range(len(images)):
            score, gradient = run.run(run.read(images, index))
            if codes is not None:
                error = expit(score) - codes[index]
                gradient = gradient * error.reshape(-1, *[1] * (gradient.ndim - 1))
            parts.append(gradient.astype(np.float32))
        return np.concatenate(parts)
