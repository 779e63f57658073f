"""The page docs/explanations.md, from the figures in benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown_text import table

RESULTS = Path(__file__).parent / "results"

PAGE = """# What do the detectors look at?

Written by `benchmarks/tables.py` from `benchmarks/results/saliency.json`; the command is `{command}`. Real
and generated faces of the validation part of the shipped detectors, aligned.

The study that this library grew from took the gradient of the binary cross-entropy with respect to the pixels and read from
it that decisions rest on the texture of skin, which is too smooth where it is generated. Here is the same analysis
on the detectors of this library.

## Do decisions rest on skin?

{skin}

{regions}

A figure is the share of the absolute gradient that lies in a region, by the region's share of the area: 1 is no
preference. Intervals are of 95 %, from resampling images. Regions are rules of place and colour: *eyes* are a
band of an aligned face, *skin* is what has its colour elsewhere, *background* the border, *hair* what is left of
the upper part. The last column is the rank correlation of gradient and local contrast over blocks of 8 x 8
pixels: negative where the gradient lies in what is smooth.

![Sizes of the derivatives, and how much of the gradient lies where](figures/explanations.svg)

{distribution}

## Which map to trust

{n_images} images, half of each class. *Insertion - deletion* is the area under the insertion curve less that under the
deletion curve, of the probability of the verdict, as pixels are replaced by three things in turn: a blurred copy,
texture of the same image from elsewhere, and the same place requantised as JPEG. (Integrated gradients begin at
a blurred copy, so "blur" is their own measure; judge them by the others.) *Above random* is the mean of what
a method has more than a map of noise on the same images. *Pointing* is the share of spliced images, half real and half
generated, whose map is largest in the generated half ({n_splices} splices; a coin has 0.5, and maps without signs do not
say which class a place speaks for). *Permuted* is the rank correlation with the map of the same detector with its
weights permuted: near 0 is good (`cnn` has weights of 8 bits, which are not permuted). *Noise* is the largest relative change of a map under noise of 2 %. All maps were smoothed by
{smoothing:.0f} pixels first, those of noise too.

{verdict}

{faithfulness}
"""


def saliency_page() -> str:
    """Give the page."""
    result = json.loads((RESULTS / "saliency.json").read_text())
    detectors = result["detectors"]
    with_gradient = {name: one for name, one in detectors.items() if "gradients" in one}
    first = next(iter(detectors.values()))["methods"]["random"]
    return PAGE.format(
        command=result["command"],
        skin=skin_verdict(with_gradient),
        regions=regions_table(with_gradient),
        distribution=distribution_text(with_gradient),
        n_images=result["n_images"],
        n_splices=first["pointing"]["n"],
        smoothing=result["smoothing"],
        verdict=method_verdict(detectors),
        faithfulness="\n\n".join(
            f"### {name}\n\n{method_table(one['methods'])}" for name, one in detectors.items()
        ),
    )


def interval(estimate: dict[str, Any], digits: int = 2) -> str:
    """Give a value with its interval."""
    if estimate["value"] is None:
        return ""
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def sides(detectors: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Give each detector's figures for each class."""
    return [
        (name, kind, one["gradients"][kind])
        for name, one in detectors.items()
        for kind in ("real", "generated")
    ]


def regions_table(detectors: dict[str, Any]) -> str:
    """Give one line a detector and class."""
    regions = list(next(iter(detectors.values()))["gradients"]["real"]["regions"])
    rows = [
        [
            f"{name}, {kind} (n = {figures['n']})",
            *(interval(figures["regions"][region]["ratio"]) for region in regions),
            interval(figures["texture_correlation"]),
        ]
        for name, kind, figures in sides(detectors)
    ]
    return table(["", *regions, "contrast"], rows)


def skin_verdict(detectors: dict[str, Any]) -> str:
    """Say in words whether the gradient prefers skin."""
    above, below, neither = [], [], []
    for name, kind, figures in sides(detectors):
        ratio = figures["regions"]["skin"]["ratio"]
        where = above if ratio["low"] > 1 else below if ratio["high"] < 1 else neither
        where.append(f"{name} on {kind} faces ({ratio['value']:.2f})")
    smooth = [
        f"{name} on {kind} faces ({figures['texture_correlation']['value']:.2f})"
        for name, kind, figures in sides(detectors)
        if figures["texture_correlation"]["high"] < 0
    ]
    parts = [
        f"{what}: {', '.join(names)}."
        for what, names in (
            ("More of the gradient lies on skin than its area would have", above),
            ("Less of the gradient lies on skin than its area would have", below),
            ("No preference can be told", neither),
        )
        if names
    ]
    if smooth:
        parts.append(
            f"It is larger in what is smooth than in what is rough: {', '.join(smooth)}. That "
            "may come of features that are set against the contrast around them, on skin and off it."
        )
    head = "**In part.**" if above else "**Not here.**"
    return " ".join([head, *parts])


def distribution_text(detectors: dict[str, Any]) -> str:
    """Compare the sizes of the gradients of both classes."""
    rows = [
        [
            f"{name}, {kind}",
            f"{figures['distribution']['std']:.2e}",
            f"{figures['distribution']['kurtosis']:.1f}",
            f"{figures['distribution']['near_zero']:.2f}",
        ]
        for name, kind, figures in sides(detectors)
    ]
    head = ["derivatives of the loss", "standard deviation", "kurtosis", "share near zero"]
    return (
        table(head, rows)
        + "\n\nThe loss of an image that is recognised easily has a small gradient, so the two classes "
        "differ in size where one of them is easier. That says nothing of skin."
    )


def method_table(methods: dict[str, Any]) -> str:
    """Give one line a method."""
    rows, impossible = [], []
    for name, entry in methods.items():
        if "not possible" in entry:
            impossible.append(name)
            continue
        pointing = entry["pointing"]
        rows.append(
            [
                name,
                *(interval(entry[one]["insertion_less_deletion"]) for one in KINDS),
                *(interval(entry[one]["above_random"]) for one in KINDS),
                interval(pointing),
                f"{pointing['mass_share']:.2f}",
                optional(entry.get("randomization")),
                optional(entry.get("sensitivity")),
            ]
        )
    head = ["", *(f"{one}" for one in KINDS), *(f"{one}, above random" for one in KINDS)]
    head += ["pointing", "mass in that half", "permuted", "noise"]
    text = table(head, rows)
    if impossible:
        text += f"\n\nNot possible for this detector: {', '.join(impossible)}."
    return text


KINDS = ("blur", "patch", "jpeg")


def optional(value: float | None) -> str:
    """Give a figure, or nothing."""
    return "" if value is None else f"{value:.2f}"


def method_verdict(detectors: dict[str, Any]) -> str:
    """Name the best method of each detector, and by how much it is above a random map."""
    lines = []
    for name, one in detectors.items():
        measured = {
            method: entry
            for method, entry in one["methods"].items()
            if "not possible" not in entry and method != "random"
        }
        mean = {
            method: sum(entry[kind]["above_random"]["value"] for kind in KINDS) / len(KINDS)
            for method, entry in measured.items()
        }
        ranked = sorted(mean, key=mean.__getitem__, reverse=True)
        best = ranked[0]
        each = ", ".join(
            f"{kind} {interval(measured[best][kind]['above_random'])}" for kind in KINDS
        )
        text = f"- **{name}**: {best}, {mean[best]:.2f} above a random map in the mean ({each})"
        if len(ranked) > 1:
            text += f"; then {ranked[1]} ({mean[ranked[1]]:.2f})"
        if len(ranked) > 2:
            text += f"; last {ranked[-1]} ({mean[ranked[-1]]:.2f})"
        pointing = max(measured, key=lambda method: measured[method]["pointing"]["value"])
        rate = interval(measured[pointing]["pointing"])
        lines.append(f"{text}. Best at pointing: {pointing}, {rate}.")
    return "\n".join(lines)
