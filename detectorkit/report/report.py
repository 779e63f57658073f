"""A report on a detector: an HTML page to read, a model card in Markdown, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectorkit._version import __version__
from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.images.sequence import check_images
from detectorkit.report.card import fill_card
from detectorkit.report.content import report_to_dict
from detectorkit.report.data import ReportData
from detectorkit.report.examples import choose_examples
from detectorkit.report.page import Page
from detectorkit.report.sections import fill_page
from detectorkit.utils.files import write_whole
from detectorkit.utils.json import dumps

if TYPE_CHECKING:
    from detectorkit.datasets.audit.audit import Audit
    from detectorkit.evaluation.robustness.report import RobustnessReport
    from detectorkit.graph.record import ModelRecord

__all__ = ["Report", "check_report_path", "make_report"]

_CARD_HEAD: Final = """---
library_name: detectorkit
pipeline_tag: image-classification
tags:
- ai-generated-image-detection
- image-forensics
---

"""


class Report(ReportData):
    """A report, in three forms; `make_report` makes it.

    Its attributes are those of `ReportData`.
    """

    def to_html(self) -> str:
        """Give the report as one self-contained HTML page.

        Returns
        -------
        html : str
            It needs no other file, fetches nothing and runs no script.

        Raises
        ------
        ImportError
            If matplotlib is missing; it names the extra that brings it.
        """
        page = Page(self.title)
        fill_page(page, self)
        return page.to_html()

    def to_markdown(self) -> str:
        """Give the report as a model card.

        Returns
        -------
        markdown : str
            With the sections that model hubs expect; without charts and pictures.
        """
        page = Page(self.title)
        fill_card(page, self)
        return _CARD_HEAD + page.to_markdown()

    def to_dict(self) -> dict[str, Any]:
        """Give the report in a form that JSON can hold.

        Returns
        -------
        content : dict
            All that is on the page, but for pictures and charts. None stands for nan.
        """
        return report_to_dict(self)

    def write(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the HTML page, and the JSON and the Markdown beside it.

        Parameters
        ----------
        path : str or Path
            The HTML file, ending in ".html". Files that exist are replaced, each whole or not at
            all.

        Returns
        -------
        paths : list of Path
            Those of the three files.

        Raises
        ------
        ImportError
            If matplotlib is missing; it names the extra that brings it.
        ValueError
            If the path does not end in ".html".
        """
        page = check_report_path(path)
        texts = {
            page: self.to_html(),
            page.with_suffix(".json"): dumps(self.to_dict(), indent=1) + "\n",
            page.with_suffix(".md"): self.to_markdown(),
        }
        for target, text in texts.items():
            write_whole(target, text)
        return list(texts)


def make_report(
    evaluation: Evaluation,
    *,
    title: str,
    record: ModelRecord | None = None,
    images: Any = None,
    names: Sequence[str] | None = None,
    explainer: Any = None,
    robustness: RobustnessReport | None = None,
    audit: Audit | None = None,
    hashes: Mapping[str, str] | None = None,
    command: str | None = None,
    notes: Sequence[str] = (),
    date: datetime | None = None,
) -> Report:
    """Put together all that is known of how a detector does.

    Parameters
    ----------
    evaluation : Evaluation
        What `evaluate` gave.
    title : str
        The heading.
    record : ModelRecord, default=None
        The ``record_`` of a saved detector. It says which generators and sources the model was
        trained on; without, the report says that this is not recorded.
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence, default=None
        The images of the evaluation in the same order. None leaves pictures out, as it must be
        where images may not be published.
    names : sequence of str, default=None
        What to call the images. None takes the names of their files; with neither, single images
        are not mentioned.
    explainer : object, default=None
        What makes a map of each image that is shown, such as
        ``OcclusionSaliency(detector)`` of `detectorkit.saliency`. None shows no maps.
    robustness : RobustnessReport, default=None
        What `robustness_report` gave.
    audit : Audit, default=None
        What `audit` gave.
    hashes : mapping of str to str, default=None
        The sha256 of the "model" file, and of the "data" as `hash_files` gives it.
    command : str, default=None
        The command with which the report was made.
    notes : sequence of str, default=()
        Further paragraphs, such as where the images come from.
    date : datetime, default=None
        When it was made, with a time zone. None takes the present.

    Returns
    -------
    report : Report
        In HTML, Markdown and JSON.

    Raises
    ------
    ImageReadError
        If a file that is to be shown cannot be decoded; it names the path and its index.
    ValueError
        If there are not as many images or names as in the evaluation.

    See Also
    --------
    evaluate : Measures a detector.

    Examples
    --------
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.evaluation.evaluate import evaluate
    >>> from detectorkit.report import make_report
    >>> data = make_upsampling_images(n_samples=80, random_state=0)
    >>> detector = HoGSVMDetector(random_state=0).fit(data.data[:40], data.target[:40])
    >>> result = evaluate(detector, data.data[40:], data.target[40:], origin=data.generator[40:])
    >>> report = make_report(result, title="Decoder reconstructions", images=data.data[40:])
    >>> report.headline[:61]
    '20 photographs from 1 source and 20 generated images from 5 g'
    """
    shown = None if images is None else check_images(images, caller="make_report")
    n = len(evaluation.y_true)
    for what, given in (("images", shown), ("names", names)):
        if given is not None and len(given) != n:
            raise ValueError(
                f"make_report: {what} has {len(given)} entries, but the evaluation is of {n} "
                "images. Pass those that were scored, in the same order."
            )
    moment = datetime.now(UTC) if date is None else date.astimezone(UTC)
    return Report(
        title=title,
        evaluation=evaluation,
        record=None if record is None else json.loads(record.to_json()),
        examples=choose_examples(evaluation, shown, names, explainer),
        robustness=robustness,
        audit=audit,
        hashes=dict(hashes or {}),
        command=command,
        notes=tuple(notes),
        date=moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        versions=_versions(),
    )


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Make sure that a report can be written to a place.

    Parameters
    ----------
    path : str or Path
        The HTML file.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    ValueError
        If it does not end in ".html".
    """
    page = Path(path)
    if page.suffix.lower() != ".html":
        raise ValueError(
            f"a report is written to a file that ends in .html, and beside it to .json and .md; "
            f"got {str(path)!r}."
        )
    if not page.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {page.parent} to write {page.name} to.")
    return page


def _versions() -> dict[str, str]:
    import cv2
    import onnxruntime
    import sklearn

    return {
        "detectorkit": __version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "OpenCV": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
