"""Draw a histogram of the scores of both classes as SVG, without matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_scores", "histogram_svg"]

_BINS = 30
_WIDTH, _HEIGHT = 360, 150  # size of the area with the bars, in pixels on a phone
_TOP = 16  # height of the line above for the word "threshold"


def count_scores(
    scores: NDArray[Any], y_true: NDArray[Any], threshold: float
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Count the scores of each class in bins of equal width, which include the threshold."""
    seen = np.append(scores, threshold)
    seen = seen[np.isfinite(seen)]
    low, high = float(seen.min()), float(seen.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    return edges, [np.histogram(scores[y_true == label], edges)[0] for label in (0, 1)]


def histogram_svg(scores: NDArray[Any], y_true: NDArray[Any], threshold: float) -> str:
    """Draw a histogram of the scores of both classes."""
    edges, counts = count_scores(scores, y_true, threshold)
    shares = [count / max(1, count.sum()) for count in counts]
    unit = _HEIGHT / max(share.max() for share in shares)
    step, floor = _WIDTH / _BINS, _TOP + _HEIGHT
    bars = "".join(
        f'<rect class="{name}" opacity=".6" x="{i * step:.1f}" y="{floor - share * unit:.1f}" '
        f'width="{step:.1f}" height="{share * unit:.1f}"/>'
        for name, row in zip(("real", "generated"), shares, strict=True)
        for i, share in enumerate(row)
        if share
    )
    label = f"Histogram of scores from {edges[0]:.2f} to {edges[-1]:.2f}, by class"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {floor + 36}" role="img" aria-label="{label}" '
        f'font-size="11" fill="currentColor">{bars}{_threshold(threshold, edges)}'
        f'<line x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}" stroke="currentColor"/>'
        f'<text x="0" y="{floor + 13}">{edges[0]:.2f}</text>'
        f'<text x="{_WIDTH}" y="{floor + 13}" text-anchor="end">{edges[-1]:.2f}</text>'
        + _legend(floor + 22, ("real", "photographs"), ("generated", "generated images"))
        + "</svg>"
    )


def _threshold(threshold: float, edges: NDArray[np.float64]) -> str:
    if not np.isfinite(threshold):
        return ""
    x = (threshold - edges[0]) / (edges[-1] - edges[0]) * _WIDTH
    anchor, gap = ("start", 4) if x < _WIDTH / 2 else ("end", -4)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_TOP + _HEIGHT}" stroke="currentColor" '
        f'stroke-dasharray="4 2"/><text x="{x + gap:.1f}" y="10" text-anchor="{anchor}">'
        f"threshold {threshold:.2f}</text>"
    )


def _legend(y: float, *entries: tuple[str, str]) -> str:
    return "".join(
        f'<rect class="{name}" opacity=".6" x="{110 * i}" y="{y}" width="10" height="10"/>'
        f'<text x="{110 * i + 15}" y="{y + 9}">{text}</text>'
        for i, (name, text) in enumerate(entries)
    )
