"""Tables and figures on the smoothness of skin."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.accuracy.texture_table import ABOUT, MEASURES, TextureKey, TextureRow, read_texture
from benchmarks.files import read_json
from benchmarks.pages.markdown import figure, table
from detectorkit.evaluation import Estimate

__all__ = [
    "against_large",
    "both",
    "control",
    "controls",
    "differences",
    "fine_span",
    "matched",
    "matched_max",
    "mean_span",
    "median_span",
    "median_value",
    "medians",
    "rest",
    "sources",
]

REGIONS = {"inside": "skin", "outside": "rest", "difference": "skin - rest"}
LABELS = {
    "variance3": "variance, 3 x 3",
    "variance9": "variance, 9 x 9",
    "total_variation": "total variation",
    "mscn_sd": "MSCN",
}
TREATMENTS = {"aligned": "aligned", "crop": "cropped"}
FINE = ("sdxl", "flux1-schnell", "lora")
COARSE = ("stable-diffusion", "dreambooth-class")
FAMILIES = {
    "fine": FINE,
    "coarse": COARSE,
    "diffusion": FINE + COARSE,
    "like": ("stylegan2-like",),
}
SIDES = {"256": "stylegan2, 256 px", "512": "stylegan2, 512 px", "stylegan": "stylegan, 256 px"}
LARGE = "ffhq-512"


@cache
def rows() -> dict[TextureKey, TextureRow]:
    """Read the table once."""
    return read_texture()


def keys(of: str, treatment: str, region: str = "inside") -> list[TextureKey]:
    """Return what a part of the table is of."""
    return [key for key in rows() if key[:3] == (of, treatment, region)]


def short(estimate: Estimate) -> str:
    """Return a value with its interval, in two digits."""
    return figure(estimate, 2)


def effect(measure: str, *key: str) -> Estimate:
    """Return one figure."""
    return rows()[TextureKey(*key)].figures[measure]


def span(values: list[float], between: str = " to ") -> str:
    """Return the least and the greatest value."""
    return between.join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))


def both(side: str) -> str:
    """Return the effects on skin of images of the same history under both treatments."""
    effects = (effect("variance3", "matched", t, "inside", SIDES[side]) for t in TREATMENTS)
    return "{} of the pairs aligned, {} cropped".format(*map(short, effects))


def matched_max() -> str:
    """Return the largest effect that any measure finds between StyleGAN and FFHQ."""
    effects = [
        effect(measure, "matched", treatment, "inside", SIDES["stylegan"])
        for treatment in TREATMENTS
        for measure in MEASURES
    ]
    return short(max(effects, key=lambda one: one.value))


def rest(side: str) -> str:
    """Return the aligned effect outside skin."""
    return short(effect("variance3", "matched", "aligned", "outside", SIDES[side]))


def against_large(family: str, measure: str) -> str:
    """Return the effects on skin against FFHQ files of 512 pixels."""
    effects = {
        name: effect(measure, "source", "crop", "inside", name, LARGE) for name in FAMILIES[family]
    }
    return ", ".join(f"{name} {short(one)}" for name, one in effects.items())


def fine_span() -> str:
    """Return the range of MSCN's effects against the collections but UTKFace, cropped."""
    return span(
        [
            rows()[key].figures["mscn_sd"].value
            for key in keys("source", "crop")
            if key.group in FINE and key.against != "utkface"
        ]
    )


def mean_span(family: str, measure: str, treatment: str) -> str:
    """Return the range of the mean effects of some generators on skin."""
    means = [effect(measure, "mean", treatment, "inside", name).value for name in FAMILIES[family]]
    return span(means, " and " if family == "coarse" else " to ")


def controls() -> str:
    """Return the effects of changes on skin, by MSCN at native resolution."""
    return ", ".join(
        f"{key.group} {short(rows()[key].figures['mscn_sd'])}" for key in keys("control", "crop")
    )


def groups() -> dict[str, dict[str, Any]]:
    """Read what is known of the groups."""
    return read_json(ABOUT)["groups"]


def median_span(kind: str) -> str:
    """Return the range of the medians of the plain variance on skin, aligned."""
    values = [
        effect("variance3", "median", "aligned", "inside", name).value
        for name, group in groups().items()
        if group["kind"] == kind
    ]
    return f"{min(values):.2f} to {max(values):.2f}"


def median_value(name: str) -> str:
    """Return the median of the plain variance on skin of a group, aligned."""
    return f"{effect('variance3', 'median', 'aligned', 'inside', name).value:.2f}"


def matched(treatment: str) -> str:
    """Return generated images and photographs with the same history."""
    lines = []
    for key in keys("matched", treatment):
        for region, label in REGIONS.items():
            row = rows()[key._replace(region=region)]
            figures = [short(row.figures[measure]) for measure in MEASURES]
            name = key.group if region == "inside" else ""
            lines.append([name, f"{label} ({row.n}, {row.n_against})", *figures])
    return table(["", "", *LABELS.values()], lines)


def sources(measure: str, treatment: str) -> str:
    """Return every generator against every collection, on skin."""
    found = keys("source", treatment)
    columns = {key.against: rows()[key].n_against for key in sorted(found)}
    lines = []
    for key in keys("mean", treatment):
        cells = [
            short(effect(measure, "source", treatment, "inside", key.group, source))
            for source in columns
        ]
        row = rows()[key]
        mean = short(row.figures[measure])
        lines.append([f"{key.group} ({row.n})", f"**{mean}**", *cells])
    return table(["", "mean", *(f"{name} ({n})" for name, n in columns.items())], lines)


def control() -> str:
    """Return what changes do to photographs."""
    lines = [
        [
            f"{key.group}, {how}" if region == "inside" else "",
            label,
            *(short(effect(m, "control", treatment, region, key.group)) for m in MEASURES),
        ]
        for treatment, how in TREATMENTS.items()
        for key in keys("control", treatment)
        for region, label in REGIONS.items()
    ]
    return table(["", "", *LABELS.values()], lines)


def differences() -> str:
    """Return the effects on skin less the rest of the picture."""
    chosen = ("variance3", "total_variation")
    lines = [
        [
            key.group,
            *(
                short(effect(measure, "mean", treatment, "difference", key.group))
                for treatment in TREATMENTS
                for measure in chosen
            ),
        ]
        for key in keys("mean", "aligned")
    ]
    heads = [f"{LABELS[m]}, {how}" for how in TREATMENTS.values() for m in chosen]
    return table(["", *heads], lines)


def medians(treatment: str) -> str:
    """Return the medians of every group, photographs first."""
    shown = [("inside", "variance3"), ("outside", "variance3")]
    shown += [("inside", measure) for measure in list(MEASURES)[1:]]
    lines = [
        [
            name if kind == "photographs" else f"*{name}*",
            f"{group['n']}",
            f"{group['skin'][treatment]:.0%}",
            *(short(effect(m, "median", treatment, region, name)) for region, m in shown),
        ]
        for kind in ("photographs", "generator")
        for name, group in sorted(groups().items())
        if group["kind"] == kind
    ]
    heads = [f"{LABELS[measure]}, {REGIONS[region]}" for region, measure in shown]
    return table(["", "n", "proportion of skin", *heads], lines)
