"""What is made of scores: verdicts, labels and probabilities, for Python and the command line."""

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
    """How a detector decides, once it has scores.

    Attributes
    ----------
    classes : sequence of two
        The labels; the second means "generated".
    threshold : float
        The score above which an image is called generated.
    calibration : SigmoidCalibration or IsotonicCalibration
        How a score becomes a probability.

    Notes
    -----
    A score or a threshold that is not a number is an error: compared with anything it would mean
    "real".
    """

    classes: Sequence[Any] | NDArray[Any]
    threshold: float
    calibration: Calibration

    def is_generated(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which scores mean "generated".

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            What `decision_function` gives.

        Returns
        -------
        is_generated : ndarray of shape (n_samples,), dtype bool
            True above the threshold.

        Raises
        ------
        ValueError
            If a score or the threshold is not a number.
        """
        if np.isnan(self.threshold):
            raise ValueError(f"threshold_={self.threshold} is not a number; set another one.")
        above: NDArray[np.bool_] = check_scores("The detector", scores) > self.threshold
        return above

    def labels(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Turn scores into labels.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            What `decision_function` gives.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Out of `classes`.
        """
        labels: NDArray[Any] = np.asarray(self.classes)[self.is_generated(scores).astype(int)]
        return labels

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Turn scores into probabilities.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            What `decision_function` gives.

        Returns
        -------
        probabilities : ndarray of shape (n_samples,)
            Those of "generated".
        """
        return self.calibration.predict(check_scores("The detector", scores))
