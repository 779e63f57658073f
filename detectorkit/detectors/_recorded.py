"""The record of a fitted detector, made from its attributes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sklearn.utils.validation import check_is_fitted

from detectorkit.base import BaseImageDetector
from detectorkit.graph.record import ModelRecord

__all__ = ["RecordedDetector"]


class RecordedDetector(BaseImageDetector):
    """Base class of the detectors whose record is made from their current attributes.

    A subclass defines `_describe_itself`, and writes `record_` into its graph.
    """

    @property
    def _graph_input(self) -> str:
        """Name of the input of the saved graph, "pixels" or "features"."""
        return "pixels"

    @property
    def record_(self) -> ModelRecord:
        """Record of the detector as it is now: preprocessing, features, training, threshold."""
        check_is_fitted(self)
        return ModelRecord(
            **self._describe_itself(),
            classes=self.classes_.tolist(),
            threshold=float(self.threshold_),
            calibration=self.calibration_,
            band=self.band_,
            training=self.training_summary_,
        )

    @abstractmethod
    def _describe_itself(self) -> dict[str, Any]:
        """Return the fields of the record that differ between kinds of detectors.

        These are at least "detector", "preprocessing" and "features".
        """
