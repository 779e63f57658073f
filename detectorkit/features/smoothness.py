"""Statistics of how smooth a texture is, in the whole image or on skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from detectorkit.features._planes import NativeTransformer, Planes, PlaneSpace, check_planes
from detectorkit.features.glcm import ANGLES, PROPERTIES, are_distinct_integers, glcm_properties
from detectorkit.features.skin import Masks, check_mask, skin_mask
from detectorkit.images.levels import round_to_levels
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.utils.validation import check_choice, parameter_error

__all__ = ["SmoothnessTransformer", "smoothness_statistics"]

Region = Literal["image", "skin"]

PERCENTS: Final = (5, 25, 50, 75, 95)
"""Quantiles of the local variance, in ascending order."""

MIN_PIXELS: Final = 64
"""Minimum number of pixels in a mask; statistics of fewer would mean nothing."""

LARGEST_WINDOW: Final = 31
"""Largest window, in pixels, for which sums of 8-bit squares are exact in float32."""

MSCN_WINDOW: Final = 7
MSCN_SIGMA: Final = 7 / 6
MSCN_OFFSET: Final = 1.0
"""Constants of the paper, the first two in pixels, the last in grey levels."""

MSCN_NAMES: Final = ("sd", "log_kurtosis", "shape", "scale")

# Below this standard deviation, coefficients are rounding errors of an image of one level.
_FLAT: Final = 1e-4


def smoothness_statistics(
    images: NDArray[Any],
    *,
    window_sizes: Sequence[int] = (3, 5, 9),
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Describe grey images by how smooth they are.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to
        8 bits. Both sides must be at least as long as the largest window, and 7 pixels.
    window_sizes : sequence of int, default=(3, 5, 9)
        Sides of the square windows of the local variance, in pixels; odd, from 3 to 31.
    mask : ndarray of shape (n_samples, height, width), dtype bool, default=None
        True where a pixel counts. All pixels of an image count if the mask leaves fewer than 64
        of it, or if the mask is None.

    Returns
    -------
    features : ndarray of shape (n_samples, 5 * n_windows + 5), dtype float32
        For each window, the 5, 25, 50, 75 and 95 % quantiles of the logarithm of 1 + the local
        variance. Then the total variation. Then, of the normalised coefficients, the standard
        deviation, the logarithm of the kurtosis (a normal distribution has the kurtosis 3), and
        the shape and the scale of a generalised normal distribution. All are at least 0; smoother
        images have lower variances and a lower total variation.

    Raises
    ------
    ValueError
        If the images or the mask have a wrong form, the images are too small, or a window size
        is wrong.

    See Also
    --------
    SmoothnessTransformer : The same for images of any form and size.
    skin_mask : A mask of skin.

    Notes
    -----
    Let m be half the largest window, rounded down, and at least 3. A pixel counts if it is at least
    m pixels away from the border, and in the mask. Its values depend on the pixels up to m rows
    and columns away, including those outside the mask.

    The *local variance* is the variance of all pixels of the window, in squared grey levels. A
    *quantile* is a value that occurs: the smallest value such that at least this proportion of the
    pixels does not exceed it. The
    *total variation* is the mean of ``|x[i, j + 1] - x[i, j]| + |x[i + 1, j] - x[i, j]|``, in grey
    levels.

    The *normalised coefficients* (MSCN) are ``(x - mean) / (sd + 1)``, with mean and standard
    deviation under a Gaussian window of 7 x 7 pixels and sigma 7/6, as in the paper [1]_. There, as
    here, a distribution with density proportional to ``exp(-(abs(t) / scale) ** shape)`` is fitted
    by the ratio of the squared mean magnitude and the mean square; shapes are from 0.2 to 10. The
    paper reports the variance instead of the scale, and does not use the kurtosis. An image of one
    level is given the kurtosis 3, the shape 2 and the scale 0.

    References
    ----------
    .. [1] Mittal, A., Moorthy, A. K. and Bovik, A. C. (2012). No-reference image quality assessment
       in the spatial domain. IEEE Transactions on Image Processing, 21(12), 4695-4708.
       :doi:`10.1109/TIP.2012.2214050`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import smoothness_statistics
    >>> smoothness_statistics(np.zeros((2, 64, 64), dtype=np.uint8)).shape
    (2, 20)
    """
    if not _are_window_sizes(window_sizes):
        raise ValueError(f"smoothness_statistics: {window_sizes=} must be {_WINDOW_SIZES}.")
    side = _min_side(window_sizes)
    planes = check_planes("smoothness_statistics", images, (side, side))
    mask = check_mask("smoothness_statistics", mask, planes.shape)
    filled = None if mask is None else _filled(mask, side // 2)
    features = np.empty((len(planes), len(_names(window_sizes))), np.float32)
    for index, (plane, row) in enumerate(zip(planes, features, strict=True)):
        where = None if filled is None else filled[index]
        row[:] = _describe(_Plane(plane, side // 2, where), window_sizes)
    return features


_WINDOW_SIZES: Final = f"one or more different odd whole numbers from 3 to {LARGEST_WINDOW}"


def _are_window_sizes(values: Any) -> bool:
    is_good = are_distinct_integers(values, minimum=3, most=LARGEST_WINDOW)
    return is_good and all(size % 2 for size in values)


def _min_side(window_sizes: Sequence[int]) -> int:
    return int(max(*window_sizes, MSCN_WINDOW))


def _names(window_sizes: Sequence[int]) -> list[str]:
    variances = [f"variance{size}_q{p:02}" for size in window_sizes for p in PERCENTS]
    return [*variances, "total_variation", *(f"mscn_{name}" for name in MSCN_NAMES)]


def _filled(mask: Masks, margin: int) -> Masks:
    """Replace masks that leave too few pixels within the margin by masks of all pixels."""
    inner = mask[:, margin : mask.shape[1] - margin, margin : mask.shape[2] - margin]
    is_small = inner.sum(axis=(1, 2), keepdims=True) < MIN_PIXELS
    return mask | is_small


class _Plane:
    """The pixels of a grey image, and which of them count."""

    def __init__(self, levels: NDArray[np.uint8], margin: int, mask: Masks | None) -> None:
        # Around zero, squares are a quarter as large, and so are the rounding errors of sums.
        self.pixels = levels.astype(np.int16) - np.int16(128)
        self.squares = self.pixels * self.pixels  # at most 128 * 128
        self._levels, self._margin = levels, margin
        self._where = None if mask is None else self._shifted(mask, 0, 0)

    def take(self, field: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the values of a field at the pixels that count."""
        inner = self._shifted(field, 0, 0)
        return inner.flatten() if self._where is None else inner[self._where]

    def variation(self) -> float:
        """Compute the total variation of the pixels that count."""
        here = self._shifted(self._levels, 0, 0)
        where = None if self._where is None else self._where.view(np.uint8)
        total = 0.0
        for down, right in ((0, 1), (1, 0)):
            there = self._shifted(self._levels, down, right)
            total += cv2.norm(here, there, cv2.NORM_L1, where)
        return total / (here.size if where is None else int(where.sum()))

    def _shifted(self, field: NDArray[Any], down: int, right: int) -> NDArray[Any]:
        height, width = field.shape
        m = self._margin
        return field[m + down : height - m + down, m + right : width - m + right]


def _describe(plane: _Plane, window_sizes: Sequence[int]) -> list[float]:
    """Compute the features of one image."""
    features: list[float] = []
    for size in window_sizes:
        scaled = _quantiles(plane.take(_scaled_variance(plane, size))).astype(np.float64)
        # Rounding may make it slightly negative.
        features.extend(np.log1p(np.maximum(scaled, 0) / size**4))
    return [*features, plane.variation(), *_moments(plane.take(_normalised(plane)))]


def _scaled_variance(plane: _Plane, size: int) -> NDArray[np.float32]:
    """Compute the variance in the window around each pixel, times the squared pixel count."""
    total, square = _window_sums(plane.pixels, size), _window_sums(plane.squares, size)
    # Both sums are exact, so that an area of one level has a variance of exactly 0.
    np.multiply(square, size * size, out=square)
    np.multiply(total, total, out=total)
    return np.subtract(square, total, out=square)


def _window_sums(field: NDArray[np.int16], size: int) -> NDArray[np.float32]:
    # OpenCV adds 16-bit integers up as integers, which is faster than floats.
    sums = cv2.boxFilter(field, cv2.CV_32F, (int(size), int(size)), normalize=False)
    return np.asarray(sums, np.float32)


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the quantiles `PERCENTS` of values, which are reordered in place."""
    # A partition at one rank is fast, a partition at several is not. So partition at one rank
    # after the other, from the highest to the lowest, each time only the values below the last.
    ranks = [max(-(-percent * len(values) // 100) - 1, 0) for percent in PERCENTS]
    end = len(values)
    for rank in reversed(ranks):
        if rank < end:
            values[:end].partition(rank)
            end = rank
    return values[ranks]


def _normalised(plane: _Plane) -> NDArray[np.float32]:
    """Compute the normalised coefficients: each pixel without its local mean and contrast."""
    pixels = plane.pixels.astype(np.float32)
    mean, spread = _gaussian_mean(pixels), _gaussian_mean(plane.squares.astype(np.float32))
    np.subtract(pixels, mean, out=pixels)
    np.multiply(mean, mean, out=mean)
    np.subtract(spread, mean, out=spread)
    # Rounding may make it slightly negative.
    np.sqrt(np.abs(spread, out=spread), out=spread)
    np.add(spread, MSCN_OFFSET, out=spread)
    return np.divide(pixels, spread, out=pixels)


def _gaussian_mean(field: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(field, (MSCN_WINDOW, MSCN_WINDOW), MSCN_SIGMA), np.float32)


def _moments(values: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Compute the statistics `MSCN_NAMES` of values, which are changed in place."""
    n = len(values)
    # These OpenCV functions sum in float64 without a copy of the array.
    mean = cv2.sumElems(values)[0] / n
    magnitude = cv2.norm(values, cv2.NORM_L1) / n
    square = cv2.norm(values, cv2.NORM_L2SQR) / n
    variance = square - mean * mean
    if variance < _FLAT * _FLAT:
        return 0.0, float(np.log(3)), 2.0, 0.0
    values -= np.float32(mean)
    values *= values
    fourth = cv2.norm(values, cv2.NORM_L2SQR) / n
    shapes, ratios = _shape_table()
    shape = float(np.interp(magnitude * magnitude / square, ratios, shapes))
    scale = float(np.sqrt(square * np.exp(gammaln(1 / shape) - gammaln(3 / shape))))
    kurtosis = max(fourth / variance**2, 1.0)  # the smallest possible kurtosis, but for rounding
    return float(np.sqrt(variance)), float(np.log(kurtosis)), shape, scale


@lru_cache(maxsize=1)
def _shape_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate shapes and, for each, the squared mean magnitude over the mean square."""
    shapes = np.arange(200, 10001) / 1000
    ratios = np.exp(2 * gammaln(2 / shapes) - gammaln(1 / shapes) - gammaln(3 / shapes))
    return shapes, ratios


class SmoothnessTransformer(NativeTransformer):
    """Describe images by how smooth their texture is.

    Generated skin is often said to be too smooth. These statistics measure smoothness: local
    variances, the total variation, the distribution of the normalised coefficients that measures of
    image quality use, and grey-level co-occurrences. Focus, noise reduction, compression and
    resizing change them as well, so give all images the same treatment first.

    Read more in the :ref:`User Guide <smoothness>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    window_sizes : tuple of int, default=(3, 5, 9)
        Sides of the square windows of the local variance, in pixels; odd, from 3 to 31.
    glcm_distances : tuple of int, default=(1,)
        Distances, in pixels, between the two pixels of a pair whose grey levels are counted. An
        empty tuple leaves co-occurrences out.
    region : {"image", "skin"}, default="image"
        Pixels that count: all, or those that have the colour of skin (see `skin_mask`). If fewer
        than 64 pixels of an image or a tile are skin, all of them count; that is always so for
        images in shades of grey.
    color_space : {"gray", "rgb", "ycbcr"}, default="gray"
        Colour space of the planes, which are described one after the other. In "ycbcr", the colour
        differences have half the height and width, as in most JPEG files.
    crop_size : tuple of (int, int), default=None
        Height and width in pixels of the central crop that is described; it begins at a multiple
        of 16 pixels. None takes the whole image.
    tile_size : tuple of (int, int), default=None
        Height and width in pixels of the tiles that an image is cut into; its features are the
        means over the tiles. None describes the image as a whole.
    image_size : tuple of (int, int), default=None
        Height and width to which images are resized first, which changes how smooth they are.
        None takes every image at its native resolution.
    input_shape : tuple of int, default=None
        The shape of one image, (height, width) or (height, width, n_channels), where X is a
        2-D array of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context; -1
        means all processors.

    Attributes
    ----------
    n_features_out_ : int
        Number of features of an image. Each plane has 5 for each window, 5 others, and 16 for
        each distance.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    smoothness_statistics : The first part for one array of grey images, with the formulas.
    glcm_properties : The second part for one array of grey images, with the formulas.
    skin_mask : Find the pixels that have the colour of skin.

    Notes
    -----
    Images, crops and tiles must be at least as high and wide as the largest window, 7 pixels, and
    the largest distance plus 1; in "ycbcr", twice as much. Floats are rounded to 8 bits.

    References
    ----------
    .. [1] Mittal, A., Moorthy, A. K. and Bovik, A. C. (2012). No-reference image quality assessment
       in the spatial domain. IEEE Transactions on Image Processing, 21(12), 4695-4708.
       :doi:`10.1109/TIP.2012.2214050`
    .. [2] Haralick, R. M., Shanmugam, K. and Dinstein, I. (1973). Textural features for image
       classification. IEEE Transactions on Systems, Man, and Cybernetics, SMC-3(6), 610-621.
       :doi:`10.1109/TSMC.1973.4309314`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import SmoothnessTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> SmoothnessTransformer(region="skin").fit_transform(images).shape
    (4, 36)
    """

    _family = "smoothness"

    def __init__(
        self,
        *,
        window_sizes: tuple[int, ...] = (3, 5, 9),
        glcm_distances: tuple[int, ...] = (1,),
        region: Region = "image",
        color_space: PlaneSpace = "gray",
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.window_sizes = window_sizes
        self.glcm_distances = glcm_distances
        self.region = region
        self.color_space = color_space
        self.crop_size = crop_size
        self.tile_size = tile_size
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def _check_parameters(self) -> Preprocessing:
        preprocessing = super()._check_parameters()
        if self.region == "skin":
            return replace(preprocessing, color_space="rgb")
        return preprocessing

    def _settings(self) -> dict[str, Any]:
        check_choice(self, "region", ("image", "skin"))
        if not _are_window_sizes(self.window_sizes):
            raise parameter_error(self, "window_sizes", _WINDOW_SIZES)
        distances: Any = self.glcm_distances
        is_empty = isinstance(distances, tuple | list) and not distances
        if not is_empty and not are_distinct_integers(distances, minimum=1):
            expected = "different whole numbers of at least 1, or an empty tuple"
            raise parameter_error(self, "glcm_distances", expected)
        return {"window_sizes": self.window_sizes, "distances": distances}

    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        sizes, distances = settings["window_sizes"], settings["distances"]
        mask = settings.get("mask")
        if mask is not None:
            # Co-occurrences use the same pixels as the other statistics: all, if few are skin.
            mask = _filled(mask.view(bool), _min_side(sizes) // 2)
        parts = [smoothness_statistics(planes, window_sizes=sizes, mask=mask)]
        if len(distances) > 0:
            parts.append(glcm_properties(planes, distances=distances, mask=mask))
        return np.concatenate(parts, axis=1)

    def _compute(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        if self.region == "image":
            return super()._compute(batch)
        split = self._split(batch)
        skin = skin_mask(self._crop(round_to_levels(batch))).view(np.uint8)
        masks = [skin]
        for planes in split[1:]:
            step = skin.shape[1] // planes.shape[1]  # 2 if the plane has half the height
            masks.append(skin[:, ::step, ::step][:, : planes.shape[1], : planes.shape[2]])
        return self._compute_planes(split, batch.shape, masks)

    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:
        side = max([_min_side(settings["window_sizes"]), *(d + 1 for d in settings["distances"])])
        return side, side

    def _plane_names(self, settings: dict[str, Any]) -> list[str]:
        pairs = [
            f"glcm{distance}_{angle}_{name}"
            for distance in settings["distances"]
            for angle in ANGLES
            for name in PROPERTIES
        ]
        return [*_names(settings["window_sizes"]), *pairs]
