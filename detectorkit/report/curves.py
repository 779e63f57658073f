"""Draw the usual curves of an evaluation as SVG, with the displays of scikit-learn.

The charts are meant for the body of an HTML page. Their lines and text take the colour of the text
around them, so that they can be read on light and dark backgrounds, and no two charts share an
identifier.
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
from detectorkit.utils.extras import require_extra
from detectorkit.utils.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAX_GENERATORS", "Curve", "check_matplotlib", "draw_curves"]

MAX_GENERATORS: Final = 12
"""Maximum number of generators with a ROC curve of their own: those with the most images."""

_LONGEST_NAME = 28
_SIZE = 4.2, 3.6  # inches, so that text has a readable size on a phone
_SCALE = 1.3  # pixels on the page for each point of the figure
_STYLE = {
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # keep text as text, and do not turn it into paths
    "text.parse_math": False,  # a "$" in a name does not start a formula
}
_BLACK = re.compile(r"(?<=: )(#000000|black)\b")


class Curve(NamedTuple):
    """A chart of an evaluation as SVG, with its name and caption.

    Attributes
    ----------
    name : str
        Name of the chart, such as "roc".
    svg : str
        The chart as one SVG element, for the body of an HTML page.
    caption : str
        A sentence or two about what the chart shows.
    """

    name: str
    svg: str
    caption: str


def check_matplotlib() -> None:
    """Check that matplotlib is installed, which draws the curves."""
    require_extra("plot", "matplotlib", caller="detectorkit.report")


def draw_curves(evaluation: Evaluation) -> list[Curve]:
    """Draw the curves of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        Evaluation on images of both classes; with one class only, no curves are drawn.

    Returns
    -------
    curves : list of Curve
        The charts "roc" (of all images, and of each generator against all photographs),
        "precision_recall", "det", "calibration" (only if the evaluation has probabilities) and
        "confusion". The same evaluation gives the same SVG with the same version of matplotlib.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra that installs it.

    See Also
    --------
    sklearn.metrics.RocCurveDisplay : Draws a ROC curve.

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
            "ROC: the proportion of generated images found, against the proportion of photographs "
            "called generated, at every threshold." + f" {thin}." * (shown > 0),
        ),
        Curve(
            "precision_recall",
            _draw(_precision_recall, evaluation, "pr", "Precision-recall curve"),
            "Precision and recall: the proportion of alarms that are right, against the proportion "
            "of generated images that are found. The curve depends on the proportion of generated "
            "images, and holds for that of these images.",
        ),
        Curve(
            "det",
            _draw(_det, evaluation, "det", "Detection error tradeoff curve"),
            "DET: the rates of both kinds of error against each other, on a scale that spreads out "
            "small rates. Nearer to the lower left is better.",
        ),
        Curve(
            "confusion",
            _draw(_confusion, evaluation, "confusion", "Confusion matrix"),
            "Confusion matrix: the true classes of the images, and the verdicts at the threshold.",
        ),
    ]
    if evaluation.probabilities is not None:
        calibration = Curve(
            "calibration",
            _draw(_calibration, evaluation, "calibration", "Reliability diagram"),
            "Reliability: the proportion of generated images among images of similar probability. "
            "On the dotted line, probabilities are perfectly calibrated.",
        )
        curves.insert(3, calibration)
    return curves


def _n_generators(evaluation: Evaluation) -> int:
    return len(np.unique(evaluation.origin[evaluation.y_true == 1]))


def _generators(evaluation: Evaluation) -> list[Any]:
    """Return the generators with a curve of their own; a single one would add nothing."""
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
    ax.legend().remove()  # there is only one curve


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
    ax.set(xlabel="mean probability", ylabel="proportion generated", aspect="equal")
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
    ax.set(xlabel="verdict", ylabel="true class")


def _label(name: Any) -> str:
    """Shorten a name for the legend, and make matplotlib show names that begin with "_"."""
    text = printable(str(name))
    text = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return "\u200b" * text.startswith("_") + text


def _legend_below(ax: Axes) -> None:
    """Move the legend below the axes, where it covers no curve."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))


def _draw(
    draw: Callable[[Evaluation, Axes], None], evaluation: Evaluation, name: str, alt: str
) -> str:
    """Draw a chart without pyplot and in a fixed style; return its SVG element."""
    import matplotlib.style
    from matplotlib.figure import Figure

    style: list[Any] = ["default", {**_STYLE, "svg.hashsalt": name}]
    with matplotlib.style.context(style), warnings.catch_warnings():
        # The reader's fonts draw the text, so glyphs that are missing here do not matter.
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure = Figure(figsize=_SIZE)
        draw(evaluation, figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return _inline(buffer.getvalue(), name, alt)


def _inline(data: bytes, name: str, alt: str) -> str:
    """Convert the content of an SVG file to an element for an HTML page."""
    root = ET.fromstring(data)  # noqa: S314 - matplotlib has just written it
    for child in list(root):
        if child.tag.endswith("metadata"):
            root.remove(child)
    for element in root.iter():
        # A style sheet would apply to the whole page; its rules are set on the root below instead.
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
    """Make identifiers unique to the chart, and replace black by the colour of the text."""
    if key == "id":
        return f"{name}-{value}"
    value = value.replace("url(#", f"url(#{name}-")
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return _BLACK.sub("currentColor", value) if key == "style" else value
