"""Measuring detectors without self-deception."""

from detectorkit.evaluation.auc import roc_auc_estimate
from detectorkit.evaluation.calibration import calibrate, fit_calibration, fit_slope
from detectorkit.evaluation.comparison import DetectorComparison, compare_detectors
from detectorkit.evaluation.consistency import ConsistencyResult, consistency_check
from detectorkit.evaluation.cross_generator import CrossGeneratorReport, cross_generator_report
from detectorkit.evaluation.decisions import (
    CANT_TELL,
    ConformalAbstention,
    FprThreshold,
    abstention_metrics,
    balanced_threshold,
    fpr_threshold,
)
from detectorkit.evaluation.estimates import Estimate, wilson_interval
from detectorkit.evaluation.measure import Evaluation, evaluate
from detectorkit.evaluation.metrics import binary_metrics
from detectorkit.evaluation.origins import OriginFigures, macro_balanced_accuracy
from detectorkit.evaluation.perturbations import PERTURBATIONS, REALISTIC, Perturbation
from detectorkit.evaluation.perturbed import perturbed_scores
from detectorkit.evaluation.probabilities import (
    ReliabilityRow,
    precision_at_prevalence,
    probability_metrics,
    reliability_table,
)
from detectorkit.evaluation.protocols import (
    Trial,
    leave_one_generator_out_trials,
    leave_one_source_out_trials,
    same_generator_trials,
    self_and_foreign_trials,
)
from detectorkit.evaluation.robustness import (
    ClassFigures,
    PerturbationFigures,
    RobustnessReport,
    robustness_report,
)
from detectorkit.evaluation.splitters import (
    GeneratorDateSplit,
    LeaveOneFamilyOut,
    LeaveOneGeneratorOut,
    LeaveOneSourceOut,
    StratifiedGroupShuffleSplit,
)
from detectorkit.evaluation.trials import TrialResult, run_trial, summarize_trials
from detectorkit.graph.calibration import IsotonicCalibration, SigmoidCalibration

__all__ = [
    "CANT_TELL",
    "PERTURBATIONS",
    "REALISTIC",
    "ClassFigures",
    "ConformalAbstention",
    "ConsistencyResult",
    "CrossGeneratorReport",
    "DetectorComparison",
    "Estimate",
    "Evaluation",
    "FprThreshold",
    "GeneratorDateSplit",
    "IsotonicCalibration",
    "LeaveOneFamilyOut",
    "LeaveOneGeneratorOut",
    "LeaveOneSourceOut",
    "OriginFigures",
    "Perturbation",
    "PerturbationFigures",
    "ReliabilityRow",
    "RobustnessReport",
    "SigmoidCalibration",
    "StratifiedGroupShuffleSplit",
    "Trial",
    "TrialResult",
    "abstention_metrics",
    "balanced_threshold",
    "binary_metrics",
    "calibrate",
    "compare_detectors",
    "consistency_check",
    "cross_generator_report",
    "evaluate",
    "fit_calibration",
    "fit_slope",
    "fpr_threshold",
    "leave_one_generator_out_trials",
    "leave_one_source_out_trials",
    "macro_balanced_accuracy",
    "perturbed_scores",
    "precision_at_prevalence",
    "probability_metrics",
    "reliability_table",
    "robustness_report",
    "roc_auc_estimate",
    "run_trial",
    "same_generator_trials",
    "self_and_foreign_trials",
    "summarize_trials",
    "wilson_interval",
]
