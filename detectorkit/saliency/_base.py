"""What all maps share: a fitted detector, images of any form, maps of the images' shapes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from detectorkit.base import _EstimatorBase
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.images.crops import crop_places
from detectorkit.images.levels import to_levels
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.saliency._kept import KeptMixin
from detectorkit.utils.progress import track

__all__ = [
    "Map",
    "Saliency",
    "place_back",
    "read_pixels",
    "record_of",
    "resize_to_image",
]

Map = NDArray[np.float32]


class Saliency(KeptMixin, TransformerMixin, _EstimatorBase, metaclass=ABCMeta):
    """Base of the maps.

    A subclass defines ``__init__`` with the parameters `detector` and `verbose`, and `_explain`.
    """

    detector: Any
    verbose: bool

    @abstractmethod
    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        """Check the parameters; give what makes the map of the image at a position."""

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002 - for pipelines
        """Check that the detector is fitted; nothing is learned.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The same.
        """
        check_is_fitted(self.detector)
        return self

    def transform(self, X: Any) -> Map | list[Map]:
        """Make the maps.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes) or of paths.

        Returns
        -------
        maps : ndarray of shape (n_samples, height, width), dtype float32, or list of ndarray
            One map an image, of the image's height and width. A list, if these differ.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ModelFileError
            If the detector cannot be explained in this way; the message names a way that works.
        ValueError
            If a parameter is wrong, or X is no set of images.
        """
        check_is_fitted(self.detector)
        images = check_images(X, caller=type(self).__name__)
        explain = self._explain(images)
        # `track` counts the images of each part; here a part is one.
        jobs = ([explain(index)] for index in range(len(images)))
        maps = [one[0] for one in track("Explaining", jobs, len(images), show=self.verbose)]
        if len({one.shape for one in maps}) == 1:
            return np.stack(maps)
        return maps

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def record_of(session: Any) -> ModelRecord:
    """Give what a detector says of itself, from a session of its graph or of its gradient.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The session.

    Returns
    -------
    record : ModelRecord
        The record.
    """
    return ModelRecord.from_json(session.get_modelmeta().custom_metadata_map[RECORD_KEY])


def read_pixels(
    images: ImageSequence, index: int, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Read an image as a detector sees it.

    Parameters
    ----------
    images : ImageSequence
        The images.
    index : int
        Which.
    preprocessing : Preprocessing
        How it is prepared.

    Returns
    -------
    pixels : ndarray of shape (n, height, width) or (n, height, width, 3), dtype float32
        Levels from 0 to 255; n is 1, or the number of crops.
    """
    pixels = to_levels(images.read(index, preprocessing))
    if preprocessing.n_crops is None:
        pixels = pixels[np.newaxis]
    return np.ascontiguousarray(pixels, np.float32)


def resize_to_image(
    found: Map, images: ImageSequence, index: int, preprocessing: Preprocessing
) -> Map:
    """Bring the map of an image, or those of its crops, back to the image's shape.

    Parameters
    ----------
    found : ndarray of shape (n, height, width)
        The map, or one for each crop.
    images : ImageSequence
        The images.
    index : int
        Which.
    preprocessing : Preprocessing
        How the image is prepared.

    Returns
    -------
    placed : ndarray of shape (height, width), dtype float32
        As large as the image.
    """
    maps = found if preprocessing.n_crops is not None else found[0]
    contiguous = np.ascontiguousarray(maps, np.float32)
    return place_back(contiguous, images.shape_of(index), preprocessing)


def place_back(found: Map, shape: tuple[int, int], preprocessing: Preprocessing) -> Map:
    """Bring a map from what a detector saw back to the image.

    Parameters
    ----------
    found : ndarray of shape (height, width), or (n_crops, height, width) where there are crops
        The map of what the detector saw.
    shape : tuple of (int, int)
        Height and width of the image.
    preprocessing : Preprocessing
        How the image became that.

    Returns
    -------
    placed : ndarray of that shape, dtype float32
        Resized; of crops that overlap the mean, and 0 where there is none.
    """
    if preprocessing.n_crops is None:
        return _resized(found, shape)
    size = preprocessing.image_size or shape
    covered, places = crop_places(shape, size, preprocessing.n_crops)
    total, count = np.zeros(covered, np.float32), np.zeros(covered, np.float32)
    for (top, left), part in zip(places, found, strict=True):
        window = np.s_[top : top + size[0], left : left + size[1]]
        total[window] += part
        count[window] += 1
    return _resized(np.divide(total, np.maximum(count, 1), dtype=np.float32), shape)


def _resized(found: Map, shape: tuple[int, int]) -> Map:
    if found.shape == shape:
        return found
    # Of a large map the mean is taken, so that no thin line is lost.
    way = cv2.INTER_AREA if found.shape[0] > shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(found, shape[::-1], interpolation=way), np.float32)
