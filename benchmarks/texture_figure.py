"""Draw docs/figures/texture.svg from benchmarks/results/texture.json.

python benchmarks/texture_figure.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "texture.json"
FIGURE = ROOT / "docs" / "figures" / "texture.svg"

TREATMENTS = {
    "aligned": "aligned: whole picture, 160 x 160",
    "crop": "cropped: native resolution, 160 x 160",
}
MEASURES = {"variance3": "variance of 3 x 3 pixels", "mscn_sd": "finest texture (MSCN)"}
XLABEL = (
    "share of pairs in which the generated image is the smoother one\n"
    "\N{LEFTWARDS ARROW} the photograph is smoother          the generated image is smoother "
    "\N{RIGHTWARDS ARROW}"
)
MARKS = "skin, one collection of photographs"
LABELS = {"inside": "skin", "outside": "rest of the picture"}
SHIFT = 0.15
COLORS = {"inside": "#c2410c", "outside": "#1d4ed8"}
MARK_COLOR = "#78716c"


def draw(result: dict) -> plt.Figure:
    """Draw the effects by two measures and under both treatments."""
    figure, panels = plt.subplots(
        2, 2, figsize=(10, 11), sharex=True, sharey=True, layout="constrained"
    )
    for row, (measure, name) in zip(panels, MEASURES.items(), strict=True):
        for panel, (treatment, title) in zip(row, TREATMENTS.items(), strict=True):
            draw_panel(panel, result["results"][treatment], measure)
            panel.set_title(f"{name}\n{title}", fontsize=10)
    panels[0, 0].invert_yaxis()
    panels[0, 0].set_xlim(0, 1)
    figure.supxlabel(XLABEL, fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_panel(panel: Axes, found: dict, measure: str) -> None:
    """Draw the effects: pairs of the same history above, means over collections below."""
    matched, others = list(found["matched"]), sorted(found["by_source"])
    places = [*range(len(matched)), *(len(matched) + 0.7 + i for i in range(len(others)))]
    for region, shift in (("inside", -SHIFT), ("outside", SHIFT)):
        effects = [found["matched"][name][region][measure] for name in matched]
        effects += [found["by_source"][name][region]["mean"][measure] for name in others]
        values = [effect["value"] for effect in effects]
        panel.errorbar(
            values,
            [place + shift for place in places],
            xerr=[
                [effect["value"] - effect["low"] for effect in effects],
                [effect["high"] - effect["value"] for effect in effects],
            ],
            fmt="o" if region == "inside" else "s",
            color=COLORS[region],
            markerfacecolor=COLORS[region] if region == "inside" else "white",
            markersize=5,
            capsize=2,
            label=f"{LABELS[region]}, with 95 % interval",
        )
    marks = [
        (source[measure]["value"], place - SHIFT)
        for name, place in zip(others, places[len(matched) :], strict=True)
        for source in found["by_source"][name]["inside"]["sources"].values()
    ]
    panel.plot(
        *zip(*marks, strict=True), "|", color=MARK_COLOR, markersize=9, zorder=1, label=MARKS
    )
    panel.axvline(0.5, color="black", linewidth=0.8)
    panel.axhline(len(matched) - 0.15, color="black", linewidth=0.5, linestyle=":")
    panel.set_yticks(places, [*(f"{name}\nand matched FFHQ" for name in matched), *others])
    panel.tick_params(labelsize=9)
    panel.grid(axis="x", alpha=0.3)


def main() -> None:
    """Draw, with the same bytes for the same figures."""
    mpl.rcParams |= {"svg.hashsalt": "texture", "svg.fonttype": "path"}
    FIGURE.parent.mkdir(exist_ok=True)
    figure = draw(json.loads(RESULT.read_text()))
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
