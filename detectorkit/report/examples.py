"""Choose example images of an evaluation, and make small pictures of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.images.preprocessing import Preprocessing, resize_image
from detectorkit.images.sequence import ImageSequence

__all__ = ["ExampleGroup", "choose_examples"]

N_EXAMPLES: Final = 8
"""Maximum number of images that are shown of each kind."""

_SIDE: Final = 160  # maximum side of a small picture, in pixels


@dataclass(frozen=True)
class ExampleGroup:
    """Example images of one kind, such as false alarms.

    Attributes
    ----------
    title : str
        A few words about what the images have in common.
    examples : list of dict
        The index, name, origin, class, score and probability of each image.
    captions : list of str
        A caption for each image.
    pictures : list of ndarray or None
        Small RGB pictures of the images, each with its saliency map on the right if there is an
        explainer. None if the report shows no pictures.
    has_maps : bool
        Whether the pictures have saliency maps.
    """

    title: str
    examples: list[dict[str, Any]]
    captions: list[str]
    pictures: list[NDArray[np.uint8]] | None
    has_maps: bool = False


def choose_examples(
    evaluation: Evaluation,
    images: ImageSequence | None,
    names: Sequence[str] | None,
    explainer: Any = None,
) -> list[ExampleGroup]:
    """Choose the images with the surest right verdicts, false alarms and misses."""
    if images is None and names is None:
        return []
    called = evaluation.scores > evaluation.threshold
    is_generated = evaluation.y_true == 1
    rising = np.argsort(evaluation.scores, kind="stable")
    falling = np.argsort(-evaluation.scores, kind="stable")
    half = N_EXAMPLES // 2
    right = [
        *falling[(called & is_generated)[falling]][:half],
        *rising[(~called & ~is_generated)[rising]][:half],
    ]
    chosen = {
        "Surest and right": right,
        "False alarms: photographs that are called generated, the surest first": (
            falling[(called & ~is_generated)[falling]][:N_EXAMPLES]
        ),
        "Misses: generated images that are called real, the surest first": (
            rising[(~called & is_generated)[rising]][:N_EXAMPLES]
        ),
    }
    return [
        _make_group(title, [int(i) for i in indices], evaluation, images, names, explainer)
        for title, indices in chosen.items()
    ]


def _make_group(
    title: str,
    indices: list[int],
    evaluation: Evaluation,
    images: ImageSequence | None,
    names: Sequence[str] | None,
    explainer: Any,
) -> ExampleGroup:
    examples = [_describe(index, evaluation, images, names) for index in indices]
    pictures = None
    if images is not None:
        pictures = [_picture(images, index, explainer) for index in indices]
    captions = [_caption(example) for example in examples]
    return ExampleGroup(title, examples, captions, pictures, has_maps=explainer is not None)


def _describe(
    index: int,
    evaluation: Evaluation,
    images: ImageSequence | None,
    names: Sequence[str] | None,
) -> dict[str, Any]:
    probabilities = evaluation.probabilities
    return {
        "index": index,
        "name": _name(index, images, names),
        "origin": str(evaluation.origin[index]),
        "class": "generated" if evaluation.y_true[index] else "real",
        "score": float(evaluation.scores[index]),
        "probability": None if probabilities is None else float(probabilities[index]),
    }


def _name(index: int, images: ImageSequence | None, names: Sequence[str] | None) -> str:
    if names is not None:
        return str(names[index])
    item = None if images is None else images.items[index]
    return Path(item).name if isinstance(item, str | os.PathLike) else f"image {index}"


def _caption(example: dict[str, Any]) -> str:
    about = f"{example['name']} ({example['class']}, {example['origin']}): "
    if example["probability"] is None:
        return f"{about}score {example['score']:.2f}"
    return f"{about}probability {example['probability']:.3f}"


def _picture(images: ImageSequence, index: int, explainer: Any) -> NDArray[np.uint8]:
    """Make a small picture of an image, with its saliency map beside it."""
    read = images.read(index, Preprocessing(None, "rgb"))
    # Rows of a 2-D array are never rounded when they are read.
    levels = read if read.dtype == np.uint8 else np.rint(np.clip(read, 0, 1) * 255)
    image: NDArray[np.uint8] = levels.astype(np.uint8)
    if explainer is None:
        return _shrink(image)
    from detectorkit.saliency.display import overlay_map

    found = explainer.transform(images[index : index + 1])[0]
    small = _shrink(image)
    beside = overlay_map(small, resize_image(found, small.shape[:2]))
    gap = np.full((len(beside), 4, 3), 255, np.uint8)
    return np.concatenate([small, gap, beside], axis=1)


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = min(1.0, _SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor)))
    small: NDArray[np.uint8] = resize_image(image, size)
    return small
