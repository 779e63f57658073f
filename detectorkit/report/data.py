"""What a report is made of, whatever form it is given in."""

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
    """The content of a report.

    Attributes
    ----------
    title : str
        Its heading.
    evaluation : Evaluation
        Scores of the images, from which all figures follow.
    record : dict or None
        What the model says of itself.
    examples : list of ExampleGroup
        Images worth a look; may be empty.
    robustness : RobustnessReport or None
        What changes to the files do to the verdicts.
    audit : Audit or None
        Whether the files alone would give the answer away.
    hashes : dict of str to str
        The sha256 of "model" and of "data", where known.
    command : str or None
        With which it was made.
    notes : tuple of str
        Further paragraphs.
    date : str
        When it was made, in UTC.
    versions : dict of str to str
        Of what it was made with.
    """

    title: str
    evaluation: Evaluation
    record: dict[str, Any] | None
    examples: list[ExampleGroup] = field(repr=False)
    robustness: RobustnessReport | None
    audit: Audit | None
    hashes: dict[str, str]
    command: str | None
    notes: tuple[str, ...]
    date: str
    versions: dict[str, str]

    @cached_property
    def headline(self) -> str:
        """What was measured and what came out, in a few sentences."""
        return headline(self.evaluation)

    @property
    def training(self) -> Mapping[str, Any] | None:
        """What the record says of the training."""
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
        """The evaluation of "self" and that of "foreign" images, where there are both."""
        return self_and_foreign(self.evaluation, self.training)

    @cached_property
    def curves(self) -> list[Curve]:
        """Charts; empty with images of one class only."""
        return draw_curves(self.evaluation)

    @property
    def has_both_classes(self) -> bool:
        """Whether there are both photographs and generated images."""
        return len(np.unique(self.evaluation.y_true)) == 2
