"""Images that are made on demand, so that the library can be tried without a download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state
from threadpoolctl import threadpool_limits

from detectorkit.datasets.upsampling.decoders import DECODERS
from detectorkit.images.levels import round_to_levels
from detectorkit.images.preprocessing import resize_image

__all__ = ["PHOTOGRAPHS", "make_upsampling_images", "read_photograph"]

_MOST_SHRINKING = 2.0

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)
"""Names of the photographs that come with scikit-image."""


def make_upsampling_images(
    n_samples: int = 200,
    *,
    decoders: Sequence[str] = tuple(DECODERS),
    photographs: Sequence[str] = PHOTOGRAPHS,
    image_size: tuple[int, int] = (128, 128),
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make pairs of a crop of a photograph and its reconstruction by a small decoder.

    The photographs are those that scikit-image ships; the decoders are like the last layers of
    image generators. Use these images to try out code. They show upsampling traces only: a score
    on them says nothing about AI-generated images. `sample_generated_faces` has true ones.

    Parameters
    ----------
    n_samples : int, default=200
        Number of images, an even number; half of them are real.
    decoders : sequence of str, default=all
        Decoders to draw from: "bilinear", "nearest", "transposed", "pixel-shuffle" (learned),
        "patch-autoencoder" (learned).
    photographs : sequence of str, default=all
        Photographs to draw from: names of functions of `skimage.data`.
    image_size : tuple of (int, int), default=(128, 128)
        Height and width of the crops, in pixels: multiples of 8, at most 256.
    random_state : int, RandomState instance or None, default=None
        Draws photographs, places and decoders.

    Returns
    -------
    data : Bunch
        Images with their labels and origins, in these entries.

        data : ndarray of shape (n_samples, height, width, 3), dtype uint8
            Crops at scales from a half to one, each followed by its reconstruction.
        target : ndarray of shape (n_samples,)
            Labels: 0 for a crop, 1 for a reconstruction.
        target_names : list of str
            ["real", "generated"].
        generator : ndarray of shape (n_samples,)
            Name of the decoder, or "photograph" for a crop.
        source : ndarray of shape (n_samples,)
            Name of the photograph. Split by it, so that no picture is on both sides.
        origin : ndarray of shape (n_samples,)
            As `load_images` has it: the decoder of a reconstruction, the photograph of a crop.

    Raises
    ------
    ValueError
        If a size or a name is not allowed.

    Examples
    --------
    >>> from detectorkit.datasets import make_upsampling_images
    >>> data = make_upsampling_images(n_samples=10, random_state=0)
    >>> data.data.shape
    (10, 128, 128, 3)
    >>> data.target[:4]
    array([0, 1, 0, 1])
    """
    _check(n_samples, decoders, photographs, image_size)
    random = check_random_state(random_state)
    # Many small problems: BLAS threads would only wait for each other.
    with threadpool_limits(1, "blas"):
        return _make(n_samples, decoders, photographs, image_size, random)


def _make(
    n_samples: int,
    decoders: Sequence[str],
    photographs: Sequence[str],
    image_size: tuple[int, int],
    random: np.random.RandomState,
) -> Bunch:
    data = np.empty((n_samples, *image_size, 3), np.uint8)
    generator, source = [], []
    for index in range(0, n_samples, 2):
        photograph = photographs[random.randint(len(photographs))]
        decoder = decoders[random.randint(len(decoders))]
        crop = _random_crop(read_photograph(photograph), image_size, random)
        decoded = DECODERS[decoder](crop.astype(np.float32) / 255)
        data[index] = crop
        data[index + 1] = round_to_levels(decoded)
        generator += ["photograph", decoder]
        source += [photograph, photograph]
    target = np.tile([0, 1], n_samples // 2)
    return Bunch(
        data=data,
        target=target,
        target_names=["real", "generated"],
        generator=np.array(generator),
        source=np.array(source),
        origin=np.where(target == 1, generator, source),
    )


def _check(
    n_samples: int,
    decoders: Sequence[str],
    photographs: Sequence[str],
    image_size: tuple[int, int],
) -> None:
    where = "make_upsampling_images"
    if n_samples < 2 or n_samples % 2:
        raise ValueError(f"{where}: n_samples={n_samples} must be an even number from 2 up.")
    if any(side % 8 or not 0 < side <= 256 for side in image_size):
        raise ValueError(f"{where}: image_size={image_size} must be multiples of 8 up to 256.")
    for name, given, known in (
        ("decoders", decoders, tuple(DECODERS)),
        ("photographs", photographs, PHOTOGRAPHS),
    ):
        if not given or not set(given) <= set(known):
            raise ValueError(f"{where}: {name}={given} must be some of {known}.")


def _random_crop(
    image: NDArray[np.uint8], size: tuple[int, int], random: np.random.RandomState
) -> NDArray[Any]:
    """Cut a random place at a random scale and flip, so that few photographs make many crops."""
    largest = min(length / side for side, length in zip(size, image.shape, strict=False))
    scale = random.uniform(1, min(largest, _MOST_SHRINKING))
    height, width = (round(side * scale) for side in size)
    row, col = (
        random.randint(length - side + 1)
        for side, length in zip((height, width), image.shape, strict=False)
    )
    crop = resize_image(image[row : row + height, col : col + width], size)
    return crop[:, ::-1] if random.randint(2) else crop


@lru_cache(maxsize=len(PHOTOGRAPHS))
def read_photograph(name: str) -> NDArray[np.uint8]:
    """Read a photograph that comes with scikit-image, in RGB."""
    from skimage import data

    image: NDArray[Any] = getattr(data, name)()
    if image.ndim == 2:
        image = np.repeat(image[..., np.newaxis], 3, axis=2)
    return image[..., :3].astype(np.uint8, copy=False)
