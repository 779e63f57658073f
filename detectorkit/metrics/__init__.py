"""Metrics of scores and verdicts, each with an interval."""

from detectorkit.metrics.auc import roc_auc_estimate
from detectorkit.metrics.binary import binary_metrics
from detectorkit.metrics.comparison import DetectorComparison, compare_detectors
from detectorkit.metrics.estimates import Estimate, wilson_interval
from detectorkit.metrics.probabilities import (
    ReliabilityRow,
    precision_at_prevalence,
    probability_metrics,
    reliability_table,
)

__all__ = [
    "DetectorComparison",
    "Estimate",
    "ReliabilityRow",
    "binary_metrics",
    "compare_detectors",
    "precision_at_prevalence",
    "probability_metrics",
    "reliability_table",
    "roc_auc_estimate",
    "wilson_interval",
]
