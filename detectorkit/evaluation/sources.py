"""Evaluate scores of images from sources that were left out, source by source.

Images of one source resemble one another, so what counts is the number of sources: metrics weigh
sources alike, and intervals come from drawing sources anew, not images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.batches import iter_slices
from detectorkit.metrics.estimates import Estimate
from detectorkit.metrics.ranking import Ranking
from detectorkit.utils.json import to_plain
from detectorkit.utils.names import as_names
from detectorkit.utils.results import ResultMixin
from detectorkit.utils.tables import text_table

__all__ = ["SourceEvaluation", "name_origins"]

RATES: Final = {"fpr_5": 0.05, "fpr_2": 0.02}
"""False-positive rates at whose thresholds the proportion found is stated, by name."""

_MIN_WITHIN: Final = 4  # images of each class, for an area within a source
_WEIGHTS_AT_A_TIME: Final = 500_000

Floats = NDArray[np.float64]


class _Origins(NamedTuple):
    """The images of each origin in each unit: arrays of shape (n_units, n_origins)."""

    name: NDArray[np.object_]
    is_generated: NDArray[np.bool_]
    n: Floats
    called: Floats  # called generated


@dataclass(frozen=True, repr=False)
class SourceEvaluation(ResultMixin):
    """Scores of images whose sources were not trained on, and the metrics that follow.

    `to_frame` has the tables "metrics", which `plot` draws, and "false_positive_rates" by source.

    Attributes
    ----------
    y_true : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    scores : ndarray of shape (n_samples,)
        Scores of the images, higher for "generated", each by a detector that was not trained on
        images of its unit.
    threshold : ndarray of shape (n_samples,)
        Score above which that detector calls each image generated.
    source : ndarray of shape (n_samples,)
        Source of each image: the repository or website.
    generator : ndarray of shape (n_samples,)
        Generator of each generated image; that of photographs is not used.
    unit : ndarray of shape (n_samples,)
        Unit of each image: what was left out together, and is drawn together for the intervals.
    subset : ndarray of shape (n_samples,) or None
        Kind of each image, such as "faces", for areas by subset.
    min_images : int
        Minimum number of images of an origin that counts in the mean rates.
    confidence : float
        Confidence level of the intervals, between 0 and 1.
    n_resamples : int
        Number of bootstrap samples of the units.
    random_state : int
        Seed of these samples.

    See Also
    --------
    cross_source_evaluation : Fits detectors without each part of the sources and evaluates them.

    Notes
    -----
    An origin is a generator in a source, or the photographs of a source. Intervals are by the
    percentile bootstrap, with units drawn with replacement. They do not cover chance in training:
    each unit keeps its scores.
    """

    y_true: NDArray[np.int64]
    scores: NDArray[np.float64]
    threshold: NDArray[np.float64]
    source: NDArray[Any]
    generator: NDArray[Any]
    unit: NDArray[Any]
    subset: NDArray[Any] | None = None
    min_images: int = 5
    confidence: float = 0.95
    n_resamples: int = 1000
    random_state: int = 0

    _title = "Evaluation on sources that were left out"
    _plotted = "metrics", ("value",)

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """The metrics by name, each with its interval; nan where a class is missing.

        "macro_balanced_accuracy" is the mean of "recall" and of 1 - "false_positive_rate", which
        are means over the origins of at least `min_images` images. "roc_auc" is the area of all
        scores, followed by that of each subset, such as "roc_auc[faces]". "roc_auc_within" is the
        mean over the sources with at least four images of each class. "recall@fpr_5" and
        "recall@fpr_2" are the proportions found where at most 5 and 2 % of the photographs are
        called generated, with the same weight for every source of photographs.
        """
        point = self._measure(np.ones((1, len(self._units))))
        drawn = [self._measure(weight) for weight in self._draw()]
        return self._estimates(point, drawn)

    def compare(self, other: SourceEvaluation) -> dict[str, Estimate]:
        """Compute how much better the metrics are than those of other scores of the same images.

        Parameters
        ----------
        other : SourceEvaluation
            Evaluation of other scores of the same images.

        Returns
        -------
        differences : dict of str to Estimate
            Each metric minus that of `other`, with the interval of the paired bootstrap: both are
            measured on the same drawn units, so what is hard for both does not widen it.

        Raises
        ------
        ValueError
            If `other` is of other images, or of other units.
        """
        columns = ("y_true", "source", "generator", "unit")
        if not all(np.array_equal(getattr(self, c), getattr(other, c)) for c in columns):
            raise ValueError(
                "SourceEvaluation.compare: `other` must be of the same images in the same order, "
                "with the same sources, generators and units."
            )
        point = self._minus(other, np.ones((1, len(self._units))))
        drawn = [self._minus(other, weight) for weight in self._draw()]
        return self._estimates(point, drawn)

    @cached_property
    def false_positive_rates(self) -> dict[str, float]:
        """False-positive rate of each source of at least `min_images` photographs, ascending."""
        origins, counted = self._origins, self._counted & ~self._origins.is_generated
        rates = origins.called.sum(axis=0)[counted] / origins.n.sum(axis=0)[counted]
        order = np.argsort(rates, kind="stable")
        names = origins.name[counted][order].tolist()
        return dict(zip(names, rates[order].tolist(), strict=True))

    def _estimates(
        self, point: dict[str, Floats], drawn: list[dict[str, Floats]]
    ) -> dict[str, Estimate]:
        """Return each value with the percentiles of its bootstrap samples as its interval."""
        ends = 50 * (1 - self.confidence), 50 * (1 + self.confidence)
        found = {}
        for name, (value,) in point.items():
            samples = np.concatenate([one[name] for one in drawn])
            known = samples[np.isfinite(samples)]
            low, high = np.percentile(known, ends) if len(known) else (np.nan, np.nan)
            found[name] = Estimate(float(value), float(low), float(high))
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Number of images, units, sources, sources of photographs, generators and so on."""
        is_generated = self.y_true == 1
        return {
            "images": len(self.y_true),
            "photographs": int(np.sum(~is_generated)),
            "units": len(self._units),
            "sources": len(np.unique(self.source)),
            "sources_of_photographs": len(np.unique(self.source[~is_generated])),
            "generators": len(np.unique(self.generator[is_generated])),
            "origins": int(self._counted.sum()),
            "sources_within": len(self._within),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The numbers of images and sources under "n", the metrics by name, and the distribution
            of the false-positive rate over sources. An estimate is ``{"value": ..., "low": ...,
            "high": ...}``, with None for nan.
        """
        plain: dict[str, Any] = to_plain(
            {
                "n": self.counts,
                "metrics": self.metrics,
                "false_positive_rate_over_sources": self._spread(),
            }
        )
        return plain

    def to_text(self) -> str:
        """Format the metrics as text.

        Returns
        -------
        text : str
            A line for each metric, then the false-positive rates of sources and the numbers of
            images and sources.
        """
        lines = text_table((name.replace("_", " "), one) for name, one in self.metrics.items())
        spread = self._spread()
        if spread:
            lines += [
                "false-positive rate of a source: median {median:.3f}, one in ten above "
                "{percentile_90:.3f}, worst {worst:.3f} ({worst_source})".format(**spread)
            ]
        numbers = (f"{n} {name.replace('_', ' ')}" for name, n in self.counts.items())
        return "\n".join([*lines, ", ".join(numbers)])

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        rates = self.false_positive_rates
        return {
            "metrics": [{"metric": name, "value": one} for name, one in self.metrics.items()],
            "false_positive_rates": [
                {"source": source, "false_positive_rate": rate} for source, rate in rates.items()
            ],
        }

    def _spread(self) -> dict[str, Any]:
        """Summarize the false-positive rates; return nothing where no source is large enough."""
        if not self.false_positive_rates:
            return {}
        rates = list(self.false_positive_rates.values())
        return {
            "median": float(np.median(rates)),
            "percentile_90": float(np.percentile(rates, 90)),
            "worst": rates[-1],
            "worst_source": list(self.false_positive_rates)[-1],
        }

    @cached_property
    def _units(self) -> NDArray[Any]:
        return np.unique(self.unit)

    @cached_property
    def _unit_of(self) -> NDArray[np.intp]:
        return np.searchsorted(self._units, self.unit)

    @cached_property
    def _origins(self) -> _Origins:
        is_generated = self.y_true == 1
        names = name_origins(self.y_true, self.generator, self.source)
        found, number = np.unique(names, return_inverse=True)
        kinds, origin = np.unique(
            np.column_stack([is_generated, number]), axis=0, return_inverse=True
        )
        n = np.zeros((len(self._units), len(kinds)))
        called = np.zeros_like(n)
        place = self._unit_of, origin.ravel()
        np.add.at(n, place, 1)
        np.add.at(called, place, self.scores > self.threshold)
        return _Origins(found[kinds[:, 1]], kinds[:, 0] == 1, n, called)

    @property
    def _counted(self) -> NDArray[np.bool_]:
        """Whether each origin has enough images to count in the mean rates."""
        return self._origins.n.sum(axis=0) >= self.min_images

    @cached_property
    def _rankings(self) -> dict[str, tuple[NDArray[np.intp], Ranking]]:
        """The images of each area, in order of their scores."""
        kinds = [] if self.subset is None else np.unique(self.subset).tolist()
        parts = {"roc_auc": np.arange(len(self.y_true))}
        parts |= {f"roc_auc[{kind}]": np.flatnonzero(self.subset == kind) for kind in kinds}
        return {name: (index, self._rank(index)) for name, index in parts.items()}

    @cached_property
    def _within(self) -> list[tuple[NDArray[np.intp], Ranking]]:
        """The images of each source that has enough of both classes, in order of their scores."""
        parts = (np.flatnonzero(self.source == name) for name in np.unique(self.source))
        counts = ((index, np.bincount(self.y_true[index], minlength=2)) for index in parts)
        return [(i, self._rank(i)) for i, n in counts if n.min() >= _MIN_WITHIN]

    @cached_property
    def _share_of_source(self) -> Floats:
        """Weight of each photograph, so that sources of photographs weigh the same."""
        real = self.y_true == 0
        names, source = np.unique(self.source, return_inverse=True)
        share: Floats = (
            real / np.maximum(1, np.bincount(source[real], minlength=len(names)))[source]
        )
        return share

    def _rank(self, index: NDArray[np.intp]) -> Ranking:
        return Ranking.of(self.scores[index], self.y_true[index] == 1)

    def _draw(self) -> Iterator[Floats]:
        """Draw units with replacement; yield how often each was drawn, some samples at a time."""
        random = np.random.RandomState(self.random_state)
        n_units = len(self._units)
        even = np.full(n_units, 1 / n_units)
        for part in iter_slices(self.n_resamples, max(1, _WEIGHTS_AT_A_TIME // len(self.y_true))):
            size = part.stop - part.start
            yield random.multinomial(n_units, even, size=size).astype(np.float64)

    def _measure(self, unit_weight: Floats) -> dict[str, Floats]:
        """Compute every metric for each row of weights of the units."""
        recall, false = (self._mean_rate(unit_weight, generated=g) for g in (True, False))
        weight = unit_weight[:, self._unit_of]
        found = {
            "macro_balanced_accuracy": (recall + 1 - false) / 2,
            "recall": recall,
            "false_positive_rate": false,
        }
        for name, (index, ranking) in self._rankings.items():
            found[name] = ranking.roc_auc(weight[:, index])
        found["roc_auc_within"] = self._mean_within(weight)
        _, ranking = self._rankings["roc_auc"]
        real_weight = weight * self._share_of_source
        for name, rate in RATES.items():
            found[f"recall@{name}"] = ranking.recall_at(rate, real_weight, weight)
        return found

    def _minus(self, other: SourceEvaluation, unit_weight: Floats) -> dict[str, Floats]:
        """Compute every metric minus that of other scores, for each row of weights."""
        theirs = other._measure(unit_weight)
        return {name: own - theirs[name] for name, own in self._measure(unit_weight).items()}

    def _mean_rate(self, unit_weight: Floats, *, generated: bool) -> Floats:
        """Compute the mean over origins of the proportion called generated."""
        chosen = self._counted & (self._origins.is_generated == generated)
        total = self._origins.n[:, chosen].sum(axis=0)
        # An origin in several units counts by the part of its images that was drawn.
        called, n = (
            (unit_weight @ (table[:, chosen] / total)).sum(axis=1)
            for table in (self._origins.called, self._origins.n)
        )
        return np.divide(called, n, out=np.full(len(n), np.nan), where=n > 0)

    def _mean_within(self, weight: Floats) -> Floats:
        """Compute the mean of the areas within sources of both classes."""
        total, n = np.zeros(len(weight)), np.zeros(len(weight))
        for index, ranking in self._within:
            area = ranking.roc_auc(weight[:, index])
            times = np.where(np.isnan(area), 0, weight[:, index].mean(axis=1))
            total += times * np.nan_to_num(area)
            n += times
        return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def name_origins(y: NDArray[np.int64], generator: Any, source: Any) -> NDArray[np.object_]:
    """Name the origin of each image: its generator and source, or of a photograph its source."""
    sources = as_names(source)
    return np.where(y == 1, as_names(generator) + " in " + sources, sources)
