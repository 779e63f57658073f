"""Measuring detectors without self-deception.

Names are imported when they are first used: every detector needs its calibration from here, and
only measuring needs the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.evaluation.calibration import (
        IsotonicCalibration,
        SigmoidCalibration,
        calibrate,
        fit_calibration,
        fit_slope,
    )
    from detectorkit.evaluation.metrics import Estimate, binary_metrics, wilson_interval

__all__ = [
    "Estimate",
    "IsotonicCalibration",
    "SigmoidCalibration",
    "binary_metrics",
    "calibrate",
    "fit_calibration",
    "fit_slope",
    "wilson_interval",
]

_HOME_OF = {
    name: f"detectorkit.evaluation.{module}"
    for module, names in {
        "calibration": (
            "IsotonicCalibration",
            "SigmoidCalibration",
            "calibrate",
            "fit_calibration",
            "fit_slope",
        ),
        "metrics": ("Estimate", "binary_metrics", "wilson_interval"),
    }.items()
    for name in names
}

__getattr__ = lazy_names(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return __all__
