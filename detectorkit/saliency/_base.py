"""Base class of all saliency maps, and functions that bring maps back to the images' shapes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import replace
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
from detectorkit.utils.validation import refuse_name

__all__ = [
    "Map",
    "Saliency",
    "check_map",
    "place_back",
    "read_pixels",
    "record_of",
    "resize_to_image",
    "window_of",
]

Map = NDArray[np.float32]


class Saliency(KeptMixin, TransformerMixin, _EstimatorBase, metaclass=ABCMeta):
    """Base class of all saliency maps.

    A subclass defines ``__init__`` with the parameters `detector` and `verbose`, and `_explain`.
    """

    detector: Any
    verbose: bool

    @abstractmethod
    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        """Check the parameters and return a function from the index of an image to its map."""

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002 - for pipelines
        """Check that the detector is fitted; nothing is learned.

        Parameters
        ----------
        X : object, default=None
            Ignored; present for use in pipelines.
        y : object, default=None
            Ignored; present for use in pipelines.

        Returns
        -------
        self : object
            The explainer itself, unchanged.
        """
        refuse_name(type(self).__name__, self.detector)
        check_is_fitted(self.detector)
        return self

    def transform(self, X: Any) -> Map | list[Map]:
        """Compute the saliency maps of images.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.

        Returns
        -------
        maps : ndarray of shape (n_samples, height, width), dtype float32, or list of ndarray
            One map for each image, of its height and width. A list if the shapes differ.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded; it names the path and its index.
        ModelFileError
            If the detector cannot be explained by this method; the message names one that works.
        ValueError
            If a parameter is wrong, or X is not a set of images.
        """
        refuse_name(type(self).__name__, self.detector)
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


def check_map(subject: str, found: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Check that a map of a user has the shape of its image, and that its values are numbers."""
    values = np.asarray(found)
    if values.shape != shape:
        problem = f"has shape {values.shape}, its image {shape}"
    elif values.dtype.kind not in "fiub" or not np.isfinite(values).all() or np.ma.is_masked(found):
        problem = "has values that are not finite numbers, or masked"
    else:
        return values
    raise ValueError(f"{subject} {problem}. Pass the map that `transform` returned for this image.")


def record_of(session: Any) -> ModelRecord:
    """Return the record of a detector from a session of its graph or of its gradient.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Session of a graph that holds a record.

    Returns
    -------
    record : ModelRecord
        Record in the metadata of the graph.
    """
    return ModelRecord.from_json(session.get_modelmeta().custom_metadata_map[RECORD_KEY])


def read_pixels(
    images: ImageSequence, index: int, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Read an image in the form that a detector takes.

    Parameters
    ----------
    images : ImageSequence
        Images, one of which is read.
    index : int
        Position of the image in `images`.
    preprocessing : Preprocessing
        Preprocessing of images for the detector.

    Returns
    -------
    pixels : ndarray of shape (n, height, width) or (n, height, width, 3), dtype float32
        Levels from 0 to 255; n is the number of crops, or 1 for a whole image.
    """
    pixels = to_levels(images.read(index, preprocessing))
    if preprocessing.n_crops is None:
        pixels = pixels[np.newaxis]
    return np.ascontiguousarray(pixels, np.float32)


def resize_to_image(
    found: Map, images: ImageSequence, index: int, preprocessing: Preprocessing
) -> Map:
    """Resize the map of an image, or put together those of its crops, to the image's shape.

    Parameters
    ----------
    found : ndarray of shape (n, height, width)
        The map of the whole image (n is 1), or one map for each crop.
    images : ImageSequence
        Images, one of which is read.
    index : int
        Position of the image in `images`.
    preprocessing : Preprocessing
        Preprocessing of images for the detector.

    Returns
    -------
    placed : ndarray of shape (height, width), dtype float32
        Map of the image's height and width.
    """
    maps = found if preprocessing.n_crops is not None else found[0]
    contiguous = np.ascontiguousarray(maps, np.float32)
    return place_back(contiguous, images.shape_of(index), preprocessing)


def window_of(preprocessing: Preprocessing, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the part of an image that is left after the treatment."""
    if preprocessing.treatment is None:
        return slice(0, shape[0]), slice(0, shape[1])
    return preprocessing.treatment.window(shape)


def place_back(found: Map, shape: tuple[int, int], preprocessing: Preprocessing) -> Map:
    """Resize a map of the detector's input, or put together those of crops, to the image's shape.

    Parameters
    ----------
    found : ndarray of shape (height, width), or (n_crops, height, width) where there are crops
        The map of what the detector saw.
    shape : tuple of (int, int)
        Height and width of the image.
    preprocessing : Preprocessing
        Preprocessing by which the image became the detector's input.

    Returns
    -------
    placed : ndarray of that shape, dtype float32
        The resized map: the mean where crops overlap, and 0 where there is none or where the
        treatment cut the image off.
    """
    if preprocessing.treatment is not None:
        side = preprocessing.treatment.side
        seen = place_back(found, (side, side), replace(preprocessing, treatment=None))
        placed = np.zeros(shape, np.float32)
        part = placed[window_of(preprocessing, shape)]
        part[:] = _resized(seen, (part.shape[0], part.shape[1]))
        return placed
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
    # Averaging keeps the thin lines of a map that is reduced.
    way = cv2.INTER_AREA if found.shape[0] > shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(found, shape[::-1], interpolation=way), np.float32)
