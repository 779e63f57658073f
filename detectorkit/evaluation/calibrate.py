"""Calibrate a fitted detector on other images than those it was trained on."""

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
    """Fit the probabilities and the threshold of a fitted detector anew, on other images.

    Parameters
    ----------
    detector : detector
        A fitted or loaded detector of this library, which is not changed.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects. The detector must not have been trained on them.
    y : array-like of shape (n_samples,)
        Labels of the images, as in `fit` of the detector; both classes must occur.
    method : {"sigmoid", "isotonic", "shift"}, default="sigmoid"
        Kind of map from scores to probabilities, as in `fit_calibration`.

    Returns
    -------
    calibrated : detector
        A copy of the detector with a new `calibration_` and a new `threshold_`, which is the score
        with a probability of one half. It can be saved. It gives the same scores, and so the same
        ranking of images.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If a class is missing, or `method` is "shift" and the probabilities of the detector are
        not those of a sigmoid.

    See Also
    --------
    fpr_threshold : Finds a threshold for a wanted false-positive rate.
    sklearn.calibration.CalibratedClassifierCV : Works too, but cannot be saved as an ONNX graph.

    Notes
    -----
    The probabilities hold for the generators and sources of these images, and where the same
    proportion of images is generated as here (for "shift": one half).

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
    """Fit a calibration map to scores of the detector, and set it and its threshold."""
    slope = getattr(detector.calibration_, "slope", None)
    if method == "shift" and slope is None:
        raise ValueError(
            "calibrate: method='shift' keeps the slope of a sigmoid, but this detector's "
            "probabilities are isotonic. Use 'sigmoid' or 'isotonic'."
        )
    detector.calibration_ = fit_calibration(scores, codes, method=method, slope=slope)
    detector.threshold_ = detector.calibration_.threshold
