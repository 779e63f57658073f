"""Occlusion maps: the change of the score when a part of the image is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from detectorkit.images.preprocessing import Image
from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._base import Map, Saliency
from detectorkit.saliency._seen import SeenImage
from detectorkit.saliency.replacements import REPLACEMENTS, make_replacement
from detectorkit.utils.validation import check_choice, check_integer, check_pair, parameter_error

__all__ = ["OcclusionSaliency", "predict_mixtures"]

_MOST_PIXELS: Final = 2**25  # in all copies of an image that are in memory
_SHARE: Final = 8  # the default window is this fraction of each side of the image


class OcclusionSaliency(Saliency):
    """Explain a score by how it changes when parts of the image are replaced.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : estimator
        Any fitted binary classifier of images, such as a pipeline of scikit-learn. Its
        `decision_function` is used, or otherwise the logit of the probability of ``classes_[1]``
        by `predict_proba`.
    window_shape : tuple of (int, int), default=None
        Height and width of the window, in pixels of the image as the detector sees it. None takes
        an eighth of the height and of the width, so that every map has 225 windows or so.
    strides : tuple of (int, int), default=None
        Number of rows and columns from one window to the next; at most the height and width of a
        window, so that every pixel is covered. None takes half a window.
    replacement : {"blur", "patch", "jpeg", "mean"}, default="blur"
        Replacement of a window: the same place of the blurred image; of the image moved by half
        of its sides, which is texture of the same image; of the image as a JPEG of quality 10; or
        the mean colour of the image. See `detectorkit.saliency.replacements`.
    batch_size : int, default=32
        Number of copies of an image that are held in memory and scored together.
    verbose : bool, default=False
        Whether `transform` shows its progress on standard error.

    See Also
    --------
    GradientSaliency : Maps of detectors that are graphs, at the cost of one gradient.
    detectorkit.saliency.metrics.deletion.deletion_insertion : Test of a map by replaced pixels.

    Notes
    -----
    A map is signed. At each pixel it is the mean, over the windows that cover it, of the score of
    the image less the score of the image with the window replaced: positive where the pixels speak
    for "generated". Zeiler and Fergus [1]_ replace by grey and show the score itself, at the place
    of the window's centre. Replaced pixels are evidence too, and a blurred patch often one of
    "generated", so compare the maps of several replacements.

    The windows are replaced in the image after the detector's treatment, and the map is brought
    back to its place in the original image; what the treatment cuts off has the value 0. With
    ``window_shape=None``, images of more than 2**18 pixels are first shrunk to the size that the
    detector works at, or, for detectors at native resolution, to that number of pixels: the map
    then explains the score of the smaller image.

    The last window of a row or column is moved to the border of the image. A map costs one score
    for each window. The detector's own `n_jobs` sets the number of threads.

    The detector gets arrays of shape (n, height, width) for grey images and (n, height, width, 3)
    for others, of dtype uint8, or float32 from 0 to 1 if the images are floats.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV
       2014, :doi:`10.1007/978-3-319-10590-1_53`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from detectorkit.features import HoGTransformer
    >>> from detectorkit.saliency.occlusion import OcclusionSaliency
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    >>> detector = make_pipeline(HoGTransformer(), LogisticRegression()).fit(X, [0, 1] * 4)
    >>> OcclusionSaliency(detector).transform(X[:2]).shape
    (2, 32, 32)
    """

    def __init__(
        self,
        detector: Any,
        *,
        window_shape: tuple[int, int] | None = None,
        strides: tuple[int, int] | None = None,
        replacement: Literal["blur", "patch", "jpeg", "mean"] = "blur",
        batch_size: int = 32,
        verbose: bool = False,
    ) -> None:
        self.detector = detector
        self.window_shape = window_shape
        self.strides = strides
        self.replacement = replacement
        self.batch_size = batch_size
        self.verbose = verbose

    def _explain(self, images: ImageSequence) -> Callable[[int], Map]:
        if self.window_shape is not None:
            self._check_strides(check_pair(self, "window_shape"))  # before anything is scored
        replacement = check_choice(self, "replacement", tuple(REPLACEMENTS))
        batch_size = check_integer(self, "batch_size", minimum=1)

        def explain(index: int) -> Map:
            seen = SeenImage(self.detector, images, index, shrinks=self.window_shape is None)
            image = seen.image
            shape = image.shape[0], image.shape[1]
            window = self._window(shape)
            strides = self._check_strides(window)
            if window[0] > shape[0] or window[1] > shape[1]:
                expected = f"no larger than the images; image {index} has the shape {shape}"
                raise parameter_error(self, "window_shape", expected)
            places = list(_windows(shape, window, strides))
            masks = (_mask(shape, place) for place in places)
            other = make_replacement(image, replacement)
            at_once = max(1, min(batch_size, _MOST_PIXELS // (shape[0] * shape[1])))
            scores = predict_mixtures(seen.score, image, other, masks, batch_size=at_once)
            own = seen.score(image[np.newaxis])[0]
            return seen.place_back(_mean_over_windows(shape, places, own - scores))

        return explain

    def _window(self, shape: tuple[int, int]) -> tuple[int, int]:
        if self.window_shape is None:
            return max(shape[0] // _SHARE, 1), max(shape[1] // _SHARE, 1)
        return check_pair(self, "window_shape")

    def _check_strides(self, window: tuple[int, int]) -> tuple[int, int]:
        if self.strides is None:
            return max(window[0] // 2, 1), max(window[1] // 2, 1)
        strides = check_pair(self, "strides")
        if strides[0] > window[0] or strides[1] > window[1]:
            expected = f"no larger than window_shape={window}, so that every pixel is covered"
            raise parameter_error(self, "strides", expected)
        return strides


def _windows(
    shape: tuple[int, int], window: tuple[int, int], strides: tuple[int, int]
) -> Iterator[tuple[slice, slice]]:
    """Yield the places of the windows, the last of each row and column at the border."""
    rows, columns = (
        [*range(0, length - side, stride), length - side]
        for length, side, stride in zip(shape, window, strides, strict=True)
    )
    for top in rows:
        for left in columns:
            yield slice(top, top + window[0]), slice(left, left + window[1])


def _mask(shape: tuple[int, int], place: tuple[slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[place] = True
    return mask


def _mean_over_windows(
    shape: tuple[int, int], places: list[tuple[slice, slice]], values: NDArray[np.float64]
) -> Map:
    """Compute at each pixel the mean value of the windows that cover it."""
    total, count = np.zeros(shape), np.zeros(shape)
    for place, value in zip(places, values, strict=True):
        total[place] += value
        count[place] += 1
    return (total / count).astype(np.float32)


def predict_mixtures(
    predict: Callable[[NDArray[Any]], NDArray[np.float64]],
    image: Image,
    other: Image,
    masks: Iterable[NDArray[np.bool_]],
    *,
    batch_size: int,
) -> NDArray[np.float64]:
    """Predict copies of an image in which some pixels are those of another image."""
    remaining, found = iter(masks), []
    while chunk := list(islice(remaining, batch_size)):
        chosen = np.stack(chunk)
        if image.ndim == 3:
            chosen = chosen[..., np.newaxis]
        found.append(predict(np.where(chosen, other, image)))
    return np.concatenate(found)
