"""The page docs/texture.md, from the figures in benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path

from markdown_text import table

RESULTS = Path(__file__).parent / "results"

REGIONS = {"inside": "skin", "outside": "rest", "difference": "skin - rest"}
MEASURES = {
    "variance3": "variance, 3 x 3",
    "variance9": "variance, 9 x 9",
    "total_variation": "total variation",
    "mscn_sd": "MSCN",
}
FINE = ("sdxl", "flux1-schnell", "lora")
COARSE = ("stable-diffusion", "dreambooth-class")
SMALL = ("utkface", "webmorph-canada")  # the two smoothest collections of photographs

TEXTURE = """# Is generated skin too smooth?

Written by `benchmarks/tables.py` from `benchmarks/results/texture.json`; the command is
`{command}`.

It is often said that generated skin gives itself away by being too smooth. **On these images we can't confirm
it.** Where generated faces and photographs have the same history, there is hardly a difference. Where the
difference is large, it is seen at native resolution only, and saving or resizing a photograph once more makes it
as smooth. Which photographs one compares with matters as much as which generator.

- *StyleGAN and the FFHQ photographs of the same source*: hardly. The generated skin is the smoother one
  in {stylegan} (0.5 is a coin); the largest of the four measures says {stylegan_max}.
- *StyleGAN2 and FFHQ*: a little, and not on skin in particular. At 256 pixels {stylegan2_256}; at 512
  {stylegan2_512}. Outside skin, the aligned figure at 512 is {rest_512}.
- *SDXL, FLUX.1 schnell, LoRA portraits*: smoother by the measure of the finest texture (MSCN) at native
  resolution. Against FFHQ files of 512 pixels: {fine_512}. Against the other collections but UTKFace:
  {fine_span}. By the plain variance there is less: {plain_512}. After resizing nothing is left of it: means of
  {fine_aligned}.
- *But the same FFHQ photographs, changed once more*, are smoother than themselves in as many pairs: {controls}.
  They too change more on skin than beside it. The SDXL and FLUX.1 images were cut out of JPEG collages, and
  what was done to the {n_lora} LoRA portraits of one program is not known, so this
  can't be told apart from what the generators did.
- *Stable Diffusion and the class images of DreamBooth*: no. By MSCN, as above, {sd_512}; the means over
  the collections are {sd_crop}.
- *The network like StyleGAN2*: smoother in the plain variance under both treatments (means of {like_aligned}
  aligned, {like_crop} cropped), and then also outside skin.
- *Resizing changes the sign.* By the plain variance, the skin of diffusion and flow generators is on average
  **rougher** than photographed skin when whole pictures are resized (means of {diffusion_aligned}), and not
  at native resolution ({diffusion_crop}). Most of these files are larger than those of the photographs and get
  sharper when they shrink.
- *Photographs differ more among themselves.* The median of the plain variance on skin, aligned, runs
  from {real_low} to {real_high} over the collections, and from {generated_low} to {generated_high} over
  the generators. {small} lie below every generator.

So smoothness of skin tells what happened to a file at least as much as whether it is a photograph. It is
a feature among others ({{class}}`~detectorkit.features.SmoothnessTransformer`), and no verdict.

![How often the generated image is the smoother one](figures/texture.svg)

## What was measured

Each image is brought to 160 x 160 pixels and JPEG quality 85 twice: *aligned*, the centre square resized;
and *cropped*, the centre at native resolution. *Skin* is what has the colour of skin
({{func}}`~detectorkit.features.skin_mask`), not what is a face: fair hair and beige walls are taken along,
which matters for the Stable Diffusion images here, of blonde women. *Rest* is the other pixels. An image
counts for a region that has at least {min_pixels} pixels, and for *skin - rest* if both have.

Four measures of the luma are lower for a smoother image. Plain variance: the median of
log(1 + local variance) in 3 x 3 and in 9 x 9 pixels. Total variation. MSCN: the standard deviation of the
normalised coefficients, which says how much of the contrast around a pixel is as fine as the pixel, whatever the
contrast (see {{func}}`~detectorkit.features.smoothness_statistics`). *Skin - rest* is their difference in one image:
it says whether skin is smoother than the rest of its own picture makes one expect.

All figures below but the medians are shares of pairs of a generated image and a photograph in which the
generated image is the smoother one: above 0.5, generated images are smoother. (Cliff's delta is twice that,
less 1.) Intervals of 95 % are DeLong's. They cover chance in the images, not in the choice of generators and
collections, and are not corrected for the number of comparisons.

## Generated images and photographs of the same history

The same source or kind of source, the same size of the file, the same compression before. In brackets: how many
generated images and photographs have the region.

### Aligned

{matched_aligned}

### Cropped

{matched_crop}

## Skin against every collection of photographs

The mean is over the collections but `ffhq-512`, which shows the same photographs as `ffhq` in larger files.
Only groups of at least {min_group} images are here, so the five of the generator `dreambooth` are not. Numbers of
images are in brackets. The other measures, and the rest of the pictures, are in the JSON file.

### Variance, 3 x 3, aligned

{sources_variance3_aligned}

### Variance, 3 x 3, cropped

{sources_variance3_crop}

### MSCN, aligned

{sources_mscn_sd_aligned}

### MSCN, cropped

{sources_mscn_sd_crop}

## Photographs that were changed

{n_control} photographs of `ffhq-512`, changed and then treated like all others, against the same photographs without
the change. As they are the same, the true intervals are narrower than these.

{control}

## Skin less the rest of the picture

Means over the collections. What stands behind a face decides these figures: beside a plain wall, any skin is
rough.

{difference}

## Medians

With 95 % intervals of order statistics; *share of skin* is a median too, and all are on a logarithmic scale, on
which higher is rougher. Generators are in italics.

### Aligned

{medians_aligned}

### Cropped

{medians_crop}
"""


def texture_page() -> str:
    """Give the page."""
    result = json.loads((RESULTS / "texture.json").read_text())
    aligned, crop = result["results"]["aligned"], result["results"]["crop"]
    return TEXTURE.format(
        command=result["command"],
        min_pixels=result["min_pixels"],
        min_group=result["min_group_size"],
        **claims(aligned, crop),
        controls=controls(result["control"]["crop"]),
        n_control=result["control"]["n"],
        control=control(result["control"]),
        matched_aligned=matched(aligned),
        matched_crop=matched(crop),
        **{
            f"sources_{measure}_{how}": sources(found, measure)
            for measure in ("variance3", "mscn_sd")
            for how, found in (("aligned", aligned), ("crop", crop))
        },
        difference=differences(aligned, crop),
        medians_aligned=medians(aligned),
        medians_crop=medians(crop),
    )


def claims(aligned: dict, crop: dict) -> dict[str, str]:
    """Give the figures that the text at the top of the page names."""
    pairs = [found["matched"]["stylegan, 256 px"]["inside"] for found in (aligned, crop)]
    largest = max((pair[name] for pair in pairs for name in MEASURES), key=lambda e: e["value"])
    inside = {name: group["inside"]["variance3"] for name, group in aligned["groups"].items()}
    generators = [inside[name]["value"] for name in aligned["by_source"]]
    photographs = [inside[n]["value"] for n in inside if n not in aligned["by_source"]]
    others = [
        effect["mscn_sd"]["value"]
        for name in FINE
        for source, effect in crop["by_source"][name]["inside"]["sources"].items()
        if source != "utkface"
    ]
    return {
        "stylegan": both(aligned, crop, "stylegan, 256 px"),
        "stylegan_max": short(largest),
        "stylegan2_256": both(aligned, crop, "stylegan2, 256 px"),
        "stylegan2_512": both(aligned, crop, "stylegan2, 512 px"),
        "rest_512": short(aligned["matched"]["stylegan2, 512 px"]["outside"]["variance3"]),
        "fine_512": against_large(crop, FINE, "mscn_sd"),
        "fine_span": span(others),
        "fine_aligned": span(means(aligned, FINE, "mscn_sd")),
        "plain_512": against_large(crop, FINE, "variance3"),
        "sd_512": against_large(crop, COARSE, "mscn_sd"),
        "sd_crop": span(means(crop, COARSE, "mscn_sd"), " and "),
        "diffusion_aligned": span(means(aligned, FINE + COARSE, "variance3")),
        "diffusion_crop": span(means(crop, FINE + COARSE, "variance3")),
        "n_lora": str(crop["groups"]["lora"]["inside"]["n"]),
        "like_aligned": span(means(aligned, ("stylegan2-like",), "variance3")),
        "like_crop": span(means(crop, ("stylegan2-like",), "variance3")),
        "real_low": f"{min(photographs):.2f}",
        "real_high": f"{max(photographs):.2f}",
        "generated_low": f"{min(generators):.2f}",
        "generated_high": f"{max(generators):.2f}",
        "small": " and ".join(f"{name} ({inside[name]['value']:.2f})" for name in SMALL),
    }


def controls(changed: dict) -> str:
    """Give the effects of changes on skin, in words."""
    return ", ".join(f"{name} {short(by['inside']['mscn_sd'])}" for name, by in changed.items())


def control(found: dict) -> str:
    """Give the table of changed photographs."""
    rows = [
        [
            f"{name}, {how}" if region == "inside" else "",
            label,
            *(short(found[treatment][name][region][measure]) for measure in MEASURES),
        ]
        for treatment, how in (("aligned", "aligned"), ("crop", "cropped"))
        for name in found[treatment]
        for region, label in REGIONS.items()
    ]
    return table(["", "", *MEASURES.values()], rows)


def both(aligned: dict, crop: dict, name: str) -> str:
    """Give the effects on skin of images of the same history under both treatments."""
    effects = (found["matched"][name]["inside"]["variance3"] for found in (aligned, crop))
    return "{} of the pairs aligned, {} cropped".format(*map(short, effects))


def against_large(found: dict, names: tuple[str, ...], measure: str) -> str:
    """Give the effects on skin against FFHQ files of 512 pixels."""
    effects = {
        name: found["by_source"][name]["inside"]["sources"]["ffhq-512"][measure] for name in names
    }
    return ", ".join(f"{name} {short(effect)}" for name, effect in effects.items())


def means(found: dict, names: tuple[str, ...], measure: str) -> list[float]:
    """Give the mean effects of generators on skin."""
    return [found["by_source"][name]["inside"]["mean"][measure]["value"] for name in names]


def span(values: list[float], between: str = " to ") -> str:
    """Give the least and the greatest value."""
    return between.join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))


def short(estimate: dict) -> str:
    """Give a value with its interval, in two digits."""
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def matched(found: dict) -> str:
    """Give the table of pairs with the same history."""
    rows = []
    for name, pair in found["matched"].items():
        for region, label in REGIONS.items():
            counts = f"({pair[region]['n_generated']}, {pair[region]['n_real']})"
            figures = [short(pair[region][measure]) for measure in MEASURES]
            rows.append([name if region == "inside" else "", f"{label} {counts}", *figures])
    return table(["", "", *MEASURES.values()], rows)


def sources(found: dict, measure: str) -> str:
    """Give the table of every generator against every collection."""
    columns = sorted({s for by in found["by_source"].values() for s in by["inside"]["sources"]})
    rows = []
    for name, by_region in sorted(found["by_source"].items()):
        effects = by_region["inside"]["sources"]
        n = found["groups"][name]["inside"]["n"]
        cells = [short(effects[source][measure]) for source in columns]
        mean = short(by_region["inside"]["mean"][measure])
        rows.append([f"{name} ({n})", f"**{mean}**", *cells])
    heads = [f"{s} ({found['groups'][s]['inside']['n']})" for s in columns]
    return table(["", "mean", *heads], rows)


def differences(aligned: dict, crop: dict) -> str:
    """Give the table of skin less the rest."""
    chosen = ("variance3", "total_variation")
    rows = [
        [
            name,
            *(
                short(found["by_source"][name]["difference"]["mean"][measure])
                for found in (aligned, crop)
                for measure in chosen
            ),
        ]
        for name in sorted(aligned["by_source"])
    ]
    heads = [f"{MEASURES[m]}, {how}" for how in ("aligned", "cropped") for m in chosen]
    return table(["", *heads], rows)


def medians(found: dict) -> str:
    """Give the table of medians, photographs first."""
    by_kind = [
        (name, group)
        for kind in ("photographs", "generator")
        for name, group in sorted(found["groups"].items())
        if group["kind"] == kind
    ]
    fields = [("inside", "variance3"), ("outside", "variance3")]
    fields += [("inside", measure) for measure in list(MEASURES)[1:]]
    rows = [
        [
            name if group["kind"] == "photographs" else f"*{name}*",
            f"{group['n']}",
            f"{group['skin']:.0%}",
            *(short(group[region][measure]) for region, measure in fields),
        ]
        for name, group in by_kind
    ]
    heads = [f"{MEASURES[measure]}, {REGIONS[region]}" for region, measure in fields]
    return table(["", "n", "share of skin", *heads], rows)
