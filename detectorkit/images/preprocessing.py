"""Preprocessing of images: conversion of their colour space and resizing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from detectorkit.images.treatment import Treatment

__all__ = ["COLOR_SPACES", "ColorSpace", "Image", "Preprocessing", "convert_color", "resize_image"]

Image = NDArray[np.uint8] | NDArray[np.float32]
ColorSpace = Literal["gray", "rgb"]


COLOR_SPACES: Final = ("gray", "rgb")


def convert_color(image: Any, color_space: ColorSpace) -> Any:
    """Convert an image to a colour space.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB image of dtype uint8 or float32.
    color_space : {"gray", "rgb"}
        Colour space of the result. Grey is ITU-R BT.601 luma; RGB of a grey image has three
        equal channels.

    Returns
    -------
    converted : ndarray of shape (height, width) or (height, width, 3)
        The converted image, or the image itself if it has this colour space already.
    """
    if color_space == "gray" and image.ndim == 3:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    if color_space == "rgb" and image.ndim == 2:
        return np.repeat(image[..., np.newaxis], 3, axis=2)
    return image


def resize_image(image: Any, image_size: tuple[int, int]) -> Any:
    """Resize an image, by averaging over areas where it shrinks and linearly where it grows.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB image of dtype uint8 or float32.
    image_size : tuple of (int, int)
        Height and width of the result, in pixels.

    Returns
    -------
    resized : ndarray
        Resized image of the same dtype; uint8 is rounded to the nearest level.
    """
    height, width = image_size
    smaller = min(height, image.shape[0]), min(width, image.shape[1])
    if smaller != image.shape[:2]:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


@dataclass(frozen=True)
class Preprocessing:
    """Treatment, size and colour space of a model's images; saved with the model.

    Attributes
    ----------
    image_size : tuple of (int, int) or None
        Height and width to which every image is resized, whatever its aspect ratio. None keeps
        the size of each image.
    color_space : {"gray", "rgb"}
        Colour space of the images. Grey is ITU-R BT.601 luma, as in JPEG files.
    as_uint8 : bool, default=True
        Whether float images are first rounded to 8 bits, as in a file. Rows of a 2-D array are
        never rounded, as an earlier step may have scaled them.
    n_crops : int or None, default=None
        Number of crops of `image_size` that are cut from each image at its own resolution,
        see `cut_crops`; the results for the crops are averaged. None resizes whole images.
    treatment : Treatment or None, default=None
        Treatment of the images at their full size, before anything else; float images are then
        always rounded to 8 bits. None takes images as they are.
    """

    image_size: tuple[int, int] | None
    color_space: ColorSpace
    as_uint8: bool = True
    n_crops: int | None = None
    treatment: Treatment | None = None

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of the array of one image, where `image_size` is not None."""
        return (*(self.image_size or ()), *((3,) if self.color_space == "rgb" else ()))

    def to_record(self) -> dict[str, Any]:
        """Return the JSON form, which also names the fixed choices of this module.

        Returns
        -------
        record : dict
            Everything that another program needs to prepare an image in the same way.
        """
        record: dict[str, Any] = {
            "image_size": self.image_size,
            "color_space": self.color_space,
            "resize": "area where it shrinks, linear where it enlarges",
            "dtype": "uint8",
            "value_range": [0, 255],
            "treatment": None if self.treatment is None else self.treatment.to_record(),
        }
        if self.n_crops is not None:
            record["resize"] = "linear, of images smaller than a crop only"
            record["n_crops"] = self.n_crops
        return record
