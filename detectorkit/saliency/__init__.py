"""Why a detector says so: maps of what its score depends on, without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectorkit.saliency.gradient import GradientSaliency
    from detectorkit.saliency.integrated_gradients import IntegratedGradients
    from detectorkit.saliency.smooth_grad import SmoothGrad

__all__ = ["GradientSaliency", "IntegratedGradients", "SmoothGrad"]

_HOME_OF = {
    "GradientSaliency": "detectorkit.saliency.gradient",
    "IntegratedGradients": "detectorkit.saliency.integrated_gradients",
    "SmoothGrad": "detectorkit.saliency.smooth_grad",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'detectorkit.saliency' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
