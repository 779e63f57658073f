"""Calibration maps, which turn scores into probabilities, and how they are fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.calibration.band import fit_band
    from detectorkit.calibration.decision import CANT_TELL, Band, Decision
    from detectorkit.calibration.fit import fit_calibration, fit_platt_slope
    from detectorkit.calibration.maps import IsotonicCalibration, SigmoidCalibration

__all__ = [
    "CANT_TELL",
    "Band",
    "Decision",
    "IsotonicCalibration",
    "SigmoidCalibration",
    "fit_band",
    "fit_calibration",
    "fit_platt_slope",
]

_HOME_OF = {
    "CANT_TELL": "detectorkit.calibration.decision",
    "Band": "detectorkit.calibration.decision",
    "Decision": "detectorkit.calibration.decision",
    "fit_band": "detectorkit.calibration.band",
    "IsotonicCalibration": "detectorkit.calibration.maps",
    "SigmoidCalibration": "detectorkit.calibration.maps",
    "fit_calibration": "detectorkit.calibration.fit",
    "fit_platt_slope": "detectorkit.calibration.fit",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
