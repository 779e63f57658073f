"""A document of text, tables, charts and pictures that is written as HTML or as Markdown.

Every piece is added once and written in both forms. The HTML page is self-contained: it has no
scripts, links only to its own sections, and a policy in its head that forbids anything else. It
follows the light or dark colours of the reader's system and fits a phone: wide tables scroll inside
their own frame.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectorkit._version import __version__
from detectorkit.images.encoding import encode_image
from detectorkit.metrics.estimates import Estimate
from detectorkit.report.histogram import histogram_svg
from detectorkit.utils.files import write_whole
from detectorkit.utils.tables import markdown_table
from detectorkit.utils.text import (
    printable_lines,
    to_html_text,
    to_markdown_code,
    to_markdown_text,
)

__all__ = ["Page", "describe_interval", "describe_value"]

ParagraphKind = Literal["plain", "lead", "warning"]


_STYLE = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, ul { max-width: 44rem; margin: .6rem 0; } ul { padding-left: 1.2rem; }
.lead { font-size: 1.1rem; }
.warning { border-left: .25rem solid #d9622b; padding: .5rem .8rem;
  background: rgba(217, 98, 43, .12); }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top;
  white-space: nowrap; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
tr + tr > * { border-top: 1px solid rgba(128, 128, 128, .3); }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 18rem; max-width: 26rem; }
th.long { white-space: normal; min-width: 7rem; }
/* The first column says what a row is about, so it stays in sight. */
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas;
  white-space: normal; overflow-wrap: anywhere; min-width: 7.5rem; max-width: 12rem; }
pre { overflow-x: auto; margin: .6rem 0; padding: .6rem .8rem; font-size: .8rem;
  background: rgba(128, 128, 128, .12); overflow-wrap: normal; }
figure { margin: 0; } figcaption { font-size: .8rem; }
nav ul { columns: 18rem; column-gap: 2rem; max-width: none; } nav li { break-inside: avoid; }
a { color: inherit; }
.images { display: flex; flex-wrap: wrap; gap: .8rem; }
.images figure { max-width: 100%; min-width: 8.5rem; }
.images img { display: block; max-width: 100%; height: auto; margin-bottom: .2rem; }
.images .small { width: 6rem; image-rendering: pixelated; }
.chart { display: inline-block; vertical-align: top; width: 25rem; max-width: 100%;
  margin: .4rem 1.5rem 1rem 0; }
svg { display: block; width: 100%; height: auto; }
.real { fill: #2a7fbf; } .generated { fill: #d9622b; }
@media (max-width: 40rem) {
  body { padding: .8rem; } table { font-size: .85rem; }
  th, td { white-space: normal; padding-right: .7rem; } .chart { margin-right: 0; }
  td.long { min-width: 13rem; } th:first-child, td:first-child { min-width: 6.4rem; }
}
footer { margin-top: 2.5rem; font-size: .8rem; }
"""


# With this policy nothing can run or be fetched, even if some text were taken for markup.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


_LONG = 30  # cells with more characters than this may wrap


_INTERVAL = re.compile(r"(?<=\d) to (?=-?\d)")


_FEW = 4  # pages with fewer sections have no table of contents


_SMALL = 64  # pictures with both sides below this many pixels are enlarged


class Page:
    r"""A document that is put together piece by piece.

    All text is plain text: it is shown as it is, and never interpreted as HTML or Markdown.

    Parameters
    ----------
    title : str
        Title of the document.

    Examples
    --------
    >>> from detectorkit.report.page import Page
    >>> page = Page("A <report>")
    >>> page.table(["name", "n"], [["x|y", 3]])
    >>> "A &lt;report&gt;" in page.to_html()
    True
    >>> print(page.to_markdown())
    # A &lt;report&gt;
    <BLANKLINE>
    | name | n |
    | --- | --- |
    | x\|y | 3 |
    <BLANKLINE>
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._pieces: list[tuple[str, str]] = []
        self._sections: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading.

        Parameters
        ----------
        text : str
            Text of the heading.
        level : int, default=2
            Level of the heading, from 2 to 6; the title of the page has level 1.
        """
        mark = ""
        if level == 2:
            self._sections.append(text)
            mark = f' id="section-{len(self._sections)}"'
        html = f"<h{level}{mark}>{to_html_text(text)}</h{level}>"
        self._add(html, f"{'#' * level} {to_markdown_text(text)}")

    def paragraph(self, text: str, kind: ParagraphKind = "plain") -> None:
        """Add a paragraph.

        Parameters
        ----------
        text : str
            Text of the paragraph.
        kind : {"plain", "lead", "warning"}, default="plain"
            Style of the paragraph: "lead" has larger text, "warning" a box.
        """
        mark = "" if kind == "plain" else f' class="{kind}"'
        quote = "> " if kind == "warning" else ""
        self._add(f"<p{mark}>{to_html_text(text)}</p>", quote + to_markdown_text(text))

    def items(self, texts: Iterable[str]) -> None:
        """Add a list.

        Parameters
        ----------
        texts : iterable of str
            Texts of the items.
        """
        texts = list(texts)
        html = "".join(f"<li>{to_html_text(text)}</li>" for text in texts)
        self._add(f"<ul>{html}</ul>", "\n".join(f"- {to_markdown_text(text)}" for text in texts))

    def code(self, text: str, language: str = "") -> None:
        """Add a block of code or other text in which lines and spaces are kept.

        Parameters
        ----------
        text : str
            Text of the block.
        language : str, default=""
            Language of the text, such as "json", for highlighting in Markdown.
        """
        html = f'<pre tabindex="0">{escape(printable_lines(text))}</pre>'
        self._add(html, to_markdown_code(text, language))

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add a table.

        Parameters
        ----------
        head : sequence of str
            Names of the columns.
        rows : iterable of sequence
            Cells of each row, which are converted by ``str``.
        """
        cells = [[str(cell) for cell in row] for row in rows]
        html = "<tr>" + "".join(_cell(name, "th") for name in head) + "</tr>"
        html += "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in cells)
        markdown = markdown_table([[to_markdown_text(cell) for cell in row] for row in cells], head)
        # A frame that scrolls must be reachable with the keyboard.
        self._add(f'<div class="scroll" tabindex="0"><table>{html}</table></div>', markdown)

    def metrics(
        self,
        metrics: Mapping[str, Estimate],
        *,
        meanings: Mapping[str, str] | None = None,
        confidence: float = 0.95,
    ) -> None:
        """Add a table of metrics.

        Parameters
        ----------
        metrics : mapping of str to Estimate
            Metrics by name, as `binary_metrics` returns them.
        meanings : mapping of str to str, default=None
            A few words about the meaning of each metric; None leaves this column out.
        confidence : float, default=0.95
            Confidence level of the intervals, between 0 and 1.
        """
        head = ["metric", "value", f"{100 * confidence:g} % interval"]
        head += [] if meanings is None else ["meaning"]
        self.table(
            head,
            [
                [name.replace("_", " "), describe_value(estimate), describe_interval(estimate)]
                + ([] if meanings is None else [meanings.get(name, "")])
                for name, estimate in metrics.items()
            ],
        )

    def score_histogram(self, scores: NDArray[Any], y_true: NDArray[Any], threshold: float) -> None:
        """Add a histogram of the scores of both classes.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Scores of the detector.
        y_true : ndarray of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        threshold : float
            Threshold of the detector, which is drawn as a line.
        """
        self.figure(
            histogram_svg(scores, y_true, threshold),
            "Scores: the proportions of the photographs and of the generated images at each score.",
        )

    def figure(self, svg: str, caption: str) -> None:
        """Add a chart.

        Parameters
        ----------
        svg : str
            The chart as an SVG element, which is not escaped and so must be trusted.
        caption : str
            Caption of the chart; Markdown has the caption only.
        """
        html = f"{svg}<figcaption>{to_html_text(caption)}</figcaption>"
        note = f"(Chart, in the HTML page only) {caption}"
        self._add(f'<figure class="chart">{html}</figure>', to_markdown_text(note))

    def images(
        self,
        title: str,
        images: Sequence[NDArray[np.uint8]] | NDArray[Any],
        captions: Sequence[str],
        *,
        file_format: Literal["JPEG", "PNG"] = "PNG",
        level: int = 3,
    ) -> None:
        """Add a row of pictures.

        Parameters
        ----------
        title : str
            Heading above the pictures.
        images : sequence of ndarray of shape (height, width) or (height, width, 3)
            Grey or RGB pictures of dtype uint8.
        captions : sequence of str
            Captions of the pictures; Markdown has the captions only.
        file_format : {"JPEG", "PNG"}, default="PNG"
            File format in which the pictures are embedded.
        level : int, default=3
            Level of the heading, from 2 to 6.
        """
        self.heading(title, level)
        html = "".join(
            f'<figure style="width: {image.shape[1]}px">{_picture(image, file_format)}'
            f"<figcaption>{to_html_text(caption)}</figcaption></figure>"
            for image, caption in zip(images, captions, strict=True)
        )
        lines = [f"- {to_markdown_text(caption)}" for caption in captions]
        self._add(f'<div class="images">{html}</div>', "\n".join(lines))

    def to_html(self) -> str:
        """Return the page as HTML.

        Returns
        -------
        html : str
            The whole document, which needs no other file.
        """
        title = to_html_text(self._title)
        pieces = [html for html, _ in self._pieces]
        first = next((n for n, html in enumerate(pieces) if html.startswith("<h2")), 0)
        pieces.insert(first, self._contents())  # below what matters most
        body = "\n".join(filter(None, pieces))
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
            f"{body}\n<footer>Made by detectorkit {escape(__version__)}.</footer></body></html>\n"
        )

    def to_markdown(self) -> str:
        """Return the page as Markdown.

        Returns
        -------
        markdown : str
            The document with its text and tables, and with captions in place of charts and
            pictures.
        """
        pieces = [markdown for _, markdown in self._pieces]
        return "\n\n".join([f"# {to_markdown_text(self._title)}", *pieces]) + "\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to an HTML file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            File to write; it is replaced if it exists.
        """
        write_whole(path, self.to_html())

    def _contents(self) -> str:
        """Return links to the sections, if there are enough to look for one."""
        links = (
            f'<li><a href="#section-{number}">{to_html_text(text)}</a></li>'
            for number, text in enumerate(self._sections, 1)
        )
        few = len(self._sections) < _FEW
        return "" if few else f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'

    def _add(self, html: str, markdown: str) -> None:
        self._pieces.append((html, markdown))


def describe_value(estimate: Estimate) -> str:
    """Format the value of an estimate for a table."""
    return "not defined" if np.isnan(estimate.value) else f"{estimate.value:.3f}"


def describe_interval(estimate: Estimate) -> str:
    """Format the interval of an estimate for a table."""
    if np.isnan(estimate.low) or np.isnan(estimate.high):
        return ""
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _cell(text: str, tag: str = "td") -> str:
    mark = ' class="long"' if len(text) > _LONG else ""
    # The two ends of an interval stay on one line.
    html = _INTERVAL.sub("\u00a0to\u00a0", to_html_text(text))
    return f"<{tag}{mark}>{html}</{tag}>"


def _picture(image: NDArray[np.uint8], file_format: Literal["JPEG", "PNG"]) -> str:
    height, width = image.shape[:2]
    data = base64.b64encode(encode_image(image, file_format)).decode("ascii")
    mark = ' class="small"' if max(height, width) < _SMALL else ""
    # The caption describes the picture, so a screen reader need not read a second text.
    return (
        f'<img alt="" width="{width}" height="{height}"{mark} '
        f'src="data:image/{file_format.lower()};base64,{data}">'
    )
