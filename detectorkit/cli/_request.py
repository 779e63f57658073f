"""Models and images of a call, for the sub-commands that take ``[MODEL] IMAGE ...``."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import Final, NamedTuple

from detectorkit.cli._common import tell_passed_over

__all__ = ["Request", "find_paths", "find_request"]

_ALL: Final = "all"


class Request(NamedTuple):
    """Models, by name and file, and images of a call."""

    models: dict[str, Path]
    images: list[str]
    is_default: bool


def find_request(arguments: Namespace) -> Request:
    """Separate the model from the images among the arguments."""
    from detectorkit.models import default_detector, find_detector, shipped_detectors

    images: list[str] = arguments.images
    if "" in images:
        raise ValueError("an IMAGE is empty text. Pass the path of an image file or a folder.")
    name: str | None = arguments.model
    shipped = shipped_detectors()
    if name == _ALL and shipped and not Path(_ALL).is_file():
        return Request(shipped, images, is_default=False)
    first = Path(images[0])
    if name is None and not os.path.isdir(first):  # noqa: PTH112 - names too long are no error
        is_shipped = images[0] in shipped and not first.exists()
        if is_shipped or first.suffix.lower() == ".onnx":
            name, *images = images
            if not images:
                raise ValueError(
                    f"there are no images, only the model {name}. Pass image files or folders."
                )
    path = find_detector(name)
    return Request({name or default_detector(): path}, images, is_default=name is None)


def find_paths(arguments: Namespace, images: list[str]) -> list[str]:
    """List the image files that are named and those in the folders that are named."""
    from detectorkit.images.image_files import PassedOver, search_images

    for image in images:
        _check_kind(image)
    if not any(os.path.exists(image) for image in images):  # noqa: PTH110 - as above
        raise FileNotFoundError(f"there is no file or folder {' or '.join(images)}.")
    paths: list[str] = []
    passed_over = PassedOver()
    for image in images:
        if os.path.isdir(image):  # noqa: PTH112 - nor here, where the other images are judged
            paths += [str(path) for path in search_images(image, passed_over)]
        else:
            paths.append(image)
    tell_passed_over(arguments, passed_over)
    if not paths:
        raise ValueError(f"there are no images in {', '.join(images)}.")
    return paths


def _check_kind(image: str) -> None:
    """Refuse what other commands or programs take, and name these."""
    if image.lower().startswith(("http://", "https://")):
        raise ValueError(f"{image} is an address. Download the image, and pass the file.")
    if image.lower().endswith((".csv", ".zip", ".tar")) and os.path.isfile(image):  # noqa: PTH113
        raise ValueError(
            f"{image} is not an image. For the images that a CSV file lists or an archive holds, "
            f"use `detectorkit scan {image} -o verdicts.csv`."
        )
