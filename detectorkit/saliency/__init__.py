"""Explanations of a detector: maps of the pixels that its score depends on, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.saliency.attention_rollout import AttentionRollout
    from detectorkit.saliency.display import SaliencyDisplay
    from detectorkit.saliency.factorization import DeepFeatureFactorization
    from detectorkit.saliency.grad_cam import GradCAM
    from detectorkit.saliency.gradient import GradientSaliency
    from detectorkit.saliency.integrated_gradients import IntegratedGradients
    from detectorkit.saliency.metrics.deletion import deletion_insertion
    from detectorkit.saliency.metrics.pointing_game import pointing_game
    from detectorkit.saliency.metrics.randomization import randomization_check
    from detectorkit.saliency.metrics.sensitivity import max_sensitivity
    from detectorkit.saliency.occlusion import OcclusionSaliency
    from detectorkit.saliency.smooth_grad import SmoothGrad
    from detectorkit.saliency.statistics import gradient_statistics

__all__ = [
    "AttentionRollout",
    "DeepFeatureFactorization",
    "GradCAM",
    "GradientSaliency",
    "IntegratedGradients",
    "OcclusionSaliency",
    "SaliencyDisplay",
    "SmoothGrad",
    "deletion_insertion",
    "gradient_statistics",
    "max_sensitivity",
    "pointing_game",
    "randomization_check",
]

_HOME_OF = {
    "AttentionRollout": "detectorkit.saliency.attention_rollout",
    "DeepFeatureFactorization": "detectorkit.saliency.factorization",
    "GradCAM": "detectorkit.saliency.grad_cam",
    "GradientSaliency": "detectorkit.saliency.gradient",
    "IntegratedGradients": "detectorkit.saliency.integrated_gradients",
    "OcclusionSaliency": "detectorkit.saliency.occlusion",
    "SaliencyDisplay": "detectorkit.saliency.display",
    "SmoothGrad": "detectorkit.saliency.smooth_grad",
    "deletion_insertion": "detectorkit.saliency.metrics.deletion",
    "gradient_statistics": "detectorkit.saliency.statistics",
    "max_sensitivity": "detectorkit.saliency.metrics.sensitivity",
    "pointing_game": "detectorkit.saliency.metrics.pointing_game",
    "randomization_check": "detectorkit.saliency.metrics.randomization",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
