"""The power spectrum of whole images, by radius and by orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

from detectorkit.features._planes import NativeTransformer, Planes, PlaneSpace, check_planes
from detectorkit.utils.validation import check_integer

__all__ = ["RadialSpectrumTransformer", "radial_spectrum"]

MINIMUM_SIZE: Final = (8, 8)
OFFSET: Final = 0.01
"""Number added before the logarithm. The power of rounding to whole levels is 1/12."""

LOWEST_RADIUS: Final = 0.1
"""Frequency, in cycles per pixel, above which orientations are measured.

Below it, the picture itself dominates.
"""

_TIE = 1e-9  # margin for the rounding of frequencies on the edge of two bins


def radial_spectrum(
    images: NDArray[Any], *, n_rings: int = 128, n_angles: int = 16
) -> NDArray[np.float32]:
    """Describe grey images by their power in rings of frequencies and in orientations.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size, of at least 8 x 8 pixels; uint8 from 0 to 255, or floats from 0
        to 1, which are rounded to 8 bits.
    n_rings : int, default=128
        Number of rings, at least 2. They are equally wide and reach from 0 to the square root of
        1/2 cycles per pixel, the highest frequency of an image of any size.
    n_angles : int, default=16
        Number of orientation bins over 180 degrees; 0 leaves them out. The first is centred at 0
        degrees, a change from left to right (upright stripes); the next ones turn clockwise.

    Returns
    -------
    features : ndarray of shape (n_samples, n_rings + n_angles), dtype float32
        First the natural logarithm of the mean power of each ring, from low to high frequencies,
        minus the mean of these logarithms over all rings. Then the same for the orientation bins,
        where only frequencies above 0.1 cycles per pixel count. All features of a flat image are 0.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small, or a number is out of range.

    See Also
    --------
    RadialSpectrumTransformer : The same for images of any form and size.

    Notes
    -----
    The mean of a plane is subtracted, and the result is multiplied by a Hann window. Without
    it, the jump from the right edge to the left one would appear as a bright cross. The power of a
    frequency is the squared magnitude of the discrete Fourier transform, divided by the number of
    pixels and by the mean square of the window, so that the power of white noise is its variance at
    all frequencies. Then 0.01 is added, in squared grey levels.

    A frequency belongs to the ring ``floor(n_rings * radius / sqrt(1/2))``, and the very highest
    to the last. The frequency 0 does not count. Small images have rings and bins without any
    frequency: their values are interpolated linearly between the nearest ones that have some, and
    beyond the last of these its value is repeated. Frequencies of exactly half a cycle per pixel,
    across or down, have two orientations that cannot be told apart, so they count in rings only.

    The paper [1]_ divides by the power at frequency 0, which is the brightness of the image. The
    mean over the rings is steadier: it cancels brightness, and contrast too where the power is well
    above 0.01. The paper uses neither a window nor a fixed number of rings. The orientations are
    those of [2]_, where they are taken from residuals.

    References
    ----------
    .. [1] Durall, R., Keuper, M. and Keuper, J. (2020). Watch your up-convolution: CNN based
       generative deep neural networks are failing to reproduce spectral distributions. CVPR.
       :doi:`10.1109/CVPR42600.2020.00791`
    .. [2] Corvi, R., Cozzolino, D., Poggi, G., Nagano, K. and Verdoliva, L. (2023). Intriguing
       properties of synthetic images: from generative adversarial networks to diffusion models.
       CVPR Workshops. :doi:`10.1109/CVPRW59228.2023.00104`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import radial_spectrum
    >>> radial_spectrum(np.zeros((2, 100, 60), dtype=np.uint8)).shape
    (2, 144)
    """
    if n_rings < 2 or n_angles < 0:
        raise ValueError(
            f"radial_spectrum: n_rings={n_rings!r} must be at least 2 and n_angles={n_angles!r} at "
            "least 0."
        )
    planes = check_planes("radial_spectrum", images, MINIMUM_SIZE)
    size = planes.shape[1:]
    bins = _bins(*size, n_rings, n_angles)
    features = np.empty((len(planes), n_rings + n_angles), np.float32)
    for plane, row in zip(planes, features, strict=True):
        sums = _sum_power(plane, bins)
        row[:n_rings] = _log_means(sums.sum(axis=1), bins.count.sum(axis=1))
        if n_angles:
            by_angle = sums[:, :-1].sum(axis=0), bins.count[:, :-1].sum(axis=0)
            row[n_rings:] = _log_means(*by_angle, period=n_angles)
    return features


@dataclass(frozen=True)
class _Bins:
    """Bin of each frequency of half a spectrum, in the order of `scipy.fft.rfft2`.

    The last column of bins is for the frequencies without an orientation.
    """

    index: NDArray[np.intp]  # of all frequencies, flattened: ring * (n_angles + 1) + angle
    weight: NDArray[np.float32]  # of each column: 2 if its mirror image is left out
    count: NDArray[np.float64]  # frequencies of the whole spectrum; (n_rings, n_angles + 1)


def _sum_power(plane: NDArray[np.uint8], bins: _Bins) -> NDArray[np.float64]:
    """Sum the power of the whole spectrum in each bin."""
    centred = plane - np.float32(plane.mean())
    centred *= _hann(plane.shape[0])[:, np.newaxis]
    centred *= _hann(plane.shape[1])
    half = rfft2(centred, overwrite_x=True)
    power = np.square(half.real)
    power += np.square(half.imag)
    power *= bins.weight / np.float32(plane.size)
    power[0, 0] = 0
    return _add_up(bins.index, power, bins.count.shape)


def _add_up(
    index: NDArray[np.intp], values: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    sums = np.bincount(index, values.ravel(), minlength=math.prod(shape))
    return sums.astype(np.float64, copy=False).reshape(shape)


def _log_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], period: int | None = None
) -> NDArray[np.float64]:
    """Compute logarithms of means, minus their mean; bins without values are interpolated."""
    filled = np.flatnonzero(counts)
    logs = np.log(sums[filled] / counts[filled] + OFFSET)
    if len(filled) < len(counts):
        logs = np.interp(np.arange(len(counts)), filled, logs, period=period)
    return logs - logs.mean()


@lru_cache(maxsize=8)
def _hann(side: int) -> NDArray[np.float32]:
    """Compute a Hann window with a mean square of 1, symmetric about the centre."""
    window = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return (window * np.sqrt(8 / 3)).astype(np.float32)


@lru_cache(maxsize=4)  # "ycbcr" has two sizes; more entries would take much memory for large images
def _bins(height: int, width: int, n_rings: int, n_angles: int) -> _Bins:
    by_row = np.fft.fftfreq(height)[:, np.newaxis]
    by_column = np.fft.rfftfreq(width)
    radius = np.sqrt(by_row**2 + by_column**2)
    ring = np.minimum(radius * (n_rings / np.sqrt(0.5)) + _TIE, n_rings - 1)
    index = ring.astype(np.intp) * (n_angles + 1) + n_angles
    if n_angles:
        # Angles are from minus to plus a quarter turn. Adding a half turn does not change the bin,
        # and keeps the numbers positive, so that the cast rounds them down.
        turned = np.arctan2(by_row, by_column) * (n_angles / np.pi) + (n_angles + 0.5 + _TIE)
        angle = turned.astype(np.intp) % n_angles
        is_clear = (radius > LOWEST_RADIUS) & (by_row > -0.5) & (by_column < 0.5)
        index += np.where(is_clear, angle - n_angles, 0)
    weight = np.full(len(by_column), 2, np.float32)
    weight[0] = 1
    if width % 2 == 0:
        weight[-1] = 1
    weights = np.tile(weight, (height, 1))
    weights[0, 0] = 0
    count = _add_up(index.ravel(), weights, (n_rings, n_angles + 1))
    return _Bins(index.ravel(), weight, count)


class RadialSpectrumTransformer(NativeTransformer):
    """Describe images by their power spectrum, by radius and by orientation.

    Generators leave too much or too little of the highest frequencies, and upsampling lifts
    others; their spectra are also not as round as those of photographs.

    Read more in the :ref:`User Guide <radial_spectrum>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_rings : int, default=128
        Number of rings, at least 2, from 0 to the highest frequency.
    n_angles : int, default=16
        Number of orientation bins over 180 degrees; 0 leaves them out.
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
        Number of features of an image: ``n_rings + n_angles`` per plane, whatever its size.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    radial_spectrum : The same for one array of grey images of one size, with the formula.
    BlockDCTTransformer : Frequencies of small blocks.

    Notes
    -----
    Images, crops and tiles need at least 8 x 8 pixels, 16 x 16 in "ycbcr". Floats are rounded to
    8 bits.

    A ring of a large image averages over many more frequencies than one of a small image, so its
    features scatter less. With `tile_size`, images of all sizes have the same frequencies. The mean
    over tiles is then like Welch's estimate of a spectrum [3]_, except that tiles do not overlap
    and that logarithms are averaged.

    A table for each of the last four sizes of planes is kept. Making one takes longer than
    computing the features of an image, so images of few different sizes, and tiles, are fastest.

    References
    ----------
    .. [1] Durall, R., Keuper, M. and Keuper, J. (2020). Watch your up-convolution: CNN based
       generative deep neural networks are failing to reproduce spectral distributions. CVPR.
       :doi:`10.1109/CVPR42600.2020.00791`
    .. [2] Corvi, R., Cozzolino, D., Poggi, G., Nagano, K. and Verdoliva, L. (2023). Intriguing
       properties of synthetic images: from generative adversarial networks to diffusion models.
       CVPR Workshops. :doi:`10.1109/CVPRW59228.2023.00104`
    .. [3] Welch, P. (1967). The use of fast Fourier transform for the estimation of power spectra.
       IEEE Transactions on Audio and Electroacoustics, 15(2). :doi:`10.1109/TAU.1967.1161901`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import RadialSpectrumTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> RadialSpectrumTransformer(n_rings=32, color_space="rgb").fit_transform(images).shape
    (4, 144)
    """

    _family = "spectrum"

    def __init__(
        self,
        *,
        n_rings: int = 128,
        n_angles: int = 16,
        color_space: PlaneSpace = "gray",
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_rings = n_rings
        self.n_angles = n_angles
        self.color_space = color_space
        self.crop_size = crop_size
        self.tile_size = tile_size
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def _settings(self) -> dict[str, Any]:
        return {
            "n_rings": check_integer(self, "n_rings", minimum=2),
            "n_angles": check_integer(self, "n_angles", minimum=0),
        }

    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        return radial_spectrum(planes, **settings)

    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:  # noqa: ARG002
        return MINIMUM_SIZE

    def _plane_names(self, settings: dict[str, Any]) -> list[str]:
        rings = [f"ring_{index}" for index in range(settings["n_rings"])]
        return rings + [f"angle_{index}" for index in range(settings["n_angles"])]
