"""Histograms of oriented gradients, equal to scikit-image's and more than twenty times faster."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from detectorkit.base import ImageTransformer
from detectorkit.features._hog_blocks import BLOCK_NORMS, EPS, HYSTERESIS, BlockNorm
from detectorkit.features._hog_choice import choose_counter, compile_counter
from detectorkit.features._hog_numpy import FloatCounter, keep_counter
from detectorkit.images.preprocessing import ColorSpace, Preprocessing
from detectorkit.utils.validation import check_argument, check_choice, check_integer, check_pair

__all__ = [
    "EPS",
    "HYSTERESIS",
    "BlockNorm",
    "HoGTransformer",
    "check_hog_parameters",
    "compile_hog",
    "hog_features",
    "hog_shape",
]


def hog_features(
    images: NDArray[Any],
    *,
    orientations: int = 9,
    pixels_per_cell: tuple[int, int] = (8, 8),
    cells_per_block: tuple[int, int] = (2, 2),
    block_norm: BlockNorm = "L2-Hys",
    transform_sqrt: bool = False,
) -> NDArray[np.float32]:
    """Compute histograms of oriented gradients of a batch of images of one size.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels)
        Images of uint8 from 0 to 255, or of floats of any range; half precision is computed in
        single precision. The channel with the largest gradient counts at each pixel.
    orientations : int, default=9
        Number of orientation bins over 180 degrees.
    pixels_per_cell : tuple of (int, int), default=(8, 8)
        Height and width of a cell. Pixels beyond the last whole cell are not counted.
    cells_per_block : tuple of (int, int), default=(2, 2)
        Rows and columns of cells in a block.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Normalisation of the histogram of a block; "L2-Hys" clips at 0.2 and normalises again.
    transform_sqrt : bool, default=False
        Whether the square root of every pixel is taken first, against uneven light.

    Returns
    -------
    features : ndarray of shape (n_samples, n_features), dtype float32
        One row for each image, in the order of `skimage.feature.hog`: block rows, block columns,
        cell rows, cell columns, orientations. Values are from 0 to 1.

    Raises
    ------
    ValueError
        If an image is smaller than one block, `images` does not have 3 or 4 axes, or `block_norm`
        is unknown.

    See Also
    --------
    HoGTransformer : Transformer for images of any form and size.

    Notes
    -----
    The features equal those of `skimage.feature.hog` to 1e-6 for 8-bit images. As there, a pixel
    votes with its gradient magnitude for one bin and one cell: the interpolation between
    neighbours and the Gaussian window of the paper [1]_ are left out.

    Gradients of 8-bit images are integers, so an exact table holds the orientation bins, and one
    weighted count computes the histograms of several images. Float images need arctan2, which is
    slower. With `transform_sqrt`, all images are converted to floats.

    Where numba is installed (the extra "fast"), 8-bit images are counted by
    compiled code, some three times as fast, and in several threads at a time. Loading it takes
    half a second, and some seconds on a machine's first time, so this begins after the first 67
    million pixels of a process (4096 grey images of 128 x 128), or when
    `detectorkit.features.hog.compile_hog` is called. Both forms compute the same features to the
    last bit.

    References
    ----------
    .. [1] Dalal, N. and Triggs, B. (2005). Histograms of oriented gradients for human
       detection. CVPR. :doi:`10.1109/CVPR.2005.177`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import hog_features
    >>> images = np.zeros((2, 128, 128), dtype=np.uint8)
    >>> hog_features(images).shape
    (2, 8100)
    """
    check_argument("hog_features", "block_norm", block_norm, BLOCK_NORMS)
    if images.ndim not in {3, 4}:
        raise ValueError(
            f"hog_features: images has shape {images.shape}, but it must be (n_samples, height, "
            "width) or (n_samples, height, width, n_channels). Pass a single image as "
            "images[np.newaxis]."
        )
    cell = (pixels_per_cell[0], pixels_per_cell[1])
    shape = hog_shape(images.shape[1:3], orientations, cell, cells_per_block)
    features = np.empty((len(images), *shape), np.float32)
    images = _as_counted(images, transform_sqrt=transform_sqrt)
    is_8_bit = images.dtype == np.uint8
    kind = choose_counter(images.size, orientations) if is_8_bit else FloatCounter
    counter = keep_counter(kind, images.shape[1:], orientations, cell)
    for start in range(0, len(images), counter.chunk):
        part = slice(start, start + counter.chunk)
        counter.normalise(counter(images[part]), block_norm, features[part])
    return features.reshape(len(images), math.prod(shape))


def _as_counted(images: NDArray[Any], *, transform_sqrt: bool) -> NDArray[Any]:
    """Convert images to the dtypes with which scikit-image computes, except 8-bit images."""
    if images.dtype == np.uint8 and not transform_sqrt:
        return images
    if images.dtype == np.float16:
        images = images.astype(np.float32)
    elif images.dtype != np.float32:
        images = images.astype(np.float64, copy=False)
    return np.sqrt(images) if transform_sqrt else images


def compile_hog() -> bool:
    """Use the compiled form of `hog_features` from now on, if numba is installed.

    Without this call, the compiled form takes over after the first 67 million pixels of 8-bit
    images that a process describes, which are 4096 grey images of 128 x 128. The features are the
    same to the last bit.

    Returns
    -------
    is_compiled : bool
        Whether the compiled form is used from now on.

    Notes
    -----
    This takes half a second, and some seconds on a machine's first time: numba keeps the machine
    code beside the package, in ``__pycache__``, or in the user's cache where that cannot be
    written.

    Examples
    --------
    >>> from detectorkit.features.hog import compile_hog
    >>> is_compiled = compile_hog()
    """
    return compile_counter()


def hog_shape(
    image_size: tuple[int, ...],
    orientations: int,
    pixels_per_cell: tuple[int, int],
    cells_per_block: tuple[int, int],
) -> tuple[int, int, int, int, int]:
    """Return the shape of the features of one image before they are flattened."""
    cells = [size // cell for size, cell in zip(image_size, pixels_per_cell, strict=True)]
    blocks = [n - block + 1 for n, block in zip(cells, cells_per_block, strict=True)]
    if min(blocks) < 1:
        needed = [c * b for c, b in zip(pixels_per_cell, cells_per_block, strict=True)]
        raise ValueError(
            f"HoG with pixels_per_cell={tuple(pixels_per_cell)} and cells_per_block="
            f"{tuple(cells_per_block)} needs images of at least {needed[0]} x {needed[1]} "
            f"pixels, got {image_size[0]} x {image_size[1]}. Use smaller cells or larger images."
        )
    return (blocks[0], blocks[1], cells_per_block[0], cells_per_block[1], orientations)


class HoGTransformer(ImageTransformer):
    """Describe images by histograms of oriented gradients.

    The features describe the shape of edges and textures, whatever their contrast. They were used
    by the first detectors of generated faces, and are a baseline today.

    Read more in the :ref:`User Guide <hog>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    orientations : int, default=9
        Number of orientation bins over 180 degrees.
    pixels_per_cell : tuple of (int, int), default=(8, 8)
        Height and width of a cell, in pixels.
    cells_per_block : tuple of (int, int), default=(2, 2)
        Rows and columns of cells in a block.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Normalisation of the histogram of a block; "L2-Hys" clips at 0.2 and normalises again.
    transform_sqrt : bool, default=False
        Whether the square root of every pixel is taken first, against uneven light.
    color_space : {"gray", "rgb"}, default="gray"
        Colours in which images are described. In "rgb", the channel with the largest gradient
        counts at each pixel.
    image_size : tuple of (int, int), default=None
        Height and width to which images are resized, after float images have been rounded
        to 8 bits. None takes images as they are, which must then have one size.
    input_shape : tuple of int, default=None
        The shape of one image, (height, width) or (height, width, n_channels), where X is a
        2-D array of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context; -1
        means all processors.

    Attributes
    ----------
    n_features_out_ : int
        Number of features of an image.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    hog_features : Function for one array of images of one size.
    detectorkit.HoGSVMDetector : Detector with these features and a linear SVM.

    Notes
    -----
    The features equal those of `skimage.feature.hog`; see `hog_features` for the differences from
    the paper [1]_.

    References
    ----------
    .. [1] Dalal, N. and Triggs, B. (2005). Histograms of oriented gradients for human
       detection. CVPR. :doi:`10.1109/CVPR.2005.177`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import HoGTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    >>> HoGTransformer(pixels_per_cell=(16, 16)).fit_transform(images).shape
    (4, 324)
    """

    _family = "hog"

    def __init__(
        self,
        *,
        orientations: int = 9,
        pixels_per_cell: tuple[int, int] = (8, 8),
        cells_per_block: tuple[int, int] = (2, 2),
        block_norm: BlockNorm = "L2-Hys",
        transform_sqrt: bool = False,
        color_space: ColorSpace = "gray",
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt
        self.color_space = color_space
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; only used to check that they are those of `fit`.

        Returns
        -------
        names : ndarray of shape (`n_features_out_`,), dtype object
            Names such as "hog_block_0_3_cell_1_0_bin_5": row and column of the block in the image
            and of the cell in the block, and the orientation bin, all from 0.
        """
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features)
        size = self._fitted_shape[:2]
        shape = hog_shape(size, self.orientations, self.pixels_per_cell, self.cells_per_block)
        form = "hog_block_{}_{}_cell_{}_{}_bin_{}"
        return np.array([form.format(*place) for place in np.ndindex(shape)], object)

    def _check_parameters(self) -> Preprocessing:
        check_hog_parameters(self)
        # Floats give the same features as in scikit-image, unless they are resized: then they
        # are treated as an image file would be.
        return replace(self._check_preprocessing(), as_uint8=self.image_size is not None)

    def _compute(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        return hog_features(batch, **check_hog_parameters(self))


def check_hog_parameters(estimator: Any) -> dict[str, Any]:
    """Check the HoG parameters of an estimator."""
    return {
        "orientations": check_integer(estimator, "orientations", minimum=1),
        "pixels_per_cell": check_pair(estimator, "pixels_per_cell"),
        "cells_per_block": check_pair(estimator, "cells_per_block"),
        "block_norm": check_choice(estimator, "block_norm", BLOCK_NORMS),
        "transform_sqrt": bool(check_choice(estimator, "transform_sqrt", (False, True))),
    }
