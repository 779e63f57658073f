"""The calibration maps that a model can hold, in its record and in its graph.

They turn scores into probabilities. No map ever falls as the score rises, so that calibration does
not reverse the ranking of images. They are fitted by `detectorkit.calibration.fit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.utils.fields import Fields

__all__ = ["Calibration", "IsotonicCalibration", "SigmoidCalibration", "calibration_from_record"]

_BEYOND = float(np.finfo(np.float32).max)  # above all scores, and unlike infinity valid in JSON


@dataclass(frozen=True)
class SigmoidCalibration:
    """A sigmoid map: the probability is ``1 / (1 + exp(-slope * (score - offset)))``.

    Attributes
    ----------
    slope : float
        Slope of the sigmoid, which is positive: how fast the probability rises with the score.
    offset : float, default=0.0
        Score with a probability of one half.
    """

    slope: float
    offset: float = 0.0

    @property
    def threshold(self) -> float:
        """The score above which the probability is above one half."""
        return self.offset

    def predict(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the probabilities of scores.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Scores of the images, as `decision_function` returns them.

        Returns
        -------
        probabilities : ndarray of shape (n_samples,)
            Probabilities of "generated".
        """
        # Like scipy's `expit` this never overflows, and it costs no import of scipy.
        logits = self.slope * (scores - self.offset)
        small = np.exp(-np.abs(logits))
        probabilities: NDArray[np.float64] = np.where(logits >= 0, 1, small) / (1 + small)
        return probabilities

    def to_record(self) -> dict[str, Any]:
        """Return the form in which the map is saved with a model.

        Returns
        -------
        record : dict
            Method and parameters of the map, as JSON can hold them.
        """
        return {"method": "sigmoid", "slope": self.slope, "offset": self.offset}


@dataclass(frozen=True)
class IsotonicCalibration:
    """A piecewise linear map: the probability is interpolated between points.

    Attributes
    ----------
    scores : tuple of float
        Scores of the points, rising.
    probabilities : tuple of float
        Probabilities at the points, never falling. Below the first and above the last point the
        probability is constant.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    @property
    def threshold(self) -> float:
        """The score above which the probability is above one half.

        It lies beyond all scores if the probability is above one half everywhere or nowhere.
        """
        above = np.asarray(self.probabilities) > 0.5
        if above.all() or not above.any():
            return -_BEYOND if above.all() else _BEYOND
        # From the last point at or below one half, on the line to the next one.
        k = int(np.argmax(above)) - 1
        (x0, x1), (p0, p1) = self.scores[k : k + 2], self.probabilities[k : k + 2]
        return float(x0 + (0.5 - p0) / (p1 - p0) * (x1 - x0))

    def predict(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the probabilities of scores.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Scores of the images, as `decision_function` returns them.

        Returns
        -------
        probabilities : ndarray of shape (n_samples,)
            Probabilities of "generated".
        """
        return np.interp(scores, self.scores, self.probabilities)

    def to_record(self) -> dict[str, Any]:
        """Return the form in which the map is saved with a model.

        Returns
        -------
        record : dict
            Method and parameters of the map, as JSON can hold them.
        """
        return {
            "method": "isotonic",
            "scores": list(self.scores),
            "probabilities": list(self.probabilities),
        }


Calibration = SigmoidCalibration | IsotonicCalibration


def calibration_from_record(fields: Fields) -> Calibration:
    """Read a map."""
    if fields.text("method", ("sigmoid", "isotonic")) == "sigmoid":
        slope = fields.number("slope")
        if slope <= 0:
            raise fields.error("slope", "a positive number")
        return SigmoidCalibration(slope, fields.number("offset", 0.0))
    x, p = fields.numbers("scores"), fields.numbers("probabilities")
    if not x or (np.diff(x) <= 0).any():
        raise fields.error("scores", "a list of rising numbers")
    is_falling = (np.diff(p) < 0).any()
    if len(x) != len(p) or is_falling or p[0] < 0 or p[-1] > 1:
        raise fields.error("probabilities", f"{len(x)} numbers from 0 to 1, none falling,")
    return IsotonicCalibration(tuple(x), tuple(p))
