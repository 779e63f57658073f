"""Give a fitted detector another map from scores to probabilities."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectorkit.base import BaseImageDetector
from detectorkit.calibration.fit import Method, fit_calibration
from detectorkit.utils.labels import encode_labels

__all__ = ["calibrate"]

Detector = TypeVar("Detector", bound=BaseImageDetector)


def calibrate(detector: Detector, X: Any, y: Any, *, method: Method = "sigmoid") -> Detector:
    """Give a detector probabilities, and a threshold, that fit other images.

    Parameters
    ----------
    detector : detector
        A fitted detector of this library, also a loaded one; it is left as it is.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes) or of paths. The detector
        must not have been trained on them.
    y : array-like of shape (n_samples,)
        Their labels.
    method : {"sigmoid", "isotonic", "shift"}, default="sigmoid"
        As in `fit_calibration`.

    Returns
    -------
    calibrated : detector
        A copy with another `calibration_`, and with `threshold_` where the probability is one
        half. It can be saved. Scores, and so the ranking, are the same.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If a class is missing, or "shift" is asked of a detector that is not a sigmoid's.

    See Also
    --------
    fpr_threshold : A threshold for a wanted false-positive rate.
    sklearn.calibration.CalibratedClassifierCV : Works too, but cannot be saved as a graph.

    Notes
    -----
    A probability holds for a world with as many generated images among all as there are here
    (for "shift": half), and for their generators and sources.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import calibrate
    >>> data = make_upsampling_images(n_samples=80, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data[:40], data.target[:40])
    >>> shifted = calibrate(detector, data.data[40:], data.target[40:], method="shift")
    >>> shifted.threshold_ == shifted.calibration_.offset
    True
    """
    codes = encode_labels("calibrate", y, detector)
    calibrated = deepcopy(detector)
    set_calibration(calibrated, detector.decision_function(X), codes, method)
    return calibrated


def set_calibration(
    detector: BaseImageDetector,
    scores: NDArray[np.float64],
    codes: NDArray[np.int64],
    method: Method,
) -> None:
    """Fit a map to scores that the detector gave, and make it the detector's own."""
    slope = getattr(detector.calibration_, "slope", None)
    if method == "shift" and slope is None:
        raise ValueError(
            "calibrate: method='shift' keeps the slope of a sigmoid, but this detector's "
            "probabilities are isotonic. Use 'sigmoid' or 'isotonic'."
        )
    detector.calibration_ = fit_calibration(scores, codes, method=method, slope=slope)
    detector.threshold_ = detector.calibration_.threshold
