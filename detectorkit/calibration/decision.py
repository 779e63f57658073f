"""Verdicts, labels and probabilities from scores, for Python and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.calibration.maps import Calibration
from detectorkit.utils.fields import Fields
from detectorkit.utils.validation import check_scores

__all__ = ["CANT_TELL", "VERDICTS", "Band", "Decision", "verdict_codes"]

CANT_TELL: Final = -1
"""The verdict "can't tell", beside 0 for real and 1 for generated."""

VERDICTS: Final = ("real", "generated", "can't tell")
"""The verdicts in words, by their codes: 0, 1 and -1."""


@dataclass(frozen=True)
class Band:
    """Scores between which a detector cannot tell, and what they cost where they were set.

    An image with a score above `high` is generated, at or below `low` it is real.

    Attributes
    ----------
    low, high : float
        Ends of the band.
    wrong_photographs, wrong_generated : float or None, default=None
        Proportion of all photographs that are called generated, and of all generated images that
        are called real.
    undecided_photographs, undecided_generated : float or None, default=None
        Proportion of the images of each class for which the verdict is "can't tell".
    found : float or None, default=None
        Proportion of the generated images that are called generated.
    n_images, n_units : int or None, default=None
        Number of images on which the band was set, and of the units that they are from.
    """

    low: float
    high: float
    wrong_photographs: float | None = None
    wrong_generated: float | None = None
    undecided_photographs: float | None = None
    undecided_generated: float | None = None
    found: float | None = None
    n_images: int | None = None
    n_units: int | None = None

    @classmethod
    def from_record(cls, fields: Fields) -> Band:
        """Read a band from a record."""
        low, high = fields.number("low"), fields.number("high")
        if low > high:
            raise fields.error("low", f"a number not above high, {high:g},")
        measured: dict[str, Any] = {name: fields.proportion(name) for name in _PROPORTIONS}
        measured |= {name: fields.integer(name) for name in ("n_images", "n_units")}
        return cls(low, high, **measured)

    def to_record(self) -> dict[str, Any]:
        """Return the form in which the band is saved with a model.

        Returns
        -------
        record : dict
            The attributes by name.
        """
        return asdict(self)

    def describe(self) -> str:
        """Describe in words where the detector cannot tell, and what this costs.

        Returns
        -------
        text : str
            A sentence without a full stop.
        """
        text = f"can't tell at scores from {self.low:.3g} to {self.high:.3g}"
        return f"{text}. {costs}" if (costs := self.describe_costs()) else text

    def describe_costs(self) -> str:
        """Describe in words what the verdicts with this band were on the images that set it.

        Returns
        -------
        text : str
            Sentences without the last full stop; "" if the proportions are not known.
        """
        if None in {self.n_images, *(getattr(self, name) for name in _PROPORTIONS)}:
            return ""
        units = f" from {self.n_units} independent sources" if self.n_units else ""
        of_100 = {name: _of_100(getattr(self, name)) for name in _PROPORTIONS}
        return (
            "Of 100 photographs from sources on which it was not trained, it calls "
            "{wrong_photographs} generated, and can't tell for {undecided_photographs}. Of 100 "
            "generated images, it finds {found}, calls {wrong_generated} real, and can't tell for "
            "{undecided_generated}"
        ).format(**of_100) + f" (set on {self.n_images} images{units})"


_PROPORTIONS: Final = (
    "wrong_photographs",
    "wrong_generated",
    "undecided_photographs",
    "undecided_generated",
    "found",
)


def _of_100(proportion: float) -> str:
    """Write how many of 100 a proportion is, in two digits."""
    return f"{100 * proportion:.2g}" if proportion < 0.995 else "100"


@dataclass(frozen=True)
class Decision:
    """Labels, threshold, band and calibration with which a detector decides from scores.

    Attributes
    ----------
    classes : sequence of two
        The two labels; the second means "generated".
    threshold : float
        Score above which an image is called generated.
    calibration : SigmoidCalibration or IsotonicCalibration
        Map from scores to probabilities.
    band : Band or None, default=None
        Band of scores in which the verdict is "can't tell". None leaves verdicts to the threshold
        alone.

    Notes
    -----
    A score or a threshold of NaN is an error, as every comparison with it would mean "real".
    """

    classes: Sequence[Any] | NDArray[Any]
    threshold: float
    calibration: Calibration
    band: Band | None = None

    @property
    def low(self) -> float | None:
        """Score up to which the verdict is "real"; None without a band."""
        return None if self.band is None else self.band.low

    @property
    def high(self) -> float | None:
        """Score above which the verdict is "generated"; None without a band."""
        return None if self.band is None else self.band.high

    def is_generated(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Find the scores that are above the threshold."""
        if np.isnan(self.threshold):
            raise ValueError(f"threshold_={self.threshold} is not a number. Set another one.")
        above: NDArray[np.bool_] = check_scores("The detector", scores) > self.threshold
        return above

    def labels(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Convert scores to labels, by the threshold alone."""
        labels: NDArray[Any] = np.asarray(self.classes)[self.is_generated(scores).astype(int)]
        return labels

    def verdicts(
        self, scores: NDArray[Any], unfit: Sequence[str | None] | None = None
    ) -> NDArray[np.str_]:
        """Convert scores to "real", "generated" or "can't tell".

        It is always "can't tell" where `unfit` has a reason why the image cannot be judged.
        """
        self.is_generated(scores)  # for its checks
        codes = verdict_codes(scores, self.threshold, self.band)
        if unfit is not None:
            codes[[reason is not None for reason in unfit]] = CANT_TELL
        verdicts: NDArray[np.str_] = np.array(VERDICTS)[codes]
        return verdicts

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Convert scores to probabilities."""
        return self.calibration.predict(check_scores("The detector", scores))

    def describe(self, scores: NDArray[Any], unfit: Sequence[str | None]) -> list[dict[str, Any]]:
        """Describe what is decided from each score, in the form that JSON has for it."""
        band = None if self.band is None else {"low": self.low, "high": self.high}
        verdicts = self.verdicts(scores, unfit)
        found = (verdicts, unfit, self.labels(scores), self.probabilities(scores))
        return [
            {
                "verdict": str(verdict),
                "unfit": reason,
                "label": label,
                "probability": float(probability),
                "score": float(score),
                "threshold": self.threshold,
                "band": band,
            }
            for score, verdict, reason, label, probability in zip(scores, *found, strict=True)
        ]


def verdict_codes(scores: NDArray[Any], threshold: float, band: Band | None) -> NDArray[np.int64]:
    """Convert scores to 0 for real, 1 for generated and -1 for "can't tell".

    Where the threshold is outside of the band, the band reaches to it, so that a verdict never
    contradicts the label.
    """
    low, high = (threshold, threshold) if band is None else (band.low, band.high)
    codes = np.full(np.shape(scores), CANT_TELL, np.int64)
    codes[np.asarray(scores) <= min(low, threshold)] = 0
    codes[np.asarray(scores) > max(high, threshold)] = 1
    return codes
