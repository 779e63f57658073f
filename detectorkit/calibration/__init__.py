"""Calibration maps, which turn scores into probabilities, and how they are fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.calibration.fit import fit_calibration, fit_platt_slope
    from detectorkit.calibration.maps import IsotonicCalibration, SigmoidCalibration

__all__ = ["IsotonicCalibration", "SigmoidCalibration", "fit_calibration", "fit_platt_slope"]

_HOME_OF = {
    "IsotonicCalibration": "detectorkit.calibration.maps",
    "SigmoidCalibration": "detectorkit.calibration.maps",
    "fit_calibration": "detectorkit.calibration.fit",
    "fit_platt_slope": "detectorkit.calibration.fit",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
