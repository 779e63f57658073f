"""The model card of a shipped detector, from the JSON of ship.py and protocols.py."""

from __future__ import annotations

from typing import Any

from markdown_text import cost, figure, table

TITLES = {
    "forensic": "a stack of classical features with a linear machine",
    "cnn": "the modified CNN, in 8 bits",
    "transfer": "features of all levels of EfficientNet-Lite0 with a small head",
}

LICENCES = {
    "forensic": "BSD-3-Clause, as the library.",
    "cnn": "BSD-3-Clause, as the library.",
    "transfer": "BSD-3-Clause, as the library; the weights of EfficientNet-Lite0 are Apache-2.0 (trained on ImageNet, by Google; ported by ML Illustrated).",
}

DATA = """Faces: real ones of FFHQ, CelebA, LFW, UTKFace, Unsplash, the Face Research Lab London Set, official
headshots and Webmorph Canada; generated ones of StyleGAN, StyleGAN2, a GAN like it, Stable Diffusion 1.x,
class images of DreamBooth, LoRA portraits, SDXL and FLUX.1 schnell. Several of these collections are for
research and not for commercial use; no image comes with the detector. There are no usable public faces
by DALL-E or Midjourney among them, nor pictures of anything but faces."""

LIMITS = """- It knows **faces** of these collections and generators. On generators that it never saw, and on
  photographs from elsewhere, it may be wrong most of the time, and sure of it: see the columns "new".
- Images are brought to its size whatever their own is, so most traces of a generator at native
  resolution are lost; a portrait that is cut and sized like those of training is judged best.
- A verdict is no proof. Do not accuse anybody on the strength of one.
- Set the threshold on photographs like your own: `detectorkit calibrate`."""


def card(shipped: dict[str, Any], protocols: dict[str, Any] | None) -> str:
    """Write the card."""
    name, training, val = shipped["name"], shipped["training"], shipped["validation"]
    return f"""# {name}: {TITLES[name]}

Tells real photographs of faces from generated ones. Written by `benchmarks/accuracy/ship.py` from
`benchmarks/results/shipped_{name}.json` and the results of the protocols.

## Data

{DATA}

{training["n_real"]} real and {training["n_generated"]} generated images were trained on, {val["n_real"]} and {val["n_generated"]} set aside. Treatment of all: {training["treatment"]}.

## Protocol

The kind of detector and its settings were chosen on validation parts. Its figures on new generators and
collections are those of the same kind, fitted anew without these. All are on aligned images: centre
square, 160 x 160, one JPEG encode at quality 85.

## Figures

{_figures(val, protocols)}

## Thresholds

{_thresholds(training, protocols)}

## Limits

{LIMITS}

## Licence

{LICENCES[name]} Trained on collections that are partly for research only: judge for yourself what that
means for your use.
"""


def _figures(val: dict[str, Any], protocols: dict[str, Any] | None) -> str:
    known = {row["name"]: row for row in val["origins"]}
    found = {} if protocols is None else protocols["results"].get("aligned", {})
    foreign: dict[str, list[dict[str, Any]]] = {}
    for protocol in ("C", "D"):
        for trial in found.get(protocol, {}).get("trials", {}).values():
            for row in trial["test"].get("foreign", {}).get("origins", []):
                foreign.setdefault(row["name"], []).append(row)
    rows = []
    for kind, verb in (("photographs", "called generated"), ("generator", "found")):
        for name, row in sorted(known.items()):
            if row["kind"] != kind:
                continue
            # Photographs as in D, where their collection alone is left out; generators as in C.
            new = foreign.get(name, [])
            new = new[-1:] if kind == "photographs" else new[:1]
            rows.append(
                [
                    f"{name} ({'real' if kind == 'photographs' else 'generated'})",
                    verb,
                    f"{row['n']}",
                    figure(row["called_generated"]),
                    f"{new[0]['n']}" if new else "",
                    figure(new[0]["called_generated"]) if new else "not measured",
                ]
            )
    head = ["images of", "share", "n", "known to it", "n", "new to it"]
    macro = figure(val["macro_balanced_accuracy"])
    accuracy, area = (figure(val["metrics"][key]) for key in ("accuracy", "roc_auc"))
    text = (
        f"On {val['n']} images that were set aside, of the same collections and generators, which the "
        f"thresholds below were set on: accuracy {accuracy}, area under the ROC curve {area}, macro balanced "
        f"accuracy {macro}."
    )
    text += _summary(found)
    costs = {key: cost(entry["budget"]) for key, entry in found.items() if "budget" in entry}
    if {"B", "C", "D"} <= set(costs):
        text += (
            f" The trainings behind the figures on what is new were short: {costs['B']} with GANs alone, "
            f"{costs['C']} with each generator left out, {costs['D']} with each collection."
        )
    return text + "\n\n" + table(head, rows)


def _summary(found: dict[str, Any]) -> str:
    if not {"B", "C"} <= set(found):
        return (
            " **On generators and collections that are new to it, it was not measured in full; expect "
            "it to do little better than a coin.**"
        )
    b = found["B"]["summary"]["foreign"]
    c = found["C"]["summary"]["foreign"]["default"]["macro_balanced_accuracy"]
    return (
        f" Trained on GANs alone and asked about diffusion models: mean area {b['mean_roc_auc']:.2f}, macro "
        f"balanced accuracy {figure(b['default']['macro_balanced_accuracy'])}. With each generator left out "
        f"in turn, and photographs with it: macro balanced accuracy {figure(c)}. A coin has 0.5."
    )


def _thresholds(training: dict[str, Any], protocols: dict[str, Any] | None) -> str:
    rows = [
        [f"{key.removeprefix('fpr_')} %", f"{value:.3f}"]
        for key, value in training["thresholds"].items()
    ]
    text = table(["false positives", "threshold"], rows) + (
        "\n\n`detectorkit predict --fpr 0.05` uses them. They hold for photographs of the collections above, and "
        "are in the model's record."
    )
    found = {} if protocols is None else protocols["results"].get("aligned", {})
    if "D" in found:
        new = found["D"]["summary"]["foreign"]["fpr_5"]
        worst = new["worst_source"]
        text += (
            f" **At the threshold for 5 %, of photographs from a collection that was left out, "
            f"{new['false_positive_rate']:.0%} were called generated in the mean, and "
            f"{worst['false_positive_rate']:.0%} at worst ({worst['name']}).** Of generated images that it knew, "
            f"{found['D']['summary']['self']['fpr_5']['recall']:.0%} were found there."
        )
    return text
