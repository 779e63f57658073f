"""Common parts of the features that look at single pixels: levels, planes, crops and tiles.

The traces that these features look for are a few pixels wide, so images are taken at their native
resolution unless `image_size` says otherwise. A subclass of `NativeTransformer` defines:

================  ==============================================================================
``__init__``      its own parameters, and those of the base
``_settings``     check its own parameters and return them as `_describe` takes them
``_describe``     compute the features of planes of one size, (n, height, width) of uint8
``_minimum_size``   return the height and width of the smallest plane that it can describe
``_plane_names``  return the names of the features of one plane
================  ==============================================================================
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from detectorkit.base import ImageTransformer
from detectorkit.images.levels import round_to_levels
from detectorkit.images.preprocessing import Preprocessing, convert_color
from detectorkit.utils.validation import check_choice, check_pair, parameter_error

__all__ = ["NativeTransformer", "PlaneSpace", "check_planes", "split_planes"]

Planes = NDArray[np.uint8]
PlaneSpace = Literal["gray", "rgb", "ycbcr"]

PLANES: Final = {"gray": ("gray",), "rgb": ("r", "g", "b"), "ycbcr": ("y", "cb", "cr")}
"""Names of the planes of each colour space, in the order of their features."""

_JPEG_UNIT = 16  # pixels; crops that start at multiples of it fall on the blocks of 4:2:0


def split_planes(images: NDArray[np.uint8], color_space: PlaneSpace) -> list[Planes]:
    """Cut images into the planes of a colour space."""
    if color_space == "gray":
        if images.ndim == 3:
            return [np.ascontiguousarray(images)]
        return [np.stack([convert_color(image, "gray") for image in images])]
    if images.ndim == 3:
        images = np.repeat(images[..., np.newaxis], 3, axis=3)
    if color_space == "rgb":
        return [np.ascontiguousarray(images[..., channel]) for channel in range(3)]
    n, height, width = images.shape[:3]
    luma = np.empty((n, height, width), np.uint8)
    half = max(height // 2, 1), max(width // 2, 1)
    differences = [np.empty((n, *half), np.uint8) for _ in range(2)]
    for index, image in enumerate(images):
        converted = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YCrCb)
        cv2.extractChannel(converted, 0, luma[index])
        # An odd last row or column has no partner, so it is left out.
        even = converted[: 2 * half[0], : 2 * half[1]]
        small = cv2.resize(even, half[::-1], interpolation=cv2.INTER_AREA)
        for plane, channel in zip(differences, (2, 1), strict=True):
            cv2.extractChannel(small, channel, plane[index])
    return [luma, *differences]


def check_planes(caller: str, images: NDArray[Any], minimum: tuple[int, int]) -> Planes:
    """Check the images that were passed to a function of grey planes."""
    images = np.asarray(images)
    if images.ndim != 3 or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
        raise ValueError(
            f"{caller}: images of shape {images.shape} and dtype {images.dtype}. Expected grey "
            "images in an array of shape (n_samples, height, width), uint8 from 0 to 255 or "
            "floats from 0 to 1."
        )
    if images.shape[1] < minimum[0] or images.shape[2] < minimum[1]:
        raise ValueError(
            f"{caller}: images of {images.shape[1]} x {images.shape[2]} pixels are too small; a "
            f"size of at least {minimum[0]} x {minimum[1]} is needed."
        )
    return np.ascontiguousarray(round_to_levels(images))


class NativeTransformer(ImageTransformer):
    """Base class of the transformers that take images at their native resolution."""

    _color_spaces = tuple(PLANES)

    color_space: Any
    crop_size: tuple[int, int] | None
    tile_size: tuple[int, int] | None

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Check the parameters of the subclass and return them as `_describe` takes them."""

    @abstractmethod
    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        """Compute the features of planes of one size."""

    @abstractmethod
    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:
        """Return the smallest height and width of a plane that can be described."""

    @abstractmethod
    def _plane_names(self, settings: dict[str, Any]) -> list[str]:
        """Return the names of the features of one plane."""

    def _check_parameters(self) -> Preprocessing:
        self._settings()
        space = check_choice(self, "color_space", self._color_spaces)
        size = None if self.image_size is None else check_pair(self, "image_size")
        for name in ("crop_size", "tile_size"):
            if getattr(self, name) is not None and min(check_pair(self, name)) < 2:
                raise parameter_error(self, name, "at least (2, 2)")
        return Preprocessing(size, "gray" if space == "gray" else "rgb")

    def _compute(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        return self._compute_planes(self._split(batch), batch.shape)

    def _split(self, batch: NDArray[Any]) -> list[Planes]:
        return split_planes(self._crop(round_to_levels(batch)), self.color_space)

    def _compute_planes(
        self, split: list[Planes], shape: tuple[int, ...], masks: list[Planes] | None = None
    ) -> NDArray[np.float32]:
        """Compute the features of the planes of images of shape (n, height, width).

        Masks of the same sizes as the planes are cut into the same tiles and handed to `_describe`
        as the setting "mask".
        """
        settings = self._settings()
        minimum = self._minimum_size(settings)
        parts = []
        for index, planes in enumerate(split):
            shrunk = 2 if self.color_space == "ycbcr" and index > 0 else 1
            tiles = self._cut_tiles(planes, shrunk)
            if tiles.shape[1] < minimum[0] or tiles.shape[2] < minimum[1]:
                raise self._size_error(shape, minimum)
            if masks is not None:
                settings["mask"] = self._cut_tiles(masks[index], shrunk)
            features = self._describe(tiles, settings)
            if len(features) > shape[0]:
                features = features.reshape(shape[0], -1, features.shape[1]).mean(axis=1)
            parts.append(features)
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _crop(self, images: Planes) -> Planes:
        """Cut the central crop out of images, aligned with the blocks of JPEG files."""
        if self.crop_size is None:
            return images
        wanted, found = self.crop_size, images.shape[1:3]
        if found[0] < wanted[0] or found[1] < wanted[1]:
            raise ValueError(
                f"{type(self).__name__}: an image of {found[0]} x {found[1]} pixels is smaller "
                f"than crop_size={tuple(wanted)}. Use a smaller crop, or set `image_size` to bring "
                "all images to one size."
            )
        top, left = (
            (f - w) // 2 // _JPEG_UNIT * _JPEG_UNIT for f, w in zip(found, wanted, strict=True)
        )
        return images[:, top : top + wanted[0], left : left + wanted[1]]

    def _cut_tiles(self, planes: Planes, shrunk: int) -> Planes:
        """Cut planes into whole tiles from the top left; the tiles of one image are neighbours."""
        if self.tile_size is None:
            return planes
        height, width = (side // shrunk for side in self.tile_size)
        n, rows, columns = len(planes), planes.shape[1] // height, planes.shape[2] // width
        if min(rows, columns) < 1:
            return planes[:, :0, :0]  # too small; the caller raises the error
        whole = planes[:, : rows * height, : columns * width]
        tiles = whole.reshape(n, rows, height, columns, width).swapaxes(2, 3)
        return tiles.reshape(-1, height, width)

    def _size_error(self, shape: tuple[int, ...], minimum: tuple[int, int]) -> ValueError:
        factor = 2 if self.color_space == "ycbcr" else 1  # its colour planes are half as large
        needed = [side * factor for side in minimum]
        if self.tile_size is not None:
            needed = [max(n, t) for n, t in zip(needed, self.tile_size, strict=True)]
        what = "an image" if self.tile_size is None else f"tile_size={self.tile_size} or an image"
        return ValueError(
            f"{type(self).__name__}: {what} of {shape[1]} x {shape[2]} pixels is too "
            f"small; these parameters need a size of at least {needed[0]} x {needed[1]}. Leave "
            "such images out, or set `image_size` to bring all images to one size."
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features."""
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features)
        names = self._plane_names(self._settings())
        planes = PLANES[self.color_space]
        return np.array([f"{self._family}_{p}_{name}" for p in planes for name in names], object)
