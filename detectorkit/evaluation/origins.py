"""Figures of single generators and sources of photographs, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from detectorkit.metrics.estimates import Estimate, proportion, weighted_sum
from detectorkit.utils.tables import text_table

__all__ = ["OriginMetrics", "macro_balanced_accuracy", "origin_lines"]


class OriginMetrics(NamedTuple):
    """How a detector does on the images of one generator or one source of photographs.

    Attributes
    ----------
    name : str
        The generator or the source.
    is_generator : bool
        Whether its images are generated.
    n : int
        Number of images.
    called_generated : Estimate
        The share of them that is called generated: for photographs the false-positive rate, for
        a generator the share found.
    roc_auc : Estimate
        Of a generator, the area under the ROC curve against all photographs measured with it;
        nan for photographs.
    """

    name: str
    is_generator: bool
    n: int
    called_generated: Estimate
    roc_auc: Estimate

    @property
    def is_inverted(self) -> bool:
        """Whether its images look more real to the detector than photographs do."""
        return bool(self.roc_auc.value < 0.5)

    def to_dict(self) -> dict[str, Any]:
        """Give it in a form that JSON can hold.

        Returns
        -------
        content : dict
            The attributes, and for generators "roc_auc" and "inverted".
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
    """Average over sources and generators, so that every one of them counts the same.

    This is the figure to quote for a world that the detector does not know: the mean over the
    sources of 1 minus the false-positive rate, and the mean over the generators of the share
    found, averaged.

    Parameters
    ----------
    origins : sequence of OriginMetrics
        At least one source and one generator; else the result is nan.

    Returns
    -------
    accuracy : Estimate
        Its interval has the confidence of those in `origins`. It covers chance in the images,
        not in the choice of generators and sources.

    Notes
    -----
    The interval combines those of the origins as `weighted_sum` does.
    """
    is_generator = np.array([row.is_generator for row in origins], bool)
    if is_generator.all() or not is_generator.any():
        return proportion(0, 0)
    # Half the mean of 1 - rate over sources plus half the mean of the rate over generators.
    weight = np.where(is_generator, 0.5 / is_generator.sum(), -0.5 / (~is_generator).sum())
    rates = [row.called_generated for row in origins]
    return weighted_sum(rates, weight.tolist(), constant=0.5)


def origin_lines(origins: Sequence[OriginMetrics]) -> list[str]:
    """Give a table of origins as lines of text.

    Parameters
    ----------
    origins : sequence of OriginMetrics
        One a line.

    Returns
    -------
    lines : list of str
        The first is the head.
    """
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
