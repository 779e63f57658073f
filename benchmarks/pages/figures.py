"""Draw the figures of the documentation from the results.

    python -m benchmarks figures

They are the files of docs/figures that FIGURES names, with the same bytes for the same results.
Letters are text in them, not outlines, and what does not change the picture is left out.
"""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable

import matplotlib as mpl

from benchmarks.files import DOCS, write_text
from benchmarks.pages import (
    draw_accuracy,
    draw_explanations,
    draw_fingerprints,
    draw_texture,
)
from benchmarks.pages.markup import squeeze

mpl.use("svg")

FIGURES: dict[str, Callable[[], mpl.figure.Figure]] = {
    "accuracy": draw_accuracy.draw,
    "explanations": draw_explanations.draw,
    "fingerprint_detection": draw_fingerprints.draw,
    "texture": draw_texture.draw,
}
FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]  # Verdana has the same widths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options."""


def run(_: argparse.Namespace) -> None:
    """Draw all figures."""
    for name in FIGURES:
        write_text(DOCS / "figures" / f"{name}.svg", draw(name))


def draw(name: str) -> str:
    """Return a figure as SVG."""
    settings = {"svg.hashsalt": name, "svg.fonttype": "none", "font.family": FONTS[0]}
    with mpl.rc_context(settings), io.StringIO() as file:
        figure = FIGURES[name]()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return compact(file.getvalue())


def compact(svg: str) -> str:
    """Leave out comments, metadata and space, and write one part of the figure on a line."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<!DOCTYPE[^>]*>", "", svg, flags=re.DOTALL)
    svg = svg.replace(f"'{FONTS[0]}'", ", ".join(f"'{font}'" for font in FONTS))
    parts = re.compile(r'(?=<g id="(?:axes|legend|matplotlib\.axis)_)')
    return parts.sub("\n", squeeze(svg)).strip() + "\n"
