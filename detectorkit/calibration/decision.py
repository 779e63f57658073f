"""Verdicts, labels and probabilities from scores, for Python and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.calibration.maps import Calibration
from detectorkit.utils.validation import check_scores

__all__ = ["Decision"]


@dataclass(frozen=True)
class Decision:
    """Labels, threshold and calibration with which a detector decides from scores.

    Attributes
    ----------
    classes : sequence of two
        The two labels; the second means "generated".
    threshold : float
        Score above which an image is called generated.
    calibration : SigmoidCalibration or IsotonicCalibration
        Map from scores to probabilities.

    Notes
    -----
    A score or a threshold of NaN is an error, as every comparison with it would mean "real".
    """

    classes: Sequence[Any] | NDArray[Any]
    threshold: float
    calibration: Calibration

    def is_generated(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Find the scores that mean "generated"."""
        if np.isnan(self.threshold):
            raise ValueError(f"threshold_={self.threshold} is not a number. Set another one.")
        above: NDArray[np.bool_] = check_scores("The detector", scores) > self.threshold
        return above

    def labels(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Convert scores to labels."""
        labels: NDArray[Any] = np.asarray(self.classes)[self.is_generated(scores).astype(int)]
        return labels

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Convert scores to probabilities."""
        return self.calibration.predict(check_scores("The detector", scores))
