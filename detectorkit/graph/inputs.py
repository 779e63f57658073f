"""The input of a network: size, colours and scale of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.decoding import MAX_PIXELS
from detectorkit.images.preprocessing import COLOR_SPACES, ColorSpace, Preprocessing
from detectorkit.images.treatment import Treatment
from detectorkit.utils.fields import Fields

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "NetworkInput", "read_size"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkInput:
    """Preparation of images for a network.

    Attributes
    ----------
    image_size : tuple of (int, int)
        Height and width of the network's input, in pixels.
    mean : tuple of float, default=IMAGENET_MEAN
        Mean that is subtracted from each channel, for pixels from 0 to 1.
    std : tuple of float, default=IMAGENET_STD
        Standard deviation by which each channel is divided afterwards.
    color_space : {"gray", "rgb"}, default="rgb"
        Colours of the image; a grey image has one channel.
    n_crops : int or None, default=None
        Number of crops at native resolution whose scores are averaged, see
        `detectorkit.images.crops.cut_crops`. None resizes whole images to `image_size`.
    treatment : Treatment or None, default=None
        Treatment of the images before anything else. It belongs to the detector, and is not saved
        with a backbone. None takes images as they are.

    Examples
    --------
    >>> from detectorkit.graph.inputs import NetworkInput
    >>> NetworkInput((224, 224)).preprocessing.image_size
    (224, 224)
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    color_space: ColorSpace = "rgb"
    n_crops: int | None = None
    treatment: Treatment | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing by which images are read."""
        return Preprocessing(
            self.image_size, self.color_space, n_crops=self.n_crops, treatment=self.treatment
        )

    @property
    def n_channels(self) -> int:
        """Number of channels of an image."""
        return 3 if self.color_space == "rgb" else 1

    @property
    def scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factor and offset that scale each channel, from levels of 0 to 255."""
        mean, std = np.array(self.mean), np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)

    def scale(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Scale images to the form that the network takes.

        Parameters
        ----------
        pixels : ndarray of shape (n, height, width) or (n, height, width, 3)
            Levels from 0 to 255, of the size `image_size`.

        Returns
        -------
        scaled : ndarray of shape (n, n_channels, height, width), dtype float32
            Images in the form that the network takes.
        """
        factor, offset = self.scaling
        if pixels.ndim == 3:
            pixels = pixels[..., np.newaxis]
        scaled = pixels.astype(np.float32) * factor + offset
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def to_record(self) -> dict[str, Any]:
        """Return the form that is saved with a backbone.

        Returns
        -------
        record : dict
            Attributes by name, ready for JSON.
        """
        return {
            "image_size": list(self.image_size),
            "mean": list(self.mean),
            "std": list(self.std),
            "color_space": self.color_space,
            "n_crops": self.n_crops,
        }

    @classmethod
    def from_record(cls, fields: Fields) -> NetworkInput:
        """Read the form that `to_record` returns.

        Parameters
        ----------
        fields : Fields
            Fields of a record, read from JSON.

        Returns
        -------
        network_input : NetworkInput
            Network input with the attributes of the record.

        Raises
        ------
        ModelFileError
            If a field is missing or wrong; the message names it.
        """
        size, n_crops = read_size(fields)
        if size is None:
            raise fields.error("image_size", "a height and a width")
        space: Any = fields.text("color_space", COLOR_SPACES)
        mean, std = tuple(fields.numbers("mean")), tuple(fields.numbers("std"))
        n_channels = 3 if space == "rgb" else 1
        for key, values in (("mean", mean), ("std", std)):
            if len(values) != n_channels or (key == "std" and min(values) <= 0):
                what = "numbers" if key == "mean" else "positive numbers"
                raise fields.error(key, f"a list of {n_channels} {what}")
        return cls(size, mean, std, space, n_crops)


def read_size(fields: Fields) -> tuple[tuple[int, int] | None, int | None]:
    """Read the size and the number of the crops of an image, which must not fill the memory."""
    size, n_crops = fields.size("image_size"), fields.integer("n_crops")
    n_pixels = math.prod(size or (1, 1))
    if n_pixels > MAX_PIXELS:
        raise fields.error("image_size", f"a height and a width of at most {MAX_PIXELS} pixels")
    if n_crops is not None and n_crops * n_pixels > MAX_PIXELS:
        raise fields.error("n_crops", f"a number of crops of at most {MAX_PIXELS} pixels in all")
    return size, n_crops
