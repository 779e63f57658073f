"""Compare a detector on known origins with the same detector on unknown ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from detectorkit.evaluation.protocols import leave_one_generator_out_trials
from detectorkit.evaluation.trials import TrialResult, run_trial, summarize_trials
from detectorkit.utils.progress import progress_bar
from detectorkit.utils.results import ResultMixin
from detectorkit.utils.tables import text_table

__all__ = ["CrossGeneratorReport", "cross_generator_report"]


_METRICS = ("roc_auc", "recall", "false_positive_rate")
_HEADINGS = ("left out", "self: area", "found", "alarms", "foreign: area", "found", "alarms", "")


@dataclass(frozen=True, repr=False)
class CrossGeneratorReport(ResultMixin):
    """Metrics on known and on unknown origins, with each generator left out in turn.

    "self" are the known origins, which the detector was trained on; "foreign" are the unknown ones.
    `plot` draws the areas under the ROC curve on both.

    Attributes
    ----------
    trials : list of TrialResult
        One result for each generator that was left out, with the detector fitted without it.
    """

    trials: list[TrialResult]

    _title = "Each generator left out in turn"
    _plotted = "trials", ("self_roc_auc", "foreign_roc_auc")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Means over all origins, for "self" and "foreign", as `summarize_trials` returns them."""
        return summarize_trials(trial.to_dict() for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The summary under "summary", and the metrics of each trial, by its name, under "trials".
        """
        return {
            "summary": self.summary,
            "trials": {result.trial.name: result.to_dict() for result in self.trials},
        }

    def to_text(self) -> str:
        """Format the metrics as a table with a line for each trial.

        Returns
        -------
        text : str
            A table with the area under the ROC curve, the true-positive rate and the
            false-positive rate at the threshold of the detector.
        """
        lines = text_table(map(_to_cells, self.trials), _HEADINGS)
        known, unknown = (
            self.summary[part]["default"]["macro_balanced_accuracy"] for part in ("self", "foreign")
        )
        lines += [
            "",
            "found: proportion of generated images called generated; alarms: of photographs.",
            "Macro balanced accuracy, every generator and source counting the same:",
            f"  of known origins   {known['value']:.3f}",
            f"  of unknown origins {unknown['value']:.3f}",
        ]
        return "\n".join(lines)

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        return {"trials": [_to_row(result) for result in self.trials]}


def _to_row(result: TrialResult) -> dict[str, Any]:
    row: dict[str, Any] = {"left_out": result.trial.name}
    for part in ("self", "foreign"):
        metrics = result.test[part].metrics
        row |= {f"{part}_{name}": metrics[name] for name in _METRICS}
    return row


def _to_cells(result: TrialResult) -> list[str]:
    cells = [result.trial.name]
    for part in ("self", "foreign"):
        metrics = result.test[part].metrics
        rates = (metrics["recall"], metrics["false_positive_rate"])
        cells += [str(metrics["roc_auc"]), *(f"{rate.value:.3f}" for rate in rates)]
    is_inverted = result.test["foreign"].metrics["roc_auc"].value < 0.5
    return [*cells, "inverted" if is_inverted else ""]


def cross_generator_report(
    detector: Any,
    X: Any,
    y: Any,
    origin: Any,
    *,
    picture: Any = None,
    min_group_size: int = 1,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> CrossGeneratorReport:
    """Fit a detector without each generator in turn; evaluate it on known and unknown origins.

    A source of photographs is left out together with each generator, so that both classes of the
    foreign test are new. Of the other images, 80 % are for training, 10 % for thresholds, and
    10 % for the test on known origins.

    Parameters
    ----------
    detector : classifier
        The detector to evaluate; a clone of it is fitted for each generator.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, source of each photograph, such as the attribute
        ``origin`` of what `load_images` returns.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on; "" counts as a picture of its own, as does None for all images. Pass
        `near_duplicate_groups` if the same photograph may come from several sources.
    min_group_size : int, default=1
        Minimum number of images of a generator that is left out; generators with fewer images are
        always trained on.
    n_resamples : int, default=1000
        Number of bootstrap samples for the intervals.
    random_state : int, RandomState instance or None, default=0
        Shuffles the parts of known origins.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    report : CrossGeneratorReport
        The results; its method ``to_text`` returns a table, its attribute ``summary`` the means.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path.
    ValueError
        If there are fewer than two generators or two sources.

    See Also
    --------
    evaluate : Evaluates a detector that is fitted already.
    LeaveOneGeneratorOut : The same splits for the tools of scikit-learn.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation import cross_generator_report
    >>> data = make_upsampling_images(n_samples=120, random_state=0)
    >>> origin = [g if t else s for g, t, s in zip(data.generator, data.target, data.source)]
    >>> report = cross_generator_report(
    ...     HoGSVMDetector(random_state=0), data.data, data.target, origin, n_resamples=50
    ... )
    >>> sorted(report.summary)
    ['foreign', 'self']
    """
    trials = leave_one_generator_out_trials(
        y, origin, picture=picture, min_group_size=min_group_size, random_state=random_state
    )
    results = []
    with progress_bar("Leaving out generators", len(trials), show=verbose) as advance:
        for trial in trials:
            results.append(
                run_trial(detector, X, y, origin, trial, picture=picture, n_resamples=n_resamples)
            )
            advance(1)
    return CrossGeneratorReport(results)
