"""Measuring detectors without self-deception."""

from detectorkit.evaluation.calibration import fit_slope
from detectorkit.evaluation.metrics import Estimate, binary_metrics, wilson_interval

__all__ = ["Estimate", "binary_metrics", "fit_slope", "wilson_interval"]
