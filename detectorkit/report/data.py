"""The content of a report, from which all its forms are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from detectorkit.datasets.audit.audit import Audit
from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.evaluation.robustness.report import RobustnessReport
from detectorkit.report.curves import Curve, draw_curves
from detectorkit.report.examples import ExampleGroup
from detectorkit.report.familiarity import self_and_foreign, training_status
from detectorkit.report.words import headline

__all__ = ["ReportData"]


@dataclass(frozen=True)
class ReportData:
    """The content of a report, from which all its forms are made.

    Attributes
    ----------
    title : str
        Title of the report.
    evaluation : Evaluation
        Scores of the images, from which all metrics follow.
    record : dict or None
        Record of the model, or None if it has none.
    examples : list of ExampleGroup
        Example images to show or mention; may be empty.
    robustness : RobustnessReport or None
        Effect of perturbations on the verdicts, if measured.
    audit : Audit or None
        Audit of the image files, if made.
    hashes : dict of str to str
        The sha256 of "model" and of "data", if known.
    command : str or None
        Command with which the report was made, if known.
    notes : tuple of str
        Further paragraphs of the report.
    date : str
        Date and time at which the report was made, in UTC.
    versions : dict of str to str
        Versions of Python and of the packages used, by name.
    """

    title: str
    evaluation: Evaluation = field(repr=False)
    record: dict[str, Any] | None = field(repr=False)
    examples: list[ExampleGroup] = field(repr=False)
    robustness: RobustnessReport | None = field(repr=False)
    audit: Audit | None = field(repr=False)
    hashes: dict[str, str]
    command: str | None
    notes: tuple[str, ...]
    date: str
    versions: dict[str, str]

    @cached_property
    def headline(self) -> str:
        """The most important metrics, and the changes of the files that do most harm."""
        text = headline(self.evaluation)
        return text if self.robustness is None else f"{text} {self.robustness.summary}"

    @property
    def training(self) -> Mapping[str, Any] | None:
        """The summary of the training in the record of the model; None without a record."""
        return None if self.record is None else self.record["training"]

    @cached_property
    def status(self) -> dict[tuple[int, str], str]:
        """Whether the model was trained on an origin, by its class and name."""
        return {
            (int(row.is_generator), row.name): training_status(
                self.training, row.name, int(row.is_generator)
            )
            for row in self.evaluation.origins
        }

    @cached_property
    def parts(self) -> dict[str, Evaluation]:
        """The evaluations of "self" and "foreign" images; empty unless there are both."""
        return self_and_foreign(self.evaluation, self.training)

    @cached_property
    def curves(self) -> list[Curve]:
        """The charts of the evaluation; empty if the images are of one class only."""
        return draw_curves(self.evaluation)

    @property
    def has_both_classes(self) -> bool:
        """Whether there are both photographs and generated images."""
        return len(np.unique(self.evaluation.y_true)) == 2
