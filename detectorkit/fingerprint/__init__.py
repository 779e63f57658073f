"""Fingerprints of generators: the pattern that the residuals of their images have in common."""

from detectorkit.fingerprint.display import FingerprintDisplay
from detectorkit.fingerprint.estimator import FingerprintEstimator
from detectorkit.fingerprint.residuals import noise_residuals
from detectorkit.fingerprint.stability import FingerprintStability
from detectorkit.fingerprint.theory import detection_probability

__all__ = [
    "FingerprintDisplay",
    "FingerprintEstimator",
    "FingerprintStability",
    "detection_probability",
    "noise_residuals",
]
