"""Models and images of a call, for the sub-commands that take ``[MODEL] IMAGE ...``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Final, NamedTuple

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
    name: str | None = arguments.model
    shipped = shipped_detectors()
    if name == _ALL and shipped and not Path(_ALL).is_file():
        return Request(shipped, images, is_default=False)
    first = Path(images[0])
    if name is None and not first.is_dir():
        is_shipped = images[0] in shipped and not first.exists()
        if is_shipped or first.suffix.lower() == ".onnx":
            name, *images = images
            if not images:
                raise ValueError(
                    f"there are no images, only the model {name}. Pass image files or folders."
                )
    path = find_detector(name)
    return Request({name or default_detector(): path}, images, is_default=name is None)


def find_paths(images: list[str]) -> list[str]:
    """List the image files that are named and those in the folders that are named."""
    from detectorkit.images.image_files import find_images

    paths: list[str] = []
    for image in images:
        if Path(image).is_dir():
            paths += [str(path) for path in find_images(image)]
        else:
            paths.append(image)
    if not paths:
        raise ValueError(f"there are no images in {', '.join(images)}.")
    return paths
