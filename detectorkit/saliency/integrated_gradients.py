"""Integrated gradients: gradients along the line from a baseline to the image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.saliency._base import Map, Saliency, resize_to_image
from detectorkit.saliency._score import ScoreGradient, score_gradient
from detectorkit.utils.validation import check_choice, check_integer

__all__ = ["IntegratedGradients"]

_TOLERANCE = 0.05  # error of completeness, as a proportion of the difference of the scores


class IntegratedGradients(Saliency):
    """Explain a score by contributions of the pixels that add up to it.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a graph from pixels to a score: a network, or `HoGSVMDetector`.
    baseline : {"blur", "black", "mean"}, default="blur"
        Image at which the line to the image begins: the image without fine structure, black, or
        the mean colour of the image. With "blur", a map shows what the texture adds.
    n_steps : int, default=32
        Number of points on the line, those of a Gauss-Legendre quadrature.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    GradientSaliency : Map of one gradient, at the image itself.

    Notes
    -----
    A map is signed: positive where the pixels raise the score. With enough steps it adds up to the
    score of the image less that of the baseline, which is called completeness; see
    `completeness_error`. `transform` warns where the error is above 5 %. It stays above for
    `HoGSVMDetector`, whose score jumps where a gradient turns from one bin of orientation to the
    next, because derivatives do not see these jumps.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", ICML 2017,
       :doi:`10.48550/arXiv.1703.01365`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import load_detector
    >>> from detectorkit.saliency import IntegratedGradients
    >>> image = np.linspace(0, 255, 96 * 96 * 3).astype(np.uint8).reshape(1, 96, 96, 3)
    >>> maps = IntegratedGradients(load_detector("transfer"), n_steps=64).transform(image)
    >>> maps.shape
    (1, 96, 96)
    """

    def __init__(
        self,
        detector: Any,
        *,
        baseline: Literal["blur", "black", "mean"] = "blur",
        n_steps: int = 32,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.baseline = baseline
        self.n_steps = n_steps
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        self._check()
        run = score_gradient(self.detector, self._kept, n_jobs=self.n_jobs)

        def explain(index: int) -> Map:
            shares, error, difference = self._attribute(run, images, index)
            if error > _TOLERANCE * max(abs(difference), 1e-6):
                warnings.warn(
                    f"{type(self).__name__}: the map of image {index} adds up to the difference of "
                    f"the scores, {difference:.3g}, with an error of {error:.2g}. Use more than "
                    f"n_steps={self.n_steps}.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
            return resize_to_image(shares, images, index, run.record.preprocessing)

        return explain

    def completeness_error(self, X: Any) -> NDArray[np.float64]:
        """Compute the error with which the maps add up to the difference of the scores.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.

        Returns
        -------
        error : ndarray of shape (n_samples,)
            Absolute errors in units of the score; the largest one of an image's crops.
        """
        self._check()
        images = check_images(X, caller=type(self).__name__)
        run = score_gradient(self.detector, self._kept, n_jobs=self.n_jobs)
        return np.array([self._attribute(run, images, index)[1] for index in range(len(images))])

    def _check(self) -> None:
        check_integer(self, "n_steps", minimum=1)
        check_choice(self, "baseline", ("blur", "black", "mean"))

    def _attribute(
        self, run: ScoreGradient, images: ImageSequence, index: int
    ) -> tuple[Map, float, float]:
        """Return the contributions of the pixels, their error, and the difference of the scores."""
        pixels = run.read(images, index)
        start = np.stack([self._start(one) for one in pixels])
        points, weights = np.polynomial.legendre.leggauss(self.n_steps)
        total = np.zeros_like(pixels)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            between = start + np.float32(point) * (pixels - start)
            total += np.float32(weight) * run.run(between, "gradient")[0]
        shares: Map = total * (pixels - start) * np.float32(1 / 255)
        if shares.ndim == 4:
            shares = shares.sum(axis=3)
        scores = [run.run(one, "score")[0].astype(np.float64) for one in (pixels, start)]
        difference = scores[0] - scores[1]
        error = np.abs(shares.sum(axis=(1, 2), dtype=np.float64) - difference)
        worst = int(np.argmax(error))
        return shares, float(error[worst]), float(difference[worst])

    def _start(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.baseline == "black":
            return np.zeros_like(pixels)
        if self.baseline == "mean":
            mean = pixels.mean(axis=(0, 1), keepdims=True)
            return np.broadcast_to(mean, pixels.shape).astype(np.float32)
        sigma = max(pixels.shape[:2]) / 16
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)
