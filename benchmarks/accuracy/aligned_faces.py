"""Faces at 64 pixels with the eyes at the same places, for the generator that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from detectorkit.datasets import load_images

SIZE = 64
HELD_OUT = 0.2  # of the photographs, which the generator never sees

Crops = dict[tuple[str, str], tuple[float, float, float]]

PHOTOGRAPHS: Crops = {
    ("ffhq", "zoya2244"): (128.0, 132.0, 208.0),
    ("celeba", "sakshisalunkhe601"): (88.7, 118.7, 122.0),
    ("lfw", "nanoralers"): (125.5, 119.9, 132.0),
}
"""Centre and side of the square in a collection, in pixels, so that the mean faces agree."""

STYLEGAN: Crops = {("stylegan", "zoya2244"): PHOTOGRAPHS["ffhq", "zoya2244"]}


class Faces(NamedTuple):
    """Faces, their collections, and which of them are held out."""

    images: np.ndarray
    origin: np.ndarray
    held_out: np.ndarray


def crop_faces(folder: Path, crops: Crops = PHOTOGRAPHS) -> Faces:
    """Cut the faces out and shrink them once, by averaging over areas."""
    found = load_images(folder / "manifest.csv")
    images, origin = [], []
    columns = (found.metadata[name] for name in ("generator", "source"))
    for path, *key in zip(found.data, *columns, strict=True):
        if tuple(key) not in crops:
            continue
        x, y, side = crops[key[0], key[1]]
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        face = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX, box=box)
        images.append(np.asarray(face))
        origin.append(key[0])
    held_out = np.random.RandomState(0).uniform(size=len(images)) < HELD_OUT
    return Faces(np.array(images), np.array(origin), held_out)
