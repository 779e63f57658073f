"""Measure how re-encoding and other changes to the images affect scores and verdicts."""

from detectorkit.evaluation.robustness.consistency import ConsistencyResult, consistency_check
from detectorkit.evaluation.robustness.perturbations import PERTURBATIONS, REALISTIC, Perturbation
from detectorkit.evaluation.robustness.report import (
    ClassMetrics,
    PerturbationMetrics,
    RobustnessReport,
    robustness_report,
)
from detectorkit.evaluation.robustness.scores import perturbed_scores

__all__ = [
    "PERTURBATIONS",
    "REALISTIC",
    "ClassMetrics",
    "ConsistencyResult",
    "Perturbation",
    "PerturbationMetrics",
    "RobustnessReport",
    "consistency_check",
    "perturbed_scores",
    "robustness_report",
]
