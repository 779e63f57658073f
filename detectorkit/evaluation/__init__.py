"""Measuring detectors without self-deception."""

from detectorkit.evaluation.calibration import calibrate, fit_calibration, fit_slope
from detectorkit.evaluation.decisions import (
    CANT_TELL,
    ConformalAbstention,
    FprThreshold,
    abstention_metrics,
    balanced_threshold,
    fpr_threshold,
)
from detectorkit.evaluation.measure import (
    Evaluation,
    OriginFigures,
    evaluate,
    macro_balanced_accuracy,
)
from detectorkit.evaluation.metrics import Estimate, binary_metrics, wilson_interval
from detectorkit.graph.calibration import IsotonicCalibration, SigmoidCalibration

__all__ = [
    "CANT_TELL",
    "ConformalAbstention",
    "Estimate",
    "Evaluation",
    "FprThreshold",
    "IsotonicCalibration",
    "OriginFigures",
    "SigmoidCalibration",
    "abstention_metrics",
    "balanced_threshold",
    "binary_metrics",
    "calibrate",
    "evaluate",
    "fit_calibration",
    "fit_slope",
    "fpr_threshold",
    "macro_balanced_accuracy",
    "wilson_interval",
]
