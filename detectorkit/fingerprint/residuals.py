"""Noise residuals: what a denoiser takes out of an image, and with it the traces of its making."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.levels import round_to_levels
from detectorkit.utils.validation import check_argument

__all__ = ["RESIDUALS", "Residual", "noise_residuals"]

Floats = NDArray[np.float32]
Residual = Literal["highpass", "wavelet", "median", "nlm"]

_LIMIT: Final = 8.0  # grey levels at which a residual is cut, so that edges do not outweigh all
_NOISE_VARIANCE: Final = 9.0  # of the noise that the wavelet filter expects, in squared grey levels
_N_LEVELS: Final = 4
_DB4: Final = np.array(
    [
        *(0.23037781330885523, 0.7148465705525415, 0.6308807679295904, -0.02798376941698385),
        *(-0.18703481171888114, 0.030841381835986965, 0.032883011666982945, -0.010597401784997278),
    ]
)
"""Daubechies' filter of 8 coefficients, as in the work on camera fingerprints."""


def noise_residuals(images: NDArray[Any], residual: Residual = "highpass") -> Floats:
    """Compute the standardised noise residuals of images.

    A residual is the difference between an image and its denoised version. It is cut at 8 grey
    levels, its mean is removed, and it is divided by its standard deviation, so that every image
    has the same weight in an average.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or (n_samples, height, width, 3)
        Images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to 8 bits.
    residual : {"highpass", "wavelet", "median", "nlm"}, default="highpass"
        Denoiser: a binomial filter of 3 x 3 pixels; a Wiener filter in the wavelet domain; the
        median of 3 x 3 pixels; or non-local means.

    Returns
    -------
    residuals : ndarray of the shape of `images`, dtype float32
        Residuals with the mean 0 and the variance 1 in each image, or 0 where it is flat.

    Raises
    ------
    ValueError
        If the images have a wrong form or the residual is unknown.

    Notes
    -----
    The wavelet filter is that of Lukas et al. [1]_: four levels of Daubechies' wavelet of 8
    coefficients, the local variance of each detail as the least of those in windows of 3, 5, 7 and
    9, and a variance of the noise of 9 squared grey levels. Sides that are not multiples of 16 are
    continued by reflection. Unlike there, residuals are cut and standardised, and the means of
    rows and columns are kept, as a generator's pattern may lie in them.

    References
    ----------
    .. [1] Lukas, J., Fridrich, J. and Goljan, M. (2006). Digital camera identification from sensor
       pattern noise. IEEE TIFS, 1(2). :doi:`10.1109/TIFS.2006.873602`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.fingerprint import noise_residuals
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    >>> residuals = noise_residuals(images, "wavelet")
    >>> residuals.shape, round(float(residuals[0].std()), 3)
    ((2, 64, 64), 1.0)
    """
    check_argument("noise_residuals", "residual", residual, tuple(RESIDUALS))
    images = np.asarray(images)
    if images.ndim not in {3, 4} or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
        raise ValueError(
            f"noise_residuals: images of shape {images.shape} and dtype {images.dtype}. Expected "
            "shape (n_samples, height, width) or (n_samples, height, width, 3), uint8 from 0 to "
            "255 or floats from 0 to 1."
        )
    levels = round_to_levels(images)
    found = np.empty(levels.shape, np.float32)
    for image, into in zip(levels, found, strict=True):
        if image.ndim == 2:
            into[:] = RESIDUALS[residual](np.ascontiguousarray(image))
        else:
            for channel in range(image.shape[2]):
                plane = np.ascontiguousarray(image[..., channel])
                into[..., channel] = RESIDUALS[residual](plane)
        _standardise(into)
    return found


def _standardise(residual: Floats) -> None:
    np.clip(residual, -_LIMIT, _LIMIT, out=residual)
    residual -= residual.mean(dtype=np.float64)
    deviation = float(residual.std(dtype=np.float64))
    residual /= deviation if deviation > 1e-3 else np.inf


def _highpass(plane: NDArray[np.uint8]) -> Floats:
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    smooth = cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return plane - smooth


def _median(plane: NDArray[np.uint8]) -> Floats:
    return plane.astype(np.float32) - cv2.medianBlur(plane, 3)


def _nlm(plane: NDArray[np.uint8]) -> Floats:
    denoised = cv2.fastNlMeansDenoising(plane, h=3, templateWindowSize=5, searchWindowSize=11)
    return plane.astype(np.float32) - denoised


def _wavelet(plane: NDArray[np.uint8]) -> Floats:
    height, width = plane.shape
    unit = 2**_N_LEVELS
    borders = 0, -height % unit, 0, -width % unit
    values = cv2.copyMakeBorder(plane, *borders, cv2.BORDER_REFLECT).astype(np.float32)
    sizes = [(values.shape[0] >> level, values.shape[1] >> level) for level in range(_N_LEVELS)]
    for rows, columns in sizes:
        part = values[:rows, :columns]
        part[:] = _transform(rows) @ part @ _transform(columns).T
        low = rows // 2, columns // 2
        for detail in (
            part[low[0] :, : low[1]],
            part[: low[0], low[1] :],
            part[low[0] :, low[1] :],
        ):
            detail[:] = detail * (_NOISE_VARIANCE / (_signal_variance(detail) + _NOISE_VARIANCE))
    values[: sizes[-1][0] // 2, : sizes[-1][1] // 2] = 0  # the coarsest means are not noise
    for rows, columns in reversed(sizes):
        part = values[:rows, :columns]
        part[:] = _transform(rows).T @ part @ _transform(columns)
    return values[:height, :width]


def _signal_variance(detail: Floats) -> Floats:
    """Estimate the local variance of a detail without its noise."""
    squares = detail * detail
    windows = [
        cv2.blur(squares, (side, side), borderType=cv2.BORDER_REFLECT) for side in (3, 5, 7, 9)
    ]
    return np.maximum(np.minimum.reduce(windows) - np.float32(_NOISE_VARIANCE), 0)


@lru_cache(maxsize=32)
def _transform(side: int) -> Floats:
    """Make the orthogonal matrix of one level of the periodic wavelet transform."""
    high = _DB4[::-1] * np.resize([1, -1], len(_DB4))
    matrix = np.zeros((side, side))
    for row in range(side // 2):
        for offset, pair in enumerate(zip(_DB4, high, strict=True)):
            column = (2 * row + offset) % side
            matrix[row, column] += pair[0]
            matrix[side // 2 + row, column] += pair[1]
    return matrix.astype(np.float32)


RESIDUALS: Final[dict[str, Callable[[NDArray[np.uint8]], Floats]]] = {
    "highpass": _highpass,
    "wavelet": _wavelet,
    "median": _median,
    "nlm": _nlm,
}
"""Function that computes the residual of one plane, by its name."""
