"""The cards of the shipped detectors: card.md beside this file, filled from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.holes import fill
from benchmarks.pages.markdown import figure, table

TEMPLATE = Path(__file__).parent / "card.md"

TITLES = {
    "clip": "features of four layers of CLIP ViT-B/16 (4-bit weights) with a small head",
    "hog-svm": "histograms of oriented gradients with a linear SVM, as in the study",
    "forensic": "a stack of classical features with a linear SVM",
    "cnn": "the modified CNN, in 8 bits",
    "transfer": "features of EfficientNet-Lite0 with a small head",
}
LICENCES = {
    "clip": "; the weights of CLIP, in a file of their own, are under the MIT licence (by OpenAI, "
    "trained on images with their captions): see backbones/clip-vit-b16-4bit.LICENSE.txt",
    "transfer": "; the weights of EfficientNet-Lite0 are Apache-2.0 (trained on ImageNet, by "
    "Google; ported by ML Illustrated)",
}
CAPS = "listed in `sources.csv` beside this card, with at most 100 images of each in a source"
FIGURES = {
    "macro_balanced_accuracy": "macro balanced accuracy over origins",
    "recall": "found, mean over generated origins",
    "false_positive_rate": "photographs called generated, mean over sources",
    "roc_auc": "area under the ROC curve",
    "roc_auc[faces]": "the same, faces",
    "roc_auc[scenes]": "the same, scenes",
    "roc_auc_within": "the same, within sources of both classes",
    "recall@fpr_5": "found where 5 % of the photographs are called generated",
    "recall@fpr_2": "found where 2 % are",
}


def read_shipped(name: str) -> dict[str, Any]:
    """Read what came of the training of a detector that is shipped."""
    return read_json(RESULTS / f"shipped_{name}.json")


SHIPPED = [name for name in TITLES if "left_out" in read_shipped(name)]
"""Detectors that come along and were measured on sources that they had not seen."""


def card(name: str) -> str:
    """Return the card of a detector."""
    shipped = read_shipped(name)
    left_out, training = shipped["left_out"], shipped["training"]
    n = left_out["n"]
    spread = left_out["false_positive_rate_over_sources"]
    numbers = {
        "photographs": training["n_real"],
        "generated": training["n_generated"],
        "sources_of_photographs": len(training["sources"]),
        "generators": len(training["generators"]),
    }
    is_whole = n["images"] == training["n_samples"]
    is_kept = "rows_sha256" not in training  # from a training on other images than the others
    makers = {
        "name": lambda: name,
        "title": lambda: TITLES[name],
        "licence": lambda: LICENCES.get(name, ""),
        "n": lambda key: str(numbers[key]),
        "treatment": lambda: shipped["treatment"],
        "folds": lambda: " in eight trainings" if is_whole else " of its only training",
        "caps": lambda: "named in its record" if is_kept else CAPS,
        "spread": lambda key: f"{spread[key]:.2f}",
        "figures": lambda: figures(left_out["metrics"]),
        "thresholds": lambda: thresholds(training["thresholds"], shipped["found"]),
    }
    return fill(TEMPLATE.read_text(encoding="utf-8"), makers, keep_marks=False)


def figures(metrics: dict[str, Any]) -> str:
    """Return the figures on sources that were left out."""
    rows = [
        [text, figure([metrics[key][end] for end in ("value", "low", "high")])]
        for key, text in FIGURES.items()
        if key in metrics
    ]
    return table(["on sources that it had not seen", ""], rows)


def thresholds(limits: dict[str, float], found: dict[str, float]) -> str:
    """Return the thresholds for rates of photographs called generated, and what is found there."""
    rows = [
        [f"{key.removeprefix('fpr_')} %", f"{limit:.3f}", f"{found[key]:.2f}"]
        for key, limit in limits.items()
    ]
    return table(["photographs called generated", "threshold", "generated images found"], rows)
