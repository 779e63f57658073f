"""Draw docs/figures/explanations.svg from benchmarks/results/saliency.json.

python benchmarks/saliency_figure.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "saliency.json"
FIGURE = ROOT / "docs" / "figures" / "explanations.svg"

COLORS = {"real": "#1d4ed8", "generated": "#c2410c"}
SHIFT = {"real": -0.1, "generated": 0.1}
RATIO = ("value", "low", "high")


def draw(result: dict) -> plt.Figure:
    """Draw a column for each detector: sizes of the derivatives above, regions below."""
    found = {
        name: one["gradients"] for name, one in result["detectors"].items() if "gradients" in one
    }
    figure, panels = plt.subplots(
        2, len(found), figsize=(3.6 * len(found), 6), squeeze=False, layout="constrained"
    )
    for column, (name, gradients) in enumerate(found.items()):
        draw_sizes(panels[0, column], gradients)
        draw_regions(panels[1, column], gradients)
        panels[0, column].set_title(name)
    panels[0, 0].set_ylabel("share of the derivatives")
    panels[1, 0].set_ylabel("share of the gradient / share of the area")
    panels[0, 0].legend(frameon=False)
    return figure


def draw_sizes(panel: Axes, gradients: dict) -> None:
    """Draw the histogram of the absolute derivatives of each class."""
    for kind, color in COLORS.items():
        histogram = gradients[kind]["distribution"]["histogram"]
        panel.stairs(histogram, gradients["edges"], label=kind, color=color)
    panel.set(xscale="log", xlabel="|derivative of the loss by a pixel|")


def draw_regions(panel: Axes, gradients: dict) -> None:
    """Draw how much more of the gradient than of the area lies in each region."""
    regions = list(gradients["real"]["regions"])
    for kind, color in COLORS.items():
        ratios = [gradients[kind]["regions"][region]["ratio"] for region in regions]
        value, low, high = (np.array([one[key] for one in ratios]) for key in RATIO)
        places = np.arange(len(regions)) + SHIFT[kind]
        panel.errorbar(
            places, value, [value - low, high - value], fmt="o", color=color, markersize=4
        )
    panel.axhline(1, color="gray", linewidth=0.8)
    panel.set_xticks(range(len(regions)), regions, rotation=30)


def main() -> None:
    """Draw, with the same bytes for the same figures."""
    mpl.rcParams |= {"svg.hashsalt": "explanations", "svg.fonttype": "path"}
    figure = draw(json.loads(RESULT.read_text()))
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
