"""Evaluate detectors: metrics, protocols, calibration, decisions and robustness."""

from detectorkit.calibration.fit import fit_calibration, fit_platt_slope
from detectorkit.calibration.maps import IsotonicCalibration, SigmoidCalibration
from detectorkit.evaluation.calibrate import calibrate
from detectorkit.evaluation.cross_generator import CrossGeneratorReport, cross_generator_report
from detectorkit.evaluation.cross_source import cross_source_evaluation
from detectorkit.evaluation.decisions import (
    CANT_TELL,
    ConformalAbstention,
    FprThreshold,
    abstention_metrics,
    balanced_threshold,
    fpr_threshold,
)
from detectorkit.evaluation.evaluate import Evaluation, evaluate
from detectorkit.evaluation.origins import OriginMetrics, macro_balanced_accuracy
from detectorkit.evaluation.protocols import (
    Trial,
    leave_one_generator_out_trials,
    leave_one_source_out_trials,
    same_generator_trials,
    self_and_foreign_trials,
)
from detectorkit.evaluation.robustness.consistency import (
    ConsistencyResult,
    consistency_check,
)
from detectorkit.evaluation.robustness.perturbations import (
    PERTURBATIONS,
    REALISTIC,
    Perturbation,
)
from detectorkit.evaluation.robustness.report import (
    ClassMetrics,
    PerturbationMetrics,
    RobustnessReport,
    robustness_report,
)
from detectorkit.evaluation.robustness.scores import perturbed_scores
from detectorkit.evaluation.source_curve import (
    SourceLearningCurve,
    SourceLearningCurveDisplay,
    source_learning_curve,
)
from detectorkit.evaluation.sources import SourceEvaluation
from detectorkit.evaluation.trials import TrialResult, run_trial, summarize_trials
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
from detectorkit.model_selection.sources import LeaveSourcesOut, cap_images, merge_sources
from detectorkit.model_selection.splitters import (
    GeneratorDateSplit,
    LeaveOneFamilyOut,
    LeaveOneGeneratorOut,
    LeaveOneSourceOut,
    StratifiedGroupShuffleSplit,
)

__all__ = [
    "CANT_TELL",
    "PERTURBATIONS",
    "REALISTIC",
    "ClassMetrics",
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
    "LeaveSourcesOut",
    "OriginMetrics",
    "Perturbation",
    "PerturbationMetrics",
    "ReliabilityRow",
    "RobustnessReport",
    "SigmoidCalibration",
    "SourceEvaluation",
    "SourceLearningCurve",
    "SourceLearningCurveDisplay",
    "StratifiedGroupShuffleSplit",
    "Trial",
    "TrialResult",
    "abstention_metrics",
    "balanced_threshold",
    "binary_metrics",
    "calibrate",
    "cap_images",
    "compare_detectors",
    "consistency_check",
    "cross_generator_report",
    "cross_source_evaluation",
    "evaluate",
    "fit_calibration",
    "fit_platt_slope",
    "fpr_threshold",
    "leave_one_generator_out_trials",
    "leave_one_source_out_trials",
    "macro_balanced_accuracy",
    "merge_sources",
    "perturbed_scores",
    "precision_at_prevalence",
    "probability_metrics",
    "reliability_table",
    "robustness_report",
    "roc_auc_estimate",
    "run_trial",
    "same_generator_trials",
    "self_and_foreign_trials",
    "source_learning_curve",
    "summarize_trials",
    "wilson_interval",
]
