"""Measuring detectors without self-deception."""

from detectorkit.evaluation.calibration import calibrate, fit_calibration, fit_slope
from detectorkit.evaluation.decisions import (
    CANT_TELL,
    ConformalAbstention,
    FprThreshold,
    abstention_metrics,
    fpr_threshold,
)
from detectorkit.evaluation.metrics import Estimate, binary_metrics, wilson_interval
from detectorkit.graph.calibration import IsotonicCalibration, SigmoidCalibration

__all__ = [
    "CANT_TELL",
    "ConformalAbstention",
    "Estimate",
    "FprThreshold",
    "IsotonicCalibration",
    "SigmoidCalibration",
    "abstention_metrics",
    "binary_metrics",
    "calibrate",
    "fit_calibration",
    "fit_slope",
    "fpr_threshold",
    "wilson_interval",
]
