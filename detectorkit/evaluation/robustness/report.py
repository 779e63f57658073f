"""Measure the effect of re-encoding, resizing and other changes on the verdicts of a detector.

`robustness_report` scores the images before and after every perturbation; the `RobustnessReport`
that it returns computes metrics from the scores when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.utils.validation import check_consistent_length

from detectorkit.evaluation.robustness.perturbations import PERTURBATIONS, Perturbation
from detectorkit.evaluation.robustness.scores import CLEAN, perturbed_scores
from detectorkit.images.sequence import check_images
from detectorkit.metrics.auc import area_of
from detectorkit.metrics.estimates import Estimate, proportion, weighted_sum
from detectorkit.metrics.scoring import own_threshold
from detectorkit.utils.json import to_plain
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.results import ResultMixin
from detectorkit.utils.tables import text_table
from detectorkit.utils.validation import check_confidence

__all__ = ["ClassMetrics", "PerturbationMetrics", "RobustnessReport", "robustness_report"]

_HEADINGS = (
    "perturbation",
    "shift of real",
    "of generated",
    "false positives",
    "found",
    "balanced accuracy",
    "ROC AUC",
    "flips of real",
    "of generated",
)
_NAMED = 3  # maximum number of perturbations that the summary names for each class


class ClassMetrics(NamedTuple):
    """Effect of a perturbation on the scores and verdicts of one class.

    Attributes
    ----------
    n : int
        Number of images of the class.
    shift : Estimate
        Mean change of the score, with Student's interval; above 0, the images look more generated
        than before.
    relative_shift : Estimate
        Mean change of the score in units of the standard deviation of all clean scores, so that
        detectors can be compared.
    called_generated : Estimate
        Proportion of the images that are called generated: the false-positive rate of photographs,
        the true-positive rate of generated images.
    flips : Estimate
        Proportion of the images whose verdict differs from that of the clean image.
    """

    n: int
    shift: Estimate
    relative_shift: Estimate
    called_generated: Estimate
    flips: Estimate


class PerturbationMetrics(NamedTuple):
    """Metrics of a detector on images after a perturbation.

    Attributes
    ----------
    name : str
        Name of the perturbation, or "clean" for the unchanged images.
    real, generated : ClassMetrics
        Effect on photographs and on generated images.
    balanced_accuracy, roc_auc : Estimate
        Balanced accuracy and area under the ROC curve, as in `binary_metrics`.
    """

    name: str
    real: ClassMetrics
    generated: ClassMetrics
    balanced_accuracy: Estimate
    roc_auc: Estimate

    @property
    def n(self) -> int:
        """Number of images of both classes."""
        return self.real.n + self.generated.n

    @property
    def false_positive_rate(self) -> Estimate:
        """Proportion of the photographs that are called generated."""
        return self.real.called_generated

    @property
    def true_positive_rate(self) -> Estimate:
        """Proportion of the generated images that are called generated."""
        return self.generated.called_generated

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The name, the number of images and all estimates by name; estimates of a class end in
            "_real" or "_generated".
        """
        content: dict[str, Any] = {"name": self.name, "n": self.n}
        for kind, figures in (("real", self.real), ("generated", self.generated)):
            content[f"shift_{kind}"] = figures.shift.to_dict()
            content[f"relative_shift_{kind}"] = figures.relative_shift.to_dict()
            content[f"flips_{kind}"] = figures.flips.to_dict()
        for name in ("false_positive_rate", "true_positive_rate", "balanced_accuracy", "roc_auc"):
            content[name] = getattr(self, name).to_dict()
        return content


@dataclass(frozen=True, repr=False)
class RobustnessReport(ResultMixin):
    """Scores of labelled images before and after perturbations, and the metrics from them.

    `plot` draws the false-positive rate and the true-positive rate after each perturbation.

    Attributes
    ----------
    names : tuple of str
        Names of the rows: "clean", then those of the perturbations.
    y_true : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    scores : ndarray of shape (1 + n_perturbations, n_samples)
        Scores of the images, higher for "generated"; the first row is that of the clean images.
    threshold : float
        Score above which an image is called generated.
    confidence : float
        Confidence level of all intervals, between 0 and 1.
    """

    names: tuple[str, ...]
    y_true: NDArray[np.int64]
    scores: NDArray[np.float64]
    threshold: float
    confidence: float = 0.95

    _title = "Effect of perturbations"
    _plotted = "perturbations", ("false_positive_rate", "true_positive_rate")

    @property
    def spread(self) -> float:
        """Standard deviation of all clean scores, which is the unit of relative shifts."""
        return float(np.std(self.scores[0]))

    @cached_property
    def rows(self) -> tuple[PerturbationMetrics, ...]:
        """The metrics of the clean images and of each perturbation."""
        return tuple(map(self._measure, self.names, self.scores))

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The metrics of each row under "rows", with None for nan, and counts and settings. The
            scores are not included.
        """
        content = {
            "n": len(self.y_true),
            "n_real": int(np.sum(self.y_true == 0)),
            "n_generated": int(np.sum(self.y_true == 1)),
            "threshold": self.threshold,
            "confidence": self.confidence,
            "spread": self.spread,
            "rows": [row.to_dict() for row in self.rows],
        }
        plain: dict[str, Any] = to_plain(content)
        return plain

    def to_text(self) -> str:
        """Format the metrics as a table.

        Returns
        -------
        text : str
            A line for each perturbation. The last line names those that do most harm.
        """
        n_generated = int(np.sum(self.y_true))
        about = (
            f"{len(self.y_true) - n_generated} photographs, {n_generated} generated images. "
            "Shifts are in standard deviations of the clean scores; above 0 is towards "
            f"'generated'. Intervals of {self.confidence:.0%}."
        )
        lines = text_table(map(_to_cells, self.rows), _HEADINGS, align="<>")
        return "\n".join([about, "", *lines, "", self.summary])

    @property
    def summary(self) -> str:
        """Sentences about the perturbations that do most harm to the verdicts on each class."""
        sentences = [
            self._list_worst("Photographs called generated", "false_positive_rate", 1),
            self._list_worst("Generated images found", "true_positive_rate", -1),
        ]
        return " ".join(filter(None, sentences)) or (
            "No perturbation raises the proportion of photographs that are called generated, or "
            "lowers that of generated images that are found, by more than chance."
        )

    def _list_worst(self, what: str, name: str, sign: int) -> str:
        """Name the perturbations after which a rate is worst; return nothing if none is worse."""
        clean, *rates = (getattr(row, name) for row in self.rows)
        worse = [
            (-sign * rate.value, f"{100 * rate.value:.0f} % after {after}")
            for rate, after in zip(rates, self.names[1:], strict=True)
            if weighted_sum([rate, clean], [sign, -sign]).low > 0
        ]
        if not worse:
            return ""
        *most, last = (text for _, text in sorted(worse)[:_NAMED])
        listed = f"{', '.join(most)} and {last}" if most else last
        return f"{what}: {100 * clean.value:.0f} % if unchanged, but {listed}."

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        names = ("false_positive_rate", "true_positive_rate", "balanced_accuracy", "roc_auc")
        return {
            "perturbations": [
                {"perturbation": row.name, "n": row.n}
                | {name: getattr(row, name) for name in names}
                | {
                    f"{what}_{kind}": getattr(getattr(row, kind), what)
                    for kind in ("real", "generated")
                    for what in ("relative_shift", "flips")
                }
                for row in self.rows
            ]
        }

    def _measure(self, name: str, scores: NDArray[np.float64]) -> PerturbationMetrics:
        real, generated = (
            self._measure_class(scores[self.y_true == label], self.scores[0, self.y_true == label])
            for label in (0, 1)
        )
        rates = [generated.called_generated, real.called_generated]
        return PerturbationMetrics(
            name,
            real,
            generated,
            weighted_sum(rates, [0.5, -0.5], constant=0.5),
            area_of(self.y_true == 1, scores, self.confidence),
        )

    def _measure_class(
        self, scores: NDArray[np.float64], clean: NDArray[np.float64]
    ) -> ClassMetrics:
        called, n = scores > self.threshold, len(scores)
        flipped = called != (clean > self.threshold)
        shift, unit = _mean(scores - clean, self.confidence), self.spread or float("nan")
        return ClassMetrics(
            n=n,
            shift=shift,
            relative_shift=Estimate(*(value / unit for value in shift)),
            called_generated=proportion(int(called.sum()), n, confidence=self.confidence),
            flips=proportion(int(flipped.sum()), n, confidence=self.confidence),
        )


def _mean(values: NDArray[np.float64], confidence: float) -> Estimate:
    n = len(values)
    if n < 2:
        return Estimate(float(values[0]) if n else float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    half = float(student_t.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half)


def _to_cells(row: PerturbationMetrics) -> tuple[str, ...]:
    classes = (row.real, row.generated)
    shifts = [kind.relative_shift for kind in classes]
    rates = [kind.called_generated for kind in classes] + [row.balanced_accuracy, row.roc_auc]
    return (
        row.name,
        *(f"{shift.value:+.2f} ±{shift.high - shift.value:.2f}" for shift in shifts),
        *(f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]" for rate in rates),
        *(f"{kind.flips.value:.2f}" for kind in classes),
    )


def robustness_report(
    detector: Any,
    X: Any,
    y: Any,
    *,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    threshold: float | None = None,
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> RobustnessReport:
    """Measure how perturbations shift the scores of both classes and change the verdicts.

    Every perturbation is applied to photographs and generated images alike. This exposes a detector
    that has learned how files were made and not how images were: its verdicts change with the file.

    Parameters
    ----------
    detector : classifier
        A fitted detector of this library, or any fitted binary classifier that takes a list of
        images (uint8 arrays of shape (height, width, 3) in RGB) and has `predict_proba` or
        `decision_function`.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    y : array-like of shape (n_samples,)
        Labels of the images, as in `fit` of the detector. If they hold one class only, metrics
        that need the other are nan.
    perturbations : sequence of Perturbation, default=PERTURBATIONS
        The perturbations to apply, each with a different name.
    threshold : float, default=None
        Score above which an image is called generated. It must have been chosen without these
        images. None takes the threshold of the detector.
    confidence : float, default=0.95
        Confidence level of the intervals, between 0 and 1.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context; -1 means all
        processors. The `n_jobs` of the detector is ignored.
    random_state : int, RandomState instance or None, default=0
        Seeds what perturbations draw, for each image and perturbation on its own.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    report : RobustnessReport
        The scores, and the metrics by perturbation. The first row is that of the clean images.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If y has labels that the detector does not know or a length other than that of X,
        perturbations is empty or has two of the same name, or the detector does not return one
        finite score for each image.

    See Also
    --------
    perturbed_scores : Returns the scores alone.
    consistency_check : Abstains from a verdict where re-encoding would change it.

    Notes
    -----
    A shift is the mean over images of the score after the perturbation minus the score before. Its
    interval is Student's for these paired differences. All other intervals are those of
    `binary_metrics`. The intervals are not corrected for trying many perturbations.

    Many published comparisons compress one class only, or report the accuracy alone. The accuracy
    may stay the same while both classes shift in the same direction; the signed shifts show that.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import robustness_report
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data[:30], data.target[:30])
    >>> report = robustness_report(detector, data.data[30:], data.target[30:])
    >>> report.rows[0].name, len(report.rows), report.scores.shape
    ('clean', 15, (15, 10))
    """
    check_confidence("robustness_report", confidence)
    images = check_images(X, caller="robustness_report")
    check_consistent_length(images, y)
    y_true = encode_labels("robustness_report", y, detector)
    threshold = own_threshold(detector) if threshold is None else float(threshold)
    scores = perturbed_scores(
        detector,
        images,
        perturbations,
        n_jobs=n_jobs,
        random_state=random_state,
        verbose=verbose,
    )
    names = (CLEAN, *(perturbation.name for perturbation in perturbations))
    return RobustnessReport(names, y_true, scores, threshold, confidence)
