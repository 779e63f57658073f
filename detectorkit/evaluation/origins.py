"""Metrics of single generators and sources of photographs, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from detectorkit.metrics.estimates import Estimate, proportion, weighted_sum
from detectorkit.utils.tables import text_table

__all__ = ["OriginMetrics", "macro_balanced_accuracy", "origin_lines"]


class OriginMetrics(NamedTuple):
    """Metrics of a detector on the images of one generator or one source of photographs.

    Attributes
    ----------
    name : str
        Name of the generator or the source.
    is_generator : bool
        Whether the origin is a generator, so that its images are generated.
    n : int
        Number of images of this origin.
    called_generated : Estimate
        Proportion of the images that are called generated: the false-positive rate of a source,
        the true-positive rate of a generator.
    roc_auc : Estimate
        Area under the ROC curve of a generator against all photographs of the test; nan for a
        source.
    """

    name: str
    is_generator: bool
    n: int
    called_generated: Estimate
    roc_auc: Estimate

    @property
    def is_inverted(self) -> bool:
        """Whether the area under the ROC curve is below one half.

        The images of the generator then look more real to the detector than photographs do.
        """
        return bool(self.roc_auc.value < 0.5)

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The metrics by name; only generators have "roc_auc" and "inverted".
        """
        content: dict[str, Any] = {
            "name": self.name,
            "kind": "generator" if self.is_generator else "photographs",
            "n": self.n,
            "called_generated": self.called_generated.to_dict(),
        }
        if self.is_generator:
            content |= {"roc_auc": self.roc_auc.to_dict(), "inverted": self.is_inverted}
        return content


def macro_balanced_accuracy(origins: Sequence[OriginMetrics]) -> Estimate:
    """Compute the balanced accuracy in which every source and every generator has the same weight.

    It is one half of the mean true-negative rate over the sources, plus one half of the mean
    true-positive rate over the generators. This is the metric to quote for origins that the
    detector does not know.

    Parameters
    ----------
    origins : sequence of OriginMetrics
        Metrics of at least one source and one generator; otherwise the result is nan.

    Returns
    -------
    accuracy : Estimate
        Macro balanced accuracy. Its interval has the confidence level of those in `origins`. It
        covers chance in the images, not in the choice of generators and sources.

    Notes
    -----
    The interval combines those of the origins by the method of Zou, Huang and Zhang (2009),
    :doi:`10.1016/j.csda.2008.09.033`.
    """
    is_generator = np.array([row.is_generator for row in origins], bool)
    if is_generator.all() or not is_generator.any():
        return proportion(0, 0)
    # Half the mean of 1 - rate over sources plus half the mean of the rate over generators.
    weight = np.where(is_generator, 0.5 / is_generator.sum(), -0.5 / (~is_generator).sum())
    rates = [row.called_generated for row in origins]
    return weighted_sum(rates, weight.tolist(), constant=0.5)


def origin_lines(origins: Sequence[OriginMetrics]) -> list[str]:
    """Format the metrics of origins as the lines of a table."""
    rows = [
        (
            row.name,
            "generator" if row.is_generator else "photographs",
            row.n,
            row.called_generated,
            "" if np.isnan(row.roc_auc.value) else row.roc_auc,
            "inverted" if row.is_inverted else "",
        )
        for row in origins
    ]
    headings = ("origin", "", "n", "called generated", "area under ROC curve", "")
    return text_table(rows, headings, align="<<><")
