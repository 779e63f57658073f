"""Evaluate a detector on labelled images: as a whole, and by generator and source.

`evaluate` scores the images once; the `Evaluation` that it returns computes metrics from the
scores when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from detectorkit.calibration.decision import CANT_TELL, Band, verdict_codes
from detectorkit.evaluation.origins import OriginMetrics, macro_balanced_accuracy, origin_lines
from detectorkit.metrics.auc import roc_auc_estimate
from detectorkit.metrics.binary import binary_metrics
from detectorkit.metrics.estimates import Estimate, proportion
from detectorkit.metrics.probabilities import (
    precision_at_prevalence,
    probability_metrics,
    reliability_table,
)
from detectorkit.metrics.scoring import own_threshold, score_images
from detectorkit.utils.json import to_plain
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.names import as_names
from detectorkit.utils.results import ResultMixin
from detectorkit.utils.tables import text_table
from detectorkit.utils.validation import check_confidence, check_count, check_seed, check_threshold

__all__ = ["Evaluation", "evaluate"]

PREVALENCES = (0.5, 0.1, 0.01)
"""Proportions of generated images among all images for which reports state the precision."""

# What can be said where there are photographs or generated images only.
_OF_ONE_CLASS = (
    ("photographs", {"false_positive_rate", "undecided_photographs", "wrong_photographs"}),
    ("generated", {"recall", "undecided_generated", "wrong_generated"}),
)


@dataclass(frozen=True, repr=False)
class Evaluation(ResultMixin):
    """Scores of labelled images, and the metrics that follow from them.

    `to_frame` has the tables "metrics" and "origins"; `plot` draws the proportion of the images of
    each origin that is called generated.

    Attributes
    ----------
    y_true : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    scores : ndarray of shape (n_samples,)
        Scores of the images, higher for "generated".
    threshold : float
        Score above which an image is called generated.
    probabilities : ndarray of shape (n_samples,) or None
        Probabilities of "generated"; None if the detector has none.
    origin : ndarray of shape (n_samples,)
        Generator of each generated image, source of each photograph.
    confidence : float
        Confidence level of all intervals, between 0 and 1.
    n_resamples : int
        Number of bootstrap samples, for metrics whose interval needs the bootstrap.
    random_state : int
        Draws them.
    band : Band or None
        Band of scores in which the verdict is "can't tell"; None if there is none.
    """

    y_true: NDArray[np.int64]
    scores: NDArray[np.float64]
    threshold: float
    probabilities: NDArray[np.float64] | None
    origin: NDArray[Any]
    confidence: float = 0.95
    n_resamples: int = 1000
    random_state: int = 0
    band: Band | None = None

    _title = "Evaluation"
    _plotted = "origins", ("called_generated",)

    def at(self, threshold: float) -> Evaluation:
        """Return an evaluation of the same scores at another threshold.

        Parameters
        ----------
        threshold : float
            Score above which an image is called generated. It must have been chosen without these
            images.

        Returns
        -------
        evaluation : Evaluation
            A new evaluation without a band; this one is not changed.
        """
        return replace(self, threshold=float(threshold), band=None)

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """The metrics of `binary_metrics`, by name."""
        return binary_metrics(self.y_true, self.scores, threshold=self.threshold, **self._options)

    @cached_property
    def accuracy_at_one_half(self) -> Estimate:
        """Accuracy if a probability above one half is called generated; nan without any."""
        if self.probabilities is None:
            return proportion(0, 0)
        right = int(np.sum((self.probabilities > 0.5) == self.y_true))
        return proportion(right, len(self.y_true), confidence=self.confidence)

    @cached_property
    def probability_metrics(self) -> dict[str, Estimate]:
        """The metrics of `probability_metrics`, by name; empty without probabilities."""
        if self.probabilities is None:
            return {}
        return probability_metrics(self.y_true, self.probabilities, **self._options)

    @cached_property
    def reliability(self) -> list[Any]:
        """The rows of `reliability_table`; empty without probabilities."""
        if self.probabilities is None:
            return []
        return reliability_table(self.y_true, self.probabilities, confidence=self.confidence)

    @cached_property
    def origins(self) -> list[OriginMetrics]:
        """Metrics of every source of photographs, then of every generator, sorted by name."""
        names, number = np.unique(self.origin, return_inverse=True)
        return [
            self._measure_origin(names[one], label, (number == one) & (self.y_true == label))
            for label in (0, 1)
            for one in np.unique(number[self.y_true == label])
        ]

    @cached_property
    def mean_roc_auc(self) -> float:
        """Mean over the generators of the area under the ROC curve; nan without both classes."""
        areas = [row.roc_auc.value for row in self.origins if row.is_generator]
        return float(np.mean(areas)) if areas else float("nan")

    @cached_property
    def macro_balanced_accuracy(self) -> Estimate:
        """Balanced accuracy in which every source and every generator has the same weight."""
        return macro_balanced_accuracy(self.origins)

    @cached_property
    def verdicts(self) -> NDArray[np.int64]:
        """The verdicts: 0 for real, 1 for generated, -1 for "can't tell" within the band."""
        return verdict_codes(self.scores, self.threshold, self.band)

    @cached_property
    def verdict_metrics(self) -> dict[str, Estimate]:
        """Proportions of undecided images and of wrong verdicts; empty without a band."""
        if self.band is None:
            return {}
        codes, real, generated = self.verdicts, self.y_true == 0, self.y_true == 1
        decided = codes != CANT_TELL
        wrong = decided & (codes != self.y_true)
        counts = {
            "undecided_photographs": (~decided, real),
            "undecided_generated": (~decided, generated),
            "wrong_photographs": (wrong, real),
            "wrong_generated": (wrong, generated),
            "wrong_where_decided": (wrong, decided),
        }
        return {
            name: proportion(
                int(np.sum(part & whole)), int(whole.sum()), confidence=self.confidence
            )
            for name, (part, whole) in counts.items()
        }

    def precision_at(self, prevalence: float) -> Estimate:
        """Compute the precision at a given prevalence of generated images.

        Parameters
        ----------
        prevalence : float
            Proportion of generated images among all images where the detector is to be used; above
            0 and below 1.

        Returns
        -------
        precision : Estimate
            Precision with the true- and false-positive rates of these images; nan if a class is
            missing.

        See Also
        --------
        precision_at_prevalence : States the formula and its interval.
        """
        called, is_generated = self.scores > self.threshold, self.y_true == 1
        n_generated = int(is_generated.sum())
        if n_generated in {0, len(is_generated)}:
            return proportion(0, 0)
        return precision_at_prevalence(
            int(np.sum(called & is_generated)),
            n_generated,
            int(np.sum(called & ~is_generated)),
            len(is_generated) - n_generated,
            prevalence,
            confidence=self.confidence,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The metrics by name. An estimate is ``{"value": ..., "low": ..., "high": ...}``, with
            None for nan.
        """
        content = {
            "n": len(self.y_true),
            "n_real": np.sum(self.y_true == 0),
            "n_generated": np.sum(self.y_true == 1),
            "threshold": self.threshold,
            "metrics": self.metrics,
            "accuracy_at_one_half": self.accuracy_at_one_half,
            "mean_roc_auc": self.mean_roc_auc,
            "macro_balanced_accuracy": self.macro_balanced_accuracy,
            "probability_metrics": self.probability_metrics,
            "band": self.band,
            "verdict_metrics": self.verdict_metrics,
            "precision_at_prevalence": {one: self.precision_at(one) for one in PREVALENCES},
            "origins": [row.to_dict() for row in self.origins],
        }
        plain: dict[str, Any] = to_plain(content)
        return plain

    def to_text(self) -> str:
        """Format the metrics as text.

        Returns
        -------
        text : str
            A line for each metric, then a line for each source and each generator.
        """
        lines, figures = [], self._figures
        kinds = np.unique(self.y_true)
        if len(kinds) == 1:
            kind, kept = _OF_ONE_CLASS[int(kinds[0])]
            figures = {name: value for name, value in figures.items() if name in kept}
            lines.append(f"All images are {kind}, so that metrics of both classes mean nothing:")
        elif len(self.origins) == 2:  # one of each class: it is the balanced accuracy
            del figures["macro balanced accuracy"]
        rows = [(name.replace("_", " "), value) for name, value in figures.items()]
        lines += text_table(rows, indent=2)
        return "\n".join([*lines, "", *origin_lines(self.origins)])

    @property
    def _figures(self) -> dict[str, Estimate]:
        """All metrics that have an interval, in the order of the text."""
        figures = self.metrics | {
            "accuracy at 0.5": self.accuracy_at_one_half,
            "macro balanced accuracy": self.macro_balanced_accuracy,
            **self.probability_metrics,
            **self.verdict_metrics,
        }
        return figures | {
            f"precision if {prevalence:.0%} is generated": self.precision_at(prevalence)
            for prevalence in PREVALENCES
        }

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "metrics": [{"metric": name, "value": one} for name, one in self._figures.items()],
            "origins": [
                {
                    "origin": row.name,
                    "kind": "generator" if row.is_generator else "photographs",
                    "n": row.n,
                    "called_generated": row.called_generated,
                    "roc_auc": row.roc_auc,
                }
                for row in self.origins
            ],
        }

    def _measure_origin(self, name: str, label: int, mine: NDArray[np.bool_]) -> OriginMetrics:
        n, called = int(mine.sum()), int(np.sum(self.scores[mine] > self.threshold))
        area = proportion(0, 0)
        if label == 1:
            members = mine | (self.y_true == 0)
            area = roc_auc_estimate(
                self.y_true[members], self.scores[members], confidence=self.confidence
            )
        rate = proportion(called, n, confidence=self.confidence)
        return OriginMetrics(str(name), label == 1, n, rate, area)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "confidence": self.confidence,
            "n_resamples": self.n_resamples,
            "random_state": self.random_state,
        }


def evaluate(
    detector: Any,
    X: Any,
    y: Any,
    *,
    origin: Any = None,
    threshold: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> Evaluation:
    """Evaluate a fitted detector on labelled images.

    Parameters
    ----------
    detector : classifier
        A fitted detector of this library, or any fitted binary classifier that takes such X and
        has `predict_proba` or `decision_function`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects. The detector must not have been trained on them, nor its threshold
        chosen with them.
    y : array-like of shape (n_samples,)
        Labels of the images, as in `fit` of the detector. If they hold one class only, metrics
        that need both are nan.
    origin : array-like of shape (n_samples,), default=None
        Generator of each generated image, source of each photograph. None takes each class for
        one origin.
    threshold : float, default=None
        Score above which an image is called generated. None takes the threshold of the detector,
        and its band of "can't tell" if it has one.
    confidence : float, default=0.95
        Confidence level of the intervals, between 0 and 1.
    n_resamples : int, default=1000
        Number of bootstrap samples.
    random_state : int, RandomState instance or None, default=0
        Draws them.

    Returns
    -------
    evaluation : Evaluation
        The scores, and metrics with their intervals, of all images and by origin.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If lengths differ, or y has labels that the detector does not know.

    See Also
    --------
    cross_generator_report : Fits and evaluates a detector with generators and sources left out.
    binary_metrics : Computes metrics from scores alone.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import evaluate
    >>> data = make_upsampling_images(n_samples=80, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data[:40], data.target[:40])
    >>> result = evaluate(detector, data.data[40:], data.target[40:], origin=data.generator[40:])
    >>> [row.name for row in result.origins][:3]
    ['photograph', 'bilinear', 'nearest']
    """
    check_consistent_length(X, y, *([] if origin is None else [origin]))
    check_confidence("evaluate", confidence)
    check_count("evaluate", "n_resamples", n_resamples, minimum=1)
    limit = own_threshold(detector) if threshold is None else check_threshold("evaluate", threshold)
    y_true = encode_labels("evaluate", y, detector)
    scores, probabilities = score_images(detector, X)
    return Evaluation(
        y_true=y_true,
        scores=scores,
        threshold=limit,
        probabilities=probabilities,
        origin=as_names(["photographs", "generated"])[y_true]
        if origin is None
        else as_names(origin),
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=check_seed("evaluate", random_state),
        band=getattr(detector, "band_", None) if threshold is None else None,
    )
