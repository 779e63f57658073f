"""Statistics of the discrete cosine transform of 8 x 8 blocks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.features._planes import NativeTransformer, Planes, PlaneSpace, check_planes

__all__ = ["BlockDCTTransformer", "block_dct_statistics", "frequency_basis"]

BLOCK: Final = 8
OFFSET: Final = 0.1
"""Number added before the logarithm: a tenth of a grey level."""


def block_dct_statistics(images: NDArray[Any]) -> NDArray[np.float32]:
    """Describe grey images by the magnitudes of their block frequencies.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size, of at least 8 x 8 pixels; uint8 from 0 to 255, or floats from 0
        to 1, which are rounded to 8 bits. Blocks are cut from the top left; what is left over at
        the right and at the bottom does not count.

    Returns
    -------
    features : ndarray of shape (n_samples, 128), dtype float32
        Logarithms of the means of the magnitudes of the 64 frequencies, then of their standard
        deviations; 0.1 grey levels are added before the logarithm. Frequencies follow the rows of
        the block: number 0 is 8 times the mean of the block, number 1 the lowest horizontal one.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small.

    See Also
    --------
    BlockDCTTransformer : The same for images of any form and size.

    Notes
    -----
    The transform is the orthonormal DCT-II, that of JPEG and of `scipy.fft.dctn`. The mean of the
    magnitudes is the maximum likelihood estimate of the scale of a Laplacian distribution, the
    statistic of the paper [1]_. The standard deviation, which together with the mean tells how far
    the distribution is from Laplacian, and the logarithm are our additions.

    References
    ----------
    .. [1] Giudice, O., Guarnera, L. and Battiato, S. (2021). Fighting deepfakes by detecting GAN
       DCT anomalies. Journal of Imaging, 7(8), 128. :doi:`10.3390/jimaging7080128`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import block_dct_statistics
    >>> block_dct_statistics(np.zeros((2, 64, 64), dtype=np.uint8)).shape
    (2, 128)
    """
    planes = check_planes("block_dct_statistics", images, (BLOCK, BLOCK))
    features = np.empty((len(planes), 2 * BLOCK * BLOCK), np.float32)
    for plane, row in zip(planes, features, strict=True):
        magnitudes = np.abs(_blocks(plane) @ frequency_basis())
        mean = magnitudes.mean(axis=0)
        square = np.einsum("bf,bf->f", magnitudes, magnitudes) / len(magnitudes)
        row[: BLOCK * BLOCK] = mean
        row[BLOCK * BLOCK :] = np.sqrt(np.maximum(square - mean * mean, 0))
    features += np.float32(OFFSET)
    return np.log(features, out=features)


@lru_cache(maxsize=1)
def frequency_basis() -> NDArray[np.float32]:
    """Compute the matrix that transforms flattened blocks to their frequencies."""
    pixel, frequency = np.arange(BLOCK), np.arange(BLOCK)[:, np.newaxis]
    waves = np.sqrt(2 / BLOCK) * np.cos(np.pi * (pixel + 0.5) * frequency / BLOCK)
    waves[0] = np.sqrt(1 / BLOCK)
    return np.kron(waves, waves).T.astype(np.float32)


def _blocks(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cut an image into blocks and return them as rows."""
    rows, columns = (side // BLOCK for side in plane.shape)
    whole = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    blocks = whole.swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)
    return blocks.astype(np.float32)


class BlockDCTTransformer(NativeTransformer):
    """Describe images by the statistics of their 8 x 8 block frequencies.

    Upsampling in a generator strengthens or weakens bands of frequencies, which shows in blocks of
    8 pixels whatever the picture is. The compression of a JPEG file shows in them too, so give all
    images the same compression first.

    Read more in the :ref:`User Guide <block_dct>`.

    .. versionadded:: 0.1

    Parameters
    ----------
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
        Number of features of an image: 128 for each plane.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    block_dct_statistics : The same for one array of grey images of one size, with the formula.
    RadialSpectrumTransformer : Frequencies of the whole image.

    Notes
    -----
    Images, crops and tiles need at least 8 x 8 pixels, 16 x 16 in "ycbcr". Floats are rounded to
    8 bits.

    References
    ----------
    .. [1] Giudice, O., Guarnera, L. and Battiato, S. (2021). Fighting deepfakes by detecting GAN
       DCT anomalies. Journal of Imaging, 7(8), 128. :doi:`10.3390/jimaging7080128`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import BlockDCTTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> BlockDCTTransformer(color_space="ycbcr").fit_transform(images).shape
    (4, 384)
    """

    _family = "block_dct"

    def __init__(
        self,
        *,
        color_space: PlaneSpace = "gray",
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.color_space = color_space
        self.crop_size = crop_size
        self.tile_size = tile_size
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def _settings(self) -> dict[str, Any]:
        return {}

    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        return block_dct_statistics(planes, **settings)

    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:  # noqa: ARG002
        return BLOCK, BLOCK

    def _plane_names(self, settings: dict[str, Any]) -> list[str]:  # noqa: ARG002
        grid = [f"{row}{column}" for row in range(BLOCK) for column in range(BLOCK)]
        return [f"{statistic}_{place}" for statistic in ("mean", "sd") for place in grid]
