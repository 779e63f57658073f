"""The figure of docs/accuracy.md: metrics on sources left out, and false positives by source."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.honest import DETECTORS, TREATMENT, scores

COLORS = dict(zip(DETECTORS, ("#1d4ed8", "#0f766e", "#c2410c", "#737373"), strict=True))
METRICS = {"roc_auc": ("AUC", "o"), "macro_balanced_accuracy": ("macro balanced accuracy", "s")}


def draw() -> Figure:
    """Draw the metrics of each detector, and below them its rates over sources."""
    figure, panels = plt.subplots(2, 1, figsize=(6.4, 6.2), layout="constrained")
    draw_metrics(panels[0])
    draw_rates(panels[1])
    return figure


def draw_metrics(panel: Axes) -> None:
    """Draw both metrics with their intervals."""
    rows = read_json(RESULTS / "protocol_e.json")["rows"]
    for shift, (key, (label, marker)) in zip((-0.12, 0.12), METRICS.items(), strict=True):
        for place, name in enumerate(DETECTORS):
            metric = rows[f"{name}.{TREATMENT}"]["metrics"][key]
            value, low, high = (metric[end] for end in ("value", "low", "high"))
            spread = [[value - low], [high - value]]
            panel.errorbar(
                value, place + shift, xerr=spread, fmt=marker, color=COLORS[name], markersize=5
            )
        panel.plot([], [], marker, color="black", markersize=5, label=label)
    panel.axvline(0.5, color="gray", linewidth=0.8)
    panel.set_yticks(range(len(DETECTORS)), DETECTORS)
    panel.invert_yaxis()
    panel.set(xlim=(0.4, 1), xlabel="on sources that it never saw (a coin has 0.5)")
    panel.legend(frameon=False, loc="lower right")


def draw_rates(panel: Axes) -> None:
    """Draw which proportion of the sources have at most a false-positive rate."""
    for name in DETECTORS:
        found = np.sort(list(scores(name).false_positive_rates.values()))
        panel.ecdf(found, color=COLORS[name], label=name)
    panel.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="sources of photographs, proportion")
    panel.set_xlabel("with at most this rate of photographs called generated")
    panel.legend(frameon=False, loc="lower right")
