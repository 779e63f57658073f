"""Why a detector says so: maps of what its score depends on, without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectorkit.saliency.display import SaliencyDisplay
    from detectorkit.saliency.factorization import DeepFeatureFactorization
    from detectorkit.saliency.faithfulness import (
        deletion_insertion,
        max_sensitivity,
        pointing_game,
        randomization_check,
    )
    from detectorkit.saliency.grad_cam import AttentionRollout, GradCAM
    from detectorkit.saliency.gradient import GradientSaliency
    from detectorkit.saliency.integrated_gradients import IntegratedGradients
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
    "AttentionRollout": "detectorkit.saliency.grad_cam",
    "DeepFeatureFactorization": "detectorkit.saliency.factorization",
    "GradCAM": "detectorkit.saliency.grad_cam",
    "GradientSaliency": "detectorkit.saliency.gradient",
    "IntegratedGradients": "detectorkit.saliency.integrated_gradients",
    "OcclusionSaliency": "detectorkit.saliency.occlusion",
    "SaliencyDisplay": "detectorkit.saliency.display",
    "SmoothGrad": "detectorkit.saliency.smooth_grad",
    "deletion_insertion": "detectorkit.saliency.faithfulness",
    "gradient_statistics": "detectorkit.saliency.statistics",
    "max_sensitivity": "detectorkit.saliency.faithfulness",
    "pointing_game": "detectorkit.saliency.faithfulness",
    "randomization_check": "detectorkit.saliency.faithfulness",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'detectorkit.saliency' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
