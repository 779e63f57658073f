"""Make a report on a detector, as an HTML page, a model card in Markdown, and JSON."""

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
    """A report on a detector, which `make_report` returns and which has three forms.

    The forms are an HTML page, a model card in Markdown, and JSON. The attributes, such as
    ``title``, ``evaluation`` and ``headline``, hold the content of all three.
    """

    def to_html(self) -> str:
        """Return the report as one self-contained HTML page.

        Returns
        -------
        html : str
            The page, which needs no other file, fetches nothing and runs no script.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message names the extra that installs it.
        """
        page = Page(self.title)
        fill_page(page, self)
        return page.to_html()

    def to_markdown(self) -> str:
        """Return the report as a model card.

        Returns
        -------
        markdown : str
            The card with the sections that model hubs expect, without charts and pictures.
        """
        page = Page(self.title)
        fill_card(page, self)
        return _CARD_HEAD + page.to_markdown()

    def to_dict(self) -> dict[str, Any]:
        """Return the report in a form that JSON can hold.

        Returns
        -------
        content : dict
            All content of the HTML page except pictures and charts, with None for nan.
        """
        return report_to_dict(self)

    def write(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the HTML page to a file, and the JSON and the Markdown to files beside it.

        Parameters
        ----------
        path : str or Path
            HTML file to write, ending in ".html". Existing files are replaced, each whole or not
            at all.

        Returns
        -------
        paths : list of Path
            Paths of the three files.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message names the extra that installs it.
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
    """Make a report on a detector from its evaluation and whatever else is known.

    Parameters
    ----------
    evaluation : Evaluation
        Evaluation of the detector, as `evaluate` returns it.
    title : str
        Title of the report.
    record : ModelRecord, default=None
        The ``record_`` of a detector. It names the generators and sources that the model was
        trained on; if it is None, the report says that this is not recorded.
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence, default=None
        The images of the evaluation, in the same order. None leaves out pictures, which is
        necessary if the images may not be published.
    names : sequence of str, default=None
        Names of the images. None takes the names of their files. If both `images` and `names` are
        None, the report has no example images.
    explainer : object, default=None
        Explainer that makes a saliency map of each image that is shown, such as
        ``OcclusionSaliency(detector)`` of `detectorkit.saliency`. None shows no maps.
    robustness : RobustnessReport, default=None
        Effect of perturbations, as `robustness_report` returns it. None leaves it out.
    audit : Audit, default=None
        Audit of the files, as `audit` returns it. None leaves it out.
    hashes : mapping of str to str, default=None
        The sha256 of the "model" file, and of the "data" as `hash_files` returns it.
    command : str, default=None
        Command with which the report was made. None leaves it out.
    notes : sequence of str, default=()
        Further paragraphs, for example about the origin of the images.
    date : datetime, default=None
        Date and time at which the report was made, with a time zone. None takes the present.

    Returns
    -------
    report : Report
        The report, which can be written as HTML, Markdown and JSON.

    Raises
    ------
    ImageReadError
        If a file that is to be shown cannot be decoded; it names the path and its index.
    ValueError
        If the number of images or names differs from that of the evaluation.

    See Also
    --------
    evaluate : Evaluates a detector.

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
                f"images. Pass the {what} that were evaluated, in the same order."
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
    """Check that a report can be written to a path."""
    page = Path(path)
    if page.suffix.lower() != ".html":
        raise ValueError(
            f"The path of a report is {str(path)!r}, but it must be one that ends in .html. Files "
            "that end in .json and .md are written beside it."
        )
    if not page.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"The folder {page.parent} does not exist, so the report {page.name} cannot be written "
            "there. Make the folder first."
        )
    others = [page.with_suffix(suffix) for suffix in (".json", ".md")]
    if not page.exists() and any(other.exists() for other in others):
        raise FileExistsError(
            f"The report {page.name} would replace {' and '.join(map(str, others))}, of which at "
            "least one exists and no report stands beside it. Choose another name for the report."
        )
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
