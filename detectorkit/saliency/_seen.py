"""An image as a detector sees it, of which parts can be replaced and scored in bounded time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.graph.record import ModelRecord
from detectorkit.images.preprocessing import Image, Preprocessing, resize_image
from detectorkit.images.sequence import ImageSequence
from detectorkit.metrics.scoring import unbounded_scores
from detectorkit.saliency._base import Map, place_back

__all__ = ["SeenImage", "explained_shape", "read_as_given"]

_MOST_PIXELS: Final = 2**18  # so that a photograph of any size is explained in seconds


class SeenImage:
    """An image after the detector's treatment, shrunk if it is large.

    A detector without a record, such as a pipeline, gets the image as it is.

    Attributes
    ----------
    image : ndarray of shape (height, width) or (height, width, 3)
        The image whose parts are to be replaced.
    """

    def __init__(
        self, detector: Any, images: ImageSequence, index: int, *, shrinks: bool = True
    ) -> None:
        record: ModelRecord | None = getattr(detector, "record_", None)
        self._detector = detector
        self._shape = images.shape_of(index)
        self._preprocessing = Preprocessing(None, "rgb")
        if record is not None:
            space, treatment = record.preprocessing.color_space, record.preprocessing.treatment
            self._preprocessing = Preprocessing(None, space, treatment=treatment)
        self._is_treated = self._preprocessing.treatment is not None
        image: Any = (
            images.read(index, self._preprocessing)
            if self._is_treated
            else read_as_given(images, index)
        )
        if record is not None and shrinks:
            image = resize_image(image, explained_shape(record, image.shape[:2]))
        self.image: Image = image

    def score(self, batch: NDArray[Any]) -> NDArray[np.float64]:
        """Score changed copies of the image."""
        X: Any = ImageSequence(batch, is_treated=True) if self._is_treated else batch
        return unbounded_scores(self._detector, X)

    def place_back(self, found: Map) -> Map:
        """Convert a map of `image` to the shape of the original image."""
        return place_back(found, self._shape, self._preprocessing)


def explained_shape(record: ModelRecord, shape: tuple[int, int]) -> tuple[int, int]:
    """Compute the size of a treated image in which parts are replaced."""
    preprocessing = record.preprocessing
    depends_on_size = any(
        family["name"] == "hog" and family.get("image_size") is None for family in record.features
    )
    if shape[0] * shape[1] <= _MOST_PIXELS:
        return shape
    if preprocessing.image_size is not None and preprocessing.n_crops is None:
        return preprocessing.image_size
    if depends_on_size:
        return shape  # the detector takes images of one size only
    factor = math.sqrt(_MOST_PIXELS / (shape[0] * shape[1]))
    return max(int(factor * shape[0]), 1), max(int(factor * shape[1]), 1)


def read_as_given(images: ImageSequence, index: int) -> Image:
    """Read an image in its own colours, size and values."""
    shape = getattr(images.items[index], "shape", (0, 0, 3))
    is_gray = len(shape) == 2 or shape[2] == 1
    return images.read(index, Preprocessing(None, "gray" if is_gray else "rgb", as_uint8=False))
