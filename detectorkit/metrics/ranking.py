"""Metrics of scores under many sets of weights at once, sorted only once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Labelled images in ascending order of their scores.

    Weights are arrays of shape (n_weightings, n_samples), in the order in which the images were
    passed to `of`. A metric that a weighting does not define, because a class has no weight, is
    nan.

    Attributes
    ----------
    order : ndarray of shape (n_samples,)
        Indices of the images, in ascending order of their scores.
    is_generated : ndarray of shape (n_samples,)
        Whether each image is generated, in that order.
    below, through : ndarray of shape (n_samples,)
        Number of images with a lower score, and with a score that is not higher, in that order.
    """

    order: NDArray[np.intp]
    is_generated: NDArray[np.bool_]
    below: NDArray[np.intp]
    through: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Floats, is_generated: NDArray[np.bool_]) -> Ranking:
        """Sort images by their scores."""
        order = np.argsort(scores, kind="stable")
        ranked = scores[order]
        below, through = (np.searchsorted(ranked, ranked, side) for side in ("left", "right"))
        return cls(order, is_generated[order], below, through)

    def roc_auc(self, weight: Floats) -> Floats:
        """Compute the area under the ROC curve for each weighting; ties count one half."""
        ranked = weight[:, self.order]
        real = _cumulated(ranked * ~self.is_generated)
        generated = ranked[:, self.is_generated]
        beaten = real[:, self.below[self.is_generated]] + real[:, self.through[self.is_generated]]
        area = np.einsum("ij,ij->i", generated, beaten) / 2
        return _divided(area, generated.sum(axis=1) * real[:, -1])

    def recall_at(self, rate: float, real_weight: Floats, weight: Floats) -> Floats:
        """Compute the proportion found at a false-positive rate of at most `rate`.

        Photographs are weighted by `real_weight`, generated images by `weight`. The threshold is
        the lowest score at which the rate is so low.
        """
        real = _cumulated(real_weight[:, self.order] * ~self.is_generated)
        generated = _cumulated(weight[:, self.order] * self.is_generated)
        rows = np.arange(len(weight))
        total = real[:, -1:]
        is_low = total - real[:, self.through] <= rate * total + 1e-9 * total  # against rounding
        at = self.through[np.argmax(is_low, axis=1)]
        found = generated[:, -1] - generated[rows, at]
        return _divided(np.where(total[:, 0] > 0, found, np.nan), generated[:, -1])


def _cumulated(weight: Floats) -> Floats:
    """Return cumulative sums along the rows, that of no image first."""
    return np.pad(np.cumsum(weight, axis=1), ((0, 0), (1, 0)))


def _divided(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; return nan where the denominator is 0."""
    quotient = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)
