"""Histograms of local binary patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.features._planes import NativeTransformer, Planes, PlaneSpace, check_planes
from detectorkit.utils.validation import check_argument, check_choice, check_integer, check_pair

__all__ = ["LBPTransformer", "code_numbers", "lbp_histograms", "tile_map"]

Neighborhood = Literal["square", "circle"]
Codes = Literal["uniform", "default"]

NEIGHBORHOODS: Final = ("square", "circle")
CODES: Final = ("uniform", "default")
N_NEIGHBORS: Final = 8
N_UNIFORM: Final = 59

# From the right, counter-clockwise, as (row, column): the order of the bits in scikit-image.
STEPS: Final = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def lbp_histograms(
    images: NDArray[Any],
    *,
    radius: int = 1,
    neighborhood: Neighborhood = "square",
    codes: Codes = "uniform",
    grid: tuple[int, int] = (1, 1),
    root: bool = False,
) -> NDArray[np.float32]:
    """Describe grey images by histograms of their local binary patterns.

    Each pixel gets a code of 8 bits: which of its 8 neighbours are at least as bright as it.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to 8
        bits. Each side needs ``2 * radius`` pixels and one more for each row or column of the grid.
    radius : int, default=1
        Distance of the neighbours in pixels.
    neighborhood : {"square", "circle"}, default="square"
        Shape of the neighbourhood. "square" takes the 8 pixels at the corners and edges of a
        square, as the first paper does [1]_; it is exact and fast. "circle" takes points on a
        circle and interpolates bilinearly between pixels, as the second paper [2]_ and
        scikit-image do.
    codes : {"uniform", "default"}, default="uniform"
        Codes that are told apart. "default" counts each of the 256 codes. "uniform" counts each of
        the 58 codes with at most two changes between 0 and 1 around the circle, and all other
        codes together.
    grid : tuple of (int, int), default=(1, 1)
        Numbers of rows and columns of tiles that the image is cut into. Each tile has a histogram
        of its own, in which positions are lost.
    root : bool, default=False
        Whether to return the square roots of the proportions. Linear methods then compare
        histograms by the Hellinger distance, in which common codes do not drown rare ones [3]_.

    Returns
    -------
    features : ndarray of shape (n_samples, rows * columns * n_codes), dtype float32
        Proportion of each code among the pixels of a tile, tile by tile, row after row.
        `n_codes` is 59 or 256.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small, or an option is unknown.

    See Also
    --------
    LBPTransformer : The same for images of any form and size.
    skimage.feature.local_binary_pattern : The codes of one image.

    Notes
    -----
    Codes and the numbers of the uniform ones ("nri_uniform") are those of scikit-image. Pixels
    closer to the border than `radius` get no code, while scikit-image sees zeros beyond it.

    References
    ----------
    .. [1] Ojala, T., Pietikäinen, M. and Harwood, D. (1996). A comparative study of texture
       measures with classification based on featured distributions. Pattern Recognition, 29(1).
       :doi:`10.1016/0031-3203(95)00067-4`
    .. [2] Ojala, T., Pietikäinen, M. and Mäenpää, T. (2002). Multiresolution gray-scale and
       rotation invariant texture classification with local binary patterns. TPAMI, 24(7).
       :doi:`10.1109/TPAMI.2002.1017623`
    .. [3] Arandjelović, R. and Zisserman, A. (2012). Three things everyone should know to improve
       object retrieval. CVPR. :doi:`10.1109/CVPR.2012.6248018`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import lbp_histograms
    >>> lbp_histograms(np.zeros((2, 64, 64), dtype=np.uint8), grid=(4, 4)).shape
    (2, 944)
    """
    check_argument("lbp_histograms", "neighborhood", neighborhood, NEIGHBORHOODS)
    check_argument("lbp_histograms", "codes", codes, CODES)
    minimum = 2 * radius + grid[0], 2 * radius + grid[1]
    planes = check_planes("lbp_histograms", images, minimum)
    find = _square_codes if neighborhood == "square" else _circle_codes
    numbers, n_codes = code_numbers(codes)
    inner = planes.shape[1] - 2 * radius, planes.shape[2] - 2 * radius
    tile, area = tile_map(*inner, *grid)
    first_bin = tile * n_codes
    features = np.empty((len(planes), len(area) * n_codes), np.float32)
    for plane, row in zip(planes, features, strict=True):
        bins = numbers[find(plane, radius)]
        bins += first_bin
        row[:] = np.bincount(bins.ravel(), minlength=len(row))
    shares = features.reshape(len(planes), len(area), n_codes)
    shares /= area[:, np.newaxis]
    return np.sqrt(features, out=features) if root else features


def _square_codes(plane: Planes, radius: int) -> Planes:
    """Compute the codes of a square; OpenCV's comparison is twice as fast as numpy's."""
    height, width = plane.shape[0] - 2 * radius, plane.shape[1] - 2 * radius
    center = plane[radius : radius + height, radius : radius + width]
    codes = np.zeros(center.shape, np.uint8)
    for bit, (down, right) in enumerate(STEPS):
        top, left = radius * (1 + down), radius * (1 + right)
        neighbor = plane[top : top + height, left : left + width]
        is_set: Any = cv2.compare(neighbor, center, cv2.CMP_GE)
        is_set &= np.uint8(1 << bit)
        codes |= is_set
    return codes


def _circle_codes(plane: Planes, radius: int) -> Planes:
    """Compute the codes of a circle, interpolated exactly as in scikit-image."""
    height, width = plane.shape[0] - 2 * radius, plane.shape[1] - 2 * radius
    levels = plane.astype(np.float64)
    center = levels[radius : radius + height, radius : radius + width]
    angles = 2 * np.pi * np.arange(N_NEIGHBORS) / N_NEIGHBORS
    rows, columns = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    codes = np.zeros(center.shape, np.uint8)
    for bit, (row, column) in enumerate(zip(rows, columns, strict=True)):
        # Rounding depends on the position of the pixel, and decides ties between equal values.
        y, x = radius + np.arange(height) + row, radius + np.arange(width) + column
        top, left = np.floor(y).astype(int), np.floor(x).astype(int)
        bottom, right = np.ceil(y).astype(int), np.ceil(x).astype(int)
        down, along = (y - top)[:, np.newaxis], x - left
        upper = (1 - along) * levels[top][:, left] + along * levels[top][:, right]
        lower = (1 - along) * levels[bottom][:, left] + along * levels[bottom][:, right]
        value = (1 - down) * upper + down * lower
        codes |= (value >= center).astype(np.uint8) << np.uint8(bit)
    return codes


@lru_cache(maxsize=2)
def code_numbers(codes: Codes) -> tuple[NDArray[np.intp], int]:
    """Return the histogram bin of each code, and the number of bins."""
    if codes == "default":
        return np.arange(256), 256
    numbers = np.full(256, N_UNIFORM - 1)
    for code in range(256):
        bits = [code >> bit & 1 for bit in range(N_NEIGHBORS)]
        changes = sum(bits[i] != bits[i - 1] for i in range(N_NEIGHBORS))
        if changes <= 2:
            numbers[code] = _uniform_number(bits)
    return numbers, N_UNIFORM


def _uniform_number(bits: list[int]) -> int:
    """Return the number that scikit-image gives to a uniform code."""
    n_set = sum(bits)
    if n_set in {0, N_NEIGHBORS}:
        return 0 if n_set == 0 else N_UNIFORM - 2
    first_set, first_clear = bits.index(1), bits.index(0)
    rotation = n_set - first_clear if first_set == 0 else N_NEIGHBORS - first_set
    return 1 + (n_set - 1) * N_NEIGHBORS + rotation


@lru_cache(maxsize=8)
def tile_map(
    height: int, width: int, rows: int, columns: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Cut an area into tiles of as nearly the same size as possible."""
    row_of, column_of = np.arange(height) * rows // height, np.arange(width) * columns // width
    tile = row_of[:, np.newaxis] * columns + column_of
    area = np.bincount(tile.ravel(), minlength=rows * columns)
    return tile, area.astype(np.float32)


class LBPTransformer(NativeTransformer):
    """Describe images by histograms of local binary patterns.

    The patterns compare single pixels with their neighbours, so they describe fine texture whatever
    its contrast and the light. With a grid, they also tell where in the picture it is.

    Read more in the :ref:`User Guide <lbp>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    radius : int, default=1
        Distance of the neighbours in pixels.
    neighborhood : {"square", "circle"}, default="square"
        Shape of the neighbourhood. "square" takes the 8 pixels at the corners and edges of a
        square; "circle" interpolates points on a circle, as scikit-image does, and is slower.
    codes : {"uniform", "default"}, default="uniform"
        Codes that are told apart. "default" counts each of the 256 codes, "uniform" each of the
        58 with at most two changes around the circle, and all others together.
    grid : tuple of (int, int), default=(1, 1)
        Numbers of rows and columns of tiles that the image is cut into, with a histogram for each.
    root : bool, default=True
        Whether to return the square roots of the proportions, which suit linear methods.
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
        Height and width to which images are resized first, which destroys the finest traces.
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
        Number of features of an image: the product of the numbers of codes, tiles and planes.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    lbp_histograms : The same for one array of grey images of one size, with the formula.

    Notes
    -----
    Each side of a plane needs ``2 * radius`` pixels and one more for each row or column of the
    grid. Floats are rounded to 8 bits.

    References
    ----------
    .. [1] Ojala, T., Pietikäinen, M. and Mäenpää, T. (2002). Multiresolution gray-scale and
       rotation invariant texture classification with local binary patterns. TPAMI, 24(7).
       :doi:`10.1109/TPAMI.2002.1017623`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import LBPTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> LBPTransformer(color_space="ycbcr").fit_transform(images).shape
    (4, 177)
    """

    _family = "lbp"

    def __init__(
        self,
        *,
        radius: int = 1,
        neighborhood: Neighborhood = "square",
        codes: Codes = "uniform",
        grid: tuple[int, int] = (1, 1),
        root: bool = True,
        color_space: PlaneSpace = "gray",
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.radius = radius
        self.neighborhood = neighborhood
        self.codes = codes
        self.grid = grid
        self.root = root
        self.color_space = color_space
        self.crop_size = crop_size
        self.tile_size = tile_size
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def _settings(self) -> dict[str, Any]:
        return {
            "radius": check_integer(self, "radius", minimum=1),
            "neighborhood": check_choice(self, "neighborhood", NEIGHBORHOODS),
            "codes": check_choice(self, "codes", CODES),
            "grid": check_pair(self, "grid"),
            "root": bool(check_choice(self, "root", (False, True))),
        }

    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        return lbp_histograms(planes, **settings)

    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:
        rows, columns = settings["grid"]
        return 2 * settings["radius"] + rows, 2 * settings["radius"] + columns

    def _plane_names(self, settings: dict[str, Any]) -> list[str]:
        rows, columns = settings["grid"]
        n_codes = code_numbers(settings["codes"])[1]
        tiles = [f"{row}_{column}_" for row in range(rows) for column in range(columns)]
        return [
            f"{tile if len(tiles) > 1 else ''}{code}" for tile in tiles for code in range(n_codes)
        ]
