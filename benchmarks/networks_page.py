"""What the page of figures says of networks, from the results in benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path

from markdown_text import table

RESULTS = Path(__file__).parent / "results"
NETWORKS = (
    "clip",
    "clip_and_crops",
    "efficientnet_crops",
    "efficientnet_frozen",
    "efficientnet_tuned",
    "cnn",
    "resnet",
)

BESIDE = """For comparison, on other data: the study that this library grew from reported accuracies of 0.88 (HoG +
SVM), 0.99 (ResNet-18) and 0.97 (DeiT) on generators that were trained on, an F1 of 0.88 (modified CNN), and
0.92 (DeiT) on generators that were not. Of the plain baselines that were measured on these images before,
aligned, logistic regression on CLIP had 0.90 on A, a mean AUC of 0.52 on B foreign, 0.65 on C and 0.34 on D.
Where `hog-svm-fine` was "not measured": its settings were chosen for aligned images, which count.
"""


def network_results() -> list[dict]:
    """Give what was measured of networks so far."""
    paths = [RESULTS / f"protocols_{name}.json" for name in NETWORKS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def choice_of_networks() -> str:
    """Give what each attempt did, on training and validation parts only."""
    path = RESULTS / "choose_networks.json"
    if not path.exists():
        return ""
    result = json.loads(path.read_text())
    sections = [
        f"""## How the networks' settings were chosen

`{result["command"]}`. *Same*: five-fold cross-validation over the training and validation parts of A. *Left
out*: of the training part of B, a GAN and a collection of photographs are left out together, for each of
the three GANs. No test part was touched."""
    ]
    for treatment, levels in result["levels"].items():
        sections.append(
            f"Logistic regression on levels of EfficientNet-Lite0, {treatment}:\n\n"
            + answers(levels)
        )
    sections.append("Heads on all levels, aligned:\n\n" + answers(result["heads"]))
    if result["pairs"]:
        sections.append(
            "Pairs of photographs and their reconstructions by the tiny autoencoder, in place of GAN images "
            "or beside them, crop:\n\n" + answers(result["pairs"])
        )
    if "recipes" in result:
        sections.append(
            "Ways to train `BackboneDetector`, each a change of the first line, aligned. Crops are of the images of "
            "160 pixels, which the first line enlarges. Copies went through the random changes of `Augmentation`, those of "
            "both classes alike. A vote is the mean probability:\n\n" + answers(result["recipes"])
        )
        sections.append(
            "Crops at native resolution rank what was left out better, and what is known worse. A vote with CLIP is better at "
            "both. Balancing by origin changes nothing, augmented copies cost a little; a left-out origin as the part that stops "
            "training takes away too much of what there is to learn from. So `efficientnet-crops` and `clip-and-crops` were measured "
            "by the protocols as well. Crops did not help networks that are trained as a whole, on A's validation images "
            "(n = 220): the modified CNN on crops of 64 pixels stayed at chance for 8 epochs, and fine-tuned on crops of "
            "96 pixels, EfficientNet-Lite0 had an accuracy of 0.77 and an area of 0.886, against 0.81 and 0.893 on whole "
            "images of 160 at a fifth of the learning rate."
        )
    sections.append(
        "All levels together beat the last one by far. Pairs made it worse on GANs that were left out: "
        "reconstructions are smoother than their photographs, GAN images are not. What they do for diffusion "
        "models cannot be chosen on these parts, as no diffusion model is in the training part of B."
    )
    return "\n\n".join(sections)


def answers(found: dict[str, dict]) -> str:
    """Give one line a candidate."""
    rows = []
    for name, answer in found.items():
        same, out = answer.get("same"), answer["left_out"]
        rows.append(
            [
                name,
                "" if same is None else f"{same['accuracy']:.3f} / {same['roc_auc']:.3f}",
                " ".join(f"{area:.2f}" for area in out["roc_auc"]),
                f"{out['macro_balanced_accuracy']:.3f}",
            ]
        )
    head = ["", "same: accuracy / AUC", "left out: AUC each", "left out: macro"]
    return table(head, rows)
