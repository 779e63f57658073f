"""The usual curves of an evaluation as SVG, drawn by scikit-learn's own displays.

The charts are made to stand inside a page: their lines and words take the colour of the text around
them, so that they can be read on light and on dark, and no two share an identifier.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
)

from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.utils.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAX_GENERATORS", "Curve", "check_matplotlib", "draw_curves"]

MAX_GENERATORS: Final = 12
"""So many generators get a ROC curve of their own: those with the most images."""

_LONGEST_NAME = 28
_SIZE = 4.2, 3.6  # inches: words are then of a readable size on a phone
_SCALE = 1.3  # pixels of the page for each point
_STYLE = {
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # words stay words
    "text.parse_math": False,  # a "$" in a name is a "$"
}
_BLACK = re.compile(r"(?<=: )(#000000|black)\b")


class Curve(NamedTuple):
    """A chart.

    Attributes
    ----------
    name : str
        Such as "roc".
    svg : str
        One element, for the body of an HTML page.
    caption : str
        What it shows, in a sentence or two.
    """

    name: str
    svg: str
    caption: str


def check_matplotlib() -> None:
    """Make sure that curves can be drawn.

    Raises
    ------
    ImportError
        If matplotlib is missing; it names the extra that brings it.
    """
    try:
        import matplotlib as mpl  # noqa: F401 - it is optional
    except ImportError as error:
        raise ImportError(
            "detectorkit.report: curves are drawn by matplotlib, which is not installed. "
            "Install it: pip install 'detectorkit[plot]'."
        ) from error


def draw_curves(evaluation: Evaluation) -> list[Curve]:
    """Draw the curves of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        Of images of both classes; with one class only there is nothing to draw.

    Returns
    -------
    curves : list of Curve
        "roc" (of all images, and of each generator against all photographs), "precision_recall",
        "det", "calibration" (where there are probabilities) and "confusion". The same evaluation
        gives the same text with one version of matplotlib.

    Raises
    ------
    ImportError
        If matplotlib is missing; it names the extra that brings it.

    See Also
    --------
    sklearn.metrics.RocCurveDisplay : Draws one of them.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.report.curves import draw_curves
    >>> from detectorkit.evaluation.evaluate import Evaluation
    >>> y, scores = np.array([0, 0, 1, 1]), np.array([-2.0, 1.0, 0.5, 3.0])
    >>> evaluation = Evaluation(y, scores, 0.0, None, np.array(["a", "a", "b", "b"]))
    >>> [curve.name for curve in draw_curves(evaluation)]
    ['roc', 'precision_recall', 'det', 'confusion']
    """
    if len(np.unique(evaluation.y_true)) < 2:
        return []
    check_matplotlib()
    area = evaluation.metrics["roc_auc"].value
    shown, n_generators = len(_generators(evaluation)), _n_generators(evaluation)
    thin = "The thin lines are single generators against all photographs"
    if shown < n_generators:
        thin += f" (the {shown} of {n_generators} with the most images)"
    curves = [
        Curve(
            "roc",
            _draw(_roc, evaluation, "roc", f"ROC curve, area {area:.3f}"),
            "ROC: the share of the generated images that is found, against the share of the "
            "photographs that is called generated, at every threshold." + f" {thin}." * (shown > 0),
        ),
        Curve(
            "precision_recall",
            _draw(_precision_recall, evaluation, "pr", "Precision-recall curve"),
            "Precision and recall: how many alarms are right, against the share found. It holds "
            "for as many generated images among all as there are here.",
        ),
        Curve(
            "det",
            _draw(_det, evaluation, "det", "Detection error tradeoff curve"),
            "DET: the two kinds of error against each other, on a scale that spreads out the "
            "small ones. Nearer to the lower left is better.",
        ),
        Curve(
            "confusion",
            _draw(_confusion, evaluation, "confusion", "Confusion matrix"),
            "Confusion matrix: what the images are, and what they were called at the threshold.",
        ),
    ]
    if evaluation.probabilities is not None:
        calibration = Curve(
            "calibration",
            _draw(_calibration, evaluation, "calibration", "Reliability diagram"),
            "Reliability: the share that is generated, of images of similar probability. On the "
            "dotted line probabilities mean what they say.",
        )
        curves.insert(3, calibration)
    return curves


def _n_generators(evaluation: Evaluation) -> int:
    return len(np.unique(evaluation.origin[evaluation.y_true == 1]))


def _generators(evaluation: Evaluation) -> list[Any]:
    """Give the names of those that get a curve of their own; a single one would add nothing."""
    names, counts = np.unique(evaluation.origin[evaluation.y_true == 1], return_counts=True)
    if len(names) < 2:
        return []
    chosen = np.argsort(-counts, kind="stable")[:MAX_GENERATORS]
    return names[np.sort(chosen)].tolist()


def _roc(evaluation: Evaluation, ax: Axes) -> None:
    y, scores = evaluation.y_true, evaluation.scores
    RocCurveDisplay.from_predictions(
        y, scores, name="all", ax=ax, curve_kwargs={"linewidth": 2.5}, plot_chance_level=True
    )
    for number, name in enumerate(_generators(evaluation)):
        chosen = (y == 0) | (evaluation.origin == name)
        style = {"linewidth": 1, "linestyle": "-" if number < 9 else "--"}
        RocCurveDisplay.from_predictions(
            y[chosen], scores[chosen], name=_label(name), ax=ax, curve_kwargs=style
        )
    ax.set(xlabel="photographs called generated", ylabel="generated images found")
    _legend_below(ax)


def _precision_recall(evaluation: Evaluation, ax: Axes) -> None:
    PrecisionRecallDisplay.from_predictions(
        evaluation.y_true,
        evaluation.scores,
        name="all",
        ax=ax,
        drop_intermediate=True,
        plot_chance_level=True,
    )
    ax.set(xlabel="generated images found (recall)", ylabel="alarms that are right (precision)")
    _legend_below(ax)


def _det(evaluation: Evaluation, ax: Axes) -> None:
    DetCurveDisplay.from_predictions(evaluation.y_true, evaluation.scores, name="all", ax=ax)
    ax.set(xlabel="photographs called generated", ylabel="generated images missed")
    ax.legend().remove()  # there is but one curve


def _calibration(evaluation: Evaluation, ax: Axes) -> None:
    # The bins are those of `reliability_table`.
    CalibrationDisplay.from_predictions(
        evaluation.y_true,
        evaluation.probabilities,
        n_bins=10,
        strategy="quantile",
        name="detector",
        ax=ax,
    )
    ax.set(xlabel="mean probability", ylabel="share that is generated", aspect="equal")
    _legend_below(ax)


def _confusion(evaluation: Evaluation, ax: Axes) -> None:
    ConfusionMatrixDisplay.from_predictions(
        evaluation.y_true,
        (evaluation.scores > evaluation.threshold).astype(int),
        labels=[0, 1],
        display_labels=["real", "generated"],
        cmap="Blues",
        colorbar=False,
        ax=ax,
    )
    ax.set(xlabel="what it is called", ylabel="what it is")


def _label(name: Any) -> str:
    """Give a name for the legend, which leaves out what begins with an underscore."""
    text = printable(str(name))
    text = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return "\u200b" * text.startswith("_") + text


def _legend_below(ax: Axes) -> None:
    """Move the legend out of the way of the curves."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))


def _draw(
    draw: Callable[[Evaluation, Axes], None], evaluation: Evaluation, name: str, alt: str
) -> str:
    """Draw on a figure that pyplot knows nothing of, whatever style the user has set."""
    import matplotlib.style
    from matplotlib.figure import Figure

    style: list[Any] = ["default", {**_STYLE, "svg.hashsalt": name}]
    with matplotlib.style.context(style), warnings.catch_warnings():
        # Words are drawn with the fonts of the reader, who may have those that are missing here.
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure = Figure(figsize=_SIZE)
        draw(evaluation, figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return _inline(buffer.getvalue(), name, alt)


def _inline(data: bytes, name: str, alt: str) -> str:
    """Make the element of an HTML page of the content of an SVG file."""
    root = ET.fromstring(data)  # noqa: S314 - matplotlib has just written it
    for child in list(root):
        if child.tag.endswith("metadata"):
            root.remove(child)
    for element in root.iter():
        # The style sheet would hold for the whole page; what it says is said of the root below.
        for child in [child for child in element if child.tag.endswith("style")]:
            element.remove(child)
        element.tag = element.tag.partition("}")[2]
        for key in list(element.attrib):
            value = element.attrib.pop(key)
            element.set(key.rpartition("}")[2], _own_attribute(key, value, name))
    width = _SCALE * float(root.attrib["viewBox"].split()[2])
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": alt, "fill": "currentColor"}
    style = "stroke-linejoin: round; stroke-linecap: butt"
    root.set("style", f"{style}; width: {width:.0f}px; max-width: 100%")
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _own_attribute(key: str, value: str, name: str) -> str:
    """Keep identifiers apart from those of other charts; let black follow the text."""
    if key == "id":
        return f"{name}-{value}"
    value = value.replace("url(#", f"url(#{name}-")
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return _BLACK.sub("currentColor", value) if key == "style" else value
