"""The figure of docs/explanations.md: sizes of the derivatives, and where the gradient lies."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.files import RESULTS, read_json

COLORS = {"real": "#1d4ed8", "generated": "#c2410c"}
SHIFT = {"real": -0.1, "generated": 0.1}


def draw() -> Figure:
    """Draw a column for each detector: sizes of the derivatives above, regions below."""
    detectors = read_json(RESULTS / "saliency.json")["detectors"]
    found = {name: one["gradients"] for name, one in detectors.items() if "gradients" in one}
    figure, panels = plt.subplots(
        2, len(found), figsize=(3.6 * len(found), 6), squeeze=False, layout="constrained"
    )
    for column, (name, gradients) in enumerate(found.items()):
        draw_sizes(panels[0, column], gradients)
        draw_regions(panels[1, column], gradients)
        panels[0, column].set_title(name)
    panels[0, 0].set_ylabel("proportion of the derivatives")
    panels[1, 0].set_ylabel("proportion of the gradient / proportion of the area")
    panels[0, 0].legend(frameon=False)
    return figure


def draw_sizes(panel: Axes, gradients: dict[str, Any]) -> None:
    """Draw the histogram of the absolute derivatives of each class."""
    for kind, color in COLORS.items():
        panel.stairs(gradients[kind]["histogram"], gradients["edges"], label=kind, color=color)
    panel.set(xscale="log", xlabel="|derivative of the loss by a pixel|")


def draw_regions(panel: Axes, gradients: dict[str, Any]) -> None:
    """Draw how much more of the gradient than of the area lies in each region."""
    regions = list(gradients["real"]["regions"])
    for kind, color in COLORS.items():
        ratios = [gradients[kind]["regions"][region] for region in regions]
        value, low, high = np.array(ratios).T
        places = np.arange(len(regions)) + SHIFT[kind]
        panel.errorbar(
            places, value, [value - low, high - value], fmt="o", color=color, markersize=4
        )
    panel.axhline(1, color="gray", linewidth=0.8)
    panel.set_xticks(range(len(regions)), regions, rotation=30)
