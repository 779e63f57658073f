"""The figure of docs/texture.md: how often the generated image is the smoother one."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.texture_table import TextureKey, TextureRow, read_texture

Rows = dict[TextureKey, TextureRow]

TREATMENTS = {
    "aligned": "aligned: whole picture, 160 x 160",
    "crop": "cropped: native resolution, 160 x 160",
}
MEASURES = {"variance3": "variance of 3 x 3 pixels", "mscn_sd": "finest texture (MSCN)"}
GAP = 10 * "\N{NO-BREAK SPACE}"
XLABEL = (
    "proportion of pairs in which the generated image is the smoother one\n"
    f"\N{LEFTWARDS ARROW} the photograph is smoother{GAP}the generated image is smoother "
    "\N{RIGHTWARDS ARROW}"
)
MARKS = "skin, one collection of photographs"
LABELS = {"inside": "skin", "outside": "rest of the picture"}
SHIFT = 0.15
COLORS = {"inside": "#c2410c", "outside": "#1d4ed8"}
MARK_COLOR = "#78716c"


def draw() -> Figure:
    """Draw the effects by two measures and under both treatments."""
    rows = read_texture()
    figure, panels = plt.subplots(
        2, 2, figsize=(10, 11), sharex=True, sharey=True, layout="constrained"
    )
    for row, (measure, name) in zip(panels, MEASURES.items(), strict=True):
        for panel, (treatment, title) in zip(row, TREATMENTS.items(), strict=True):
            draw_panel(
                panel,
                {key: row for key, row in rows.items() if key.treatment == treatment},
                measure,
            )
            panel.set_title(f"{name}\n{title}", fontsize=10)
    panels[0, 0].invert_yaxis()
    panels[0, 0].set_xlim(0, 1)
    figure.supxlabel(XLABEL, fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_panel(panel: Axes, rows: Rows, measure: str) -> None:
    """Draw the effects: pairs of the same history above, means over collections below."""
    matched = [key.group for key in rows if (key.table, key.region) == ("matched", "inside")]
    others = sorted(key.group for key in rows if (key.table, key.region) == ("mean", "inside"))
    places = [*range(len(matched)), *(len(matched) + 0.7 + i for i in range(len(others)))]
    for region, shift in (("inside", -SHIFT), ("outside", SHIFT)):
        effects = [
            row.figures[measure]
            for table, names in (("matched", matched), ("mean", others))
            for name in names
            for key, row in rows.items()
            if (key.table, key.region, key.group) == (table, region, name)
        ]
        values = [effect.value for effect in effects]
        panel.errorbar(
            values,
            [place + shift for place in places],
            xerr=[
                [effect.value - effect.low for effect in effects],
                [effect.high - effect.value for effect in effects],
            ],
            fmt="o" if region == "inside" else "s",
            color=COLORS[region],
            markerfacecolor=COLORS[region] if region == "inside" else "white",
            markersize=5,
            capsize=2,
            label=f"{LABELS[region]}, with 95 % interval",
        )
    by_name = dict(zip(others, places[len(matched) :], strict=True))
    marks = [
        (row.figures[measure].value, by_name[key.group] - SHIFT)
        for key, row in rows.items()
        if key.table == "source"
    ]
    panel.plot(
        *zip(*marks, strict=True), "|", color=MARK_COLOR, markersize=9, zorder=1, label=MARKS
    )
    panel.axvline(0.5, color="black", linewidth=0.8)
    panel.axhline(len(matched) - 0.15, color="black", linewidth=0.5, linestyle=":")
    panel.set_yticks(places, [*(f"{name}\nand matched FFHQ" for name in matched), *others])
    panel.tick_params(labelsize=9)
    panel.grid(axis="x", alpha=0.3)
