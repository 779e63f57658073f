"""SmoothGrad: gradients averaged over noisy copies of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._base import Map, Saliency, resize_to_image
from detectorkit.saliency._score import score_gradient
from detectorkit.saliency.gradient import magnitude
from detectorkit.utils.validation import check_integer, check_real, check_seed

__all__ = ["SmoothGrad"]


class SmoothGrad(Saliency):
    """Explain a score by the mean gradient of noisy copies of the image.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a graph from pixels to a score: a network, or `HoGSVMDetector`.
    n_samples : int, default=25
        Number of noisy copies of each image.
    noise_level : float, default=0.1
        Standard deviation of the Gaussian noise, as a proportion of the range of the image.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the noise, which depends only on this and on an image's position in X.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    GradientSaliency : Gradient of the image itself.

    Notes
    -----
    The signed gradients are averaged [1]_, then the largest absolute value over the channels is
    taken. Detectors react to noise itself, so a map with much noise explains another image.

    References
    ----------
    .. [1] D. Smilkov, N. Thorat, B. Kim, F. Viégas, M. Wattenberg, "SmoothGrad: removing noise by
       adding noise", 2017, :doi:`10.48550/arXiv.1706.03825`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import SmoothGrad
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> SmoothGrad(detector, n_samples=4).transform(X[:2]).shape
    (2, 64, 64)
    """

    def __init__(
        self,
        detector: Any,
        *,
        n_samples: int = 25,
        noise_level: float = 0.1,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.n_samples = n_samples
        self.noise_level = noise_level
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        n_samples = check_integer(self, "n_samples", minimum=1)
        level = check_real(self, "noise_level", above=0)
        seed = check_seed(type(self).__name__, self.random_state)
        run = score_gradient(self.detector, self._kept, n_jobs=self.n_jobs)

        def explain(index: int) -> Map:
            pixels = run.read(images, index)
            random = np.random.default_rng([seed, index])
            noise_std = level * float(np.ptp(pixels))
            total = np.zeros_like(pixels)
            for _ in range(n_samples):
                noise = random.standard_normal(pixels.shape, np.float32) * np.float32(noise_std)
                total += run.run(pixels + noise, "gradient")[0]
            return resize_to_image(
                magnitude(total / np.float32(n_samples)), images, index, run.record.preprocessing
            )

        return explain
