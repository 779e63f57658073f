"""A self-contained HTML page of figures and pictures, without any dependency."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit._version import __version__
from detectorkit.encoding import encode_image
from detectorkit.evaluation.metrics import Estimate

__all__ = ["Page"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td + td { font-variant-numeric: tabular-nums; }
.images { display: flex; flex-wrap: wrap; gap: .7rem; } figure { margin: 0; width: 8rem; }
figure img { width: 100%; image-rendering: pixelated; } figcaption { font-size: .75rem; }
svg { width: 100%; max-width: 34rem; } pre { overflow-x: auto; font-size: .8rem; }
.real { fill: #2a7fbf; } .generated { fill: #d9622b; } rect { opacity: .6; }
svg text { fill: currentColor; font-size: 11px; }
"""

_BINS = 30
_CHART = 480, 140  # width and height of a histogram


class Page:
    """An HTML page that is put together piece by piece.

    Parameters
    ----------
    title : str
        Its heading.

    Examples
    --------
    >>> from detectorkit.evaluation.page import Page
    >>> page = Page("A <report>")
    >>> page.paragraph("All is well.")
    >>> "A &lt;report&gt;" in page.to_html()
    True
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._pieces: list[str] = []

    def heading(self, text: str) -> None:
        """Add a heading.

        Parameters
        ----------
        text : str
            Plain text.
        """
        self._pieces.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Add a paragraph.

        Parameters
        ----------
        text : str
            Plain text.
        """
        self._pieces.append(f"<p>{escape(text)}</p>")

    def code(self, text: str) -> None:
        """Add a block of code.

        Parameters
        ----------
        text : str
            Plain text.
        """
        self._pieces.append(f"<pre>{escape(text)}</pre>")

    def metrics(self, metrics: Mapping[str, Estimate]) -> None:
        """Add a table of metrics.

        Parameters
        ----------
        metrics : mapping of str to Estimate
            As `binary_metrics` gives them.
        """
        rows = "".join(
            f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{estimate.value:.3f}</td>"
            f"<td>{estimate.low:.3f} to {estimate.high:.3f}</td></tr>"
            for name, estimate in metrics.items()
        )
        head = "<tr><th>metric</th><th>value</th><th>95 % interval</th></tr>"
        self._pieces.append(f"<table>{head}{rows}</table>")

    def score_histogram(self, scores: NDArray[Any], y_true: NDArray[Any], threshold: float) -> None:
        """Add a chart of how the scores of both classes are spread.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Scores of the detector.
        y_true : ndarray of shape (n_samples,)
            0 for real, 1 for generated.
        threshold : float
            Drawn as a line.
        """
        edges = np.linspace(scores.min(), scores.max() + 1e-9, _BINS + 1)
        counts = [np.histogram(scores[y_true == label], edges)[0] for label in (0, 1)]
        width, height = _CHART
        step, unit = width / _BINS, height / max(1, *(count.max() for count in counts))
        bars = "".join(
            f'<rect class="{name}" x="{i * step:.1f}" y="{height - n * unit:.1f}" '
            f'width="{step:.1f}" height="{n * unit:.1f}"/>'
            for name, count in zip(("real", "generated"), counts, strict=True)
            for i, n in enumerate(count)
        )
        at = (threshold - edges[0]) / (edges[-1] - edges[0]) * width
        self._pieces.append(
            f'<svg viewBox="0 0 {width} {height + 34}" role="img">{bars}'
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height}" stroke="currentColor"/>'
            f'<text x="0" y="{height + 14}">{edges[0]:.1f}</text>'
            f'<text x="{width}" y="{height + 14}" text-anchor="end">{edges[-1]:.1f}</text>'
            f'<text x="{at:.1f}" y="{height + 14}" text-anchor="middle">threshold</text>'
            f'<text x="0" y="{height + 30}">score of real (blue) and generated (orange) '
            "images</text></svg>"
        )

    def images(
        self, title: str, images: Sequence[NDArray[np.uint8]] | NDArray[Any], captions: list[str]
    ) -> None:
        """Add a row of pictures.

        Parameters
        ----------
        title : str
            Printed above.
        images : sequence of ndarray of shape (height, width, 3)
            RGB, uint8; embedded as PNG.
        captions : list of str
            One below each.
        """
        figures = "".join(
            f'<figure><img alt="" src="data:image/png;base64,{_png(image)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for image, caption in zip(images, captions, strict=True)
        )
        self._pieces.append(f"<h3>{escape(title)}</h3><div class='images'>{figures}</div>")

    def to_html(self) -> str:
        """Give the page.

        Returns
        -------
        html : str
            The whole document.
        """
        title = escape(self._title)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
            + "\n".join(self._pieces)
            + f"<p><small>detectorkit {escape(__version__)}</small></p></body></html>"
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file.

        Parameters
        ----------
        path : str or Path
            The file; replaced if it exists.
        """
        Path(path).write_text(self.to_html(), encoding="utf-8")


def _png(image: NDArray[np.uint8]) -> str:
    return base64.b64encode(encode_image(image, "PNG")).decode("ascii")
