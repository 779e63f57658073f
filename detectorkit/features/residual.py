"""High-pass residuals: the differences between pixels and predictions from their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from detectorkit.features._planes import NativeTransformer, Planes, PlaneSpace, check_planes
from detectorkit.utils.validation import (
    check_argument,
    check_choice,
    check_integer,
    parameter_error,
)

__all__ = [
    "ResidualTransformer",
    "cross_difference_peaks",
    "npr_statistics",
    "residual_cooccurrences",
]

Residual = Literal["first", "second", "third"]
Statistic = Literal["cooccurrences", "npr", "peaks"]

ORDERS: Final = {"first": 1, "second": 2, "third": 3}
"""Order of each filter: how often differences of neighbouring pixels are taken."""

NPR_LIMIT: Final = 10
N_NPR: Final = 3 * (2 * NPR_LIMIT + 1) + 27
PERIOD: Final = 8  # pixels; the longest period looked for, and that of JPEG blocks


def residual_cooccurrences(
    images: NDArray[Any],
    *,
    residuals: Sequence[Residual] = ("second",),
    truncation: int = 2,
    order: int = 4,
    root: bool = False,
) -> NDArray[np.float32]:
    """Describe grey images by how high-pass residuals follow one another.

    A residual is the difference between a pixel and its prediction from its neighbours in a row, or
    in a column. Residuals are truncated, and each run of `order` residuals in the direction of the
    filter is counted.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size; uint8 from 0 to 255, or floats from 0 to 1, which are rounded to 8
        bits. Each side needs ``order`` pixels and one for each order of the filter.
    residuals : sequence of {"first", "second", "third"}, default=("second",)
        Filters to apply: (-1, 1), (1, -2, 1) and (-1, 3, -3, 1).
    truncation : int, default=2
        Largest magnitude of a residual, in grey levels; larger ones are cut to it.
    order : int, default=4
        Number of neighbouring residuals in a run.
    root : bool, default=False
        Whether to return the square roots of the proportions.

    Returns
    -------
    features : ndarray of shape (n_samples, n_residuals * 2 * n_patterns), dtype float32
        Proportions of the patterns, for each filter along rows and along columns. A pattern, its
        negative, and both read backwards count together, which leaves 169 of 625 patterns with
        the default parameters.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small, or a filter is unknown.

    See Also
    --------
    ResidualTransformer : The same for images of any form and size.

    Notes
    -----
    These are the "spam" submodels of the spatial rich model [1]_ with a quantisation step of 1.
    There, the co-occurrences along rows and columns are added up; here they are kept apart, as
    faces are upright. The square root is our addition.

    References
    ----------
    .. [1] Fridrich, J. and Kodovsky, J. (2012). Rich models for steganalysis of digital images.
       IEEE TIFS, 7(3). :doi:`10.1109/TIFS.2012.2190402`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import residual_cooccurrences
    >>> residual_cooccurrences(np.zeros((2, 64, 64), dtype=np.uint8)).shape
    (2, 338)
    """
    for residual in residuals:
        check_argument("residual_cooccurrences", "residuals", residual, tuple(ORDERS))
    longest = max(ORDERS[residual] for residual in residuals)
    planes = check_planes("residual_cooccurrences", images, (order + longest,) * 2)
    pattern_of, n_patterns = _patterns(2 * truncation + 1, order)
    n_codes = len(pattern_of)
    shares = np.empty((len(planes), len(residuals) * 2, n_patterns), np.float32)
    for plane, rows in zip(planes, shares, strict=True):
        levels = plane.astype(np.int16)
        for index, residual in enumerate(residuals):
            for axis in (1, 0):
                truncated = _truncated(levels, ORDERS[residual], truncation, axis)
                codes = _runs(truncated, 2 * truncation + 1, order, axis)
                counts = np.bincount(codes.ravel(), minlength=n_codes)
                row = rows[2 * index + 1 - axis]
                row[:] = np.bincount(pattern_of, counts, minlength=n_patterns) / codes.size
    features = shares.reshape(len(planes), -1)
    return np.sqrt(features, out=features) if root else features


def _truncated(
    levels: NDArray[np.int16], times: int, truncation: int, axis: int
) -> NDArray[np.uint16]:
    """Compute residuals along an axis, truncated and shifted so that none is negative."""
    total = levels
    for _ in range(times):
        length = total.shape[axis] - 1
        total = _part(total, axis, 1, length) - _part(total, axis, 0, length)
    np.clip(total, -truncation, truncation, out=total)
    total += np.int16(truncation)
    return total.view(np.uint16)


def _runs(values: NDArray[np.uint16], base: int, order: int, axis: int) -> NDArray[Any]:
    """Encode each run of values along an axis as one number."""
    if order == 1:
        return values
    if order % 2:  # a run that is shorter by one, and one value
        length = values.shape[axis] - order + 1
        parts = _runs(values, base, order - 1, axis), values
        first, last = _part(parts[0], axis, 0, length), _part(parts[1], axis, order - 1, length)
        return _joined(first, base, last, base**order)
    halves = _runs(values, base, order // 2, axis)  # a run consists of two of half its length
    length = values.shape[axis] - order + 1
    first, last = (_part(halves, axis, start, length) for start in (0, order // 2))
    return _joined(first, base ** (order // 2), last, base**order)


def _joined(first: NDArray[Any], factor: int, last: NDArray[Any], n_codes: int) -> NDArray[Any]:
    # bincount wants intp; below 65536 it converts at the end, which is faster.
    kind: Any = np.uint16 if n_codes <= 2**16 else np.intp
    codes: NDArray[Any] = np.multiply(first, kind(factor), dtype=kind)
    codes += last
    return codes


def _part(values: NDArray[Any], axis: int, start: int, length: int) -> NDArray[Any]:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]


@lru_cache(maxsize=8)
def _patterns(base: int, order: int) -> tuple[NDArray[np.intp], int]:
    """Return the pattern of each run; its negative, and both read backwards, share it."""
    runs = np.indices((base,) * order).reshape(order, -1)
    weights = base ** np.arange(order)[::-1]
    same = [weights @ kind for kind in (runs, runs[::-1], base - 1 - runs, base - 1 - runs[::-1])]
    names, pattern_of = np.unique(np.min(same, axis=0), return_inverse=True)
    return pattern_of, len(names)


def npr_statistics(images: NDArray[Any]) -> NDArray[np.float32]:
    """Describe grey images by the differences of the pixels in blocks of 2 x 2.

    Upsampling by two makes the four pixels of a block from one, so they stay related.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size, of at least 2 x 2 pixels; uint8 from 0 to 255, or floats from 0 to
        1, which are rounded to 8 bits.

    Returns
    -------
    features : ndarray of shape (n_samples, 90), dtype float32
        Proportions of the differences between the first pixel of a block and its right, its lower
        and its diagonal neighbour, each from -10 or less to 10 or more. Then the proportions of
        the 27 combinations of the signs of these differences.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small.

    See Also
    --------
    ResidualTransformer : The same for images of any form and size.

    Notes
    -----
    The residual is that of the paper [1]_: the image minus a copy that was halved and doubled by
    nearest-neighbour interpolation. In the paper it is the input of a network; the histograms are
    our addition.

    References
    ----------
    .. [1] Tan, C., Zhao, Y., Wei, S., Gu, G., Liu, P. and Wei, Y. (2024). Rethinking the
       up-sampling operations in CNN-based generative network for generalizable deepfake detection.
       CVPR. :doi:`10.1109/CVPR52733.2024.02657`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import npr_statistics
    >>> npr_statistics(np.zeros((2, 64, 64), dtype=np.uint8)).shape
    (2, 90)
    """
    planes = check_planes("npr_statistics", images, (2, 2))
    n, rows, columns = len(planes), planes.shape[1] // 2, planes.shape[2] // 2
    features = np.empty((n, N_NPR), np.float32)
    n_levels = 2 * NPR_LIMIT + 1
    for plane, row in zip(planes, features, strict=True):
        levels = plane[: 2 * rows, : 2 * columns].astype(np.int16)
        first, sign_codes = levels[::2, ::2], np.zeros((rows, columns), np.intp)
        for index, (down, right) in enumerate(((0, 1), (1, 0), (1, 1))):
            difference = levels[down::2, right::2] - first
            sign_codes = 3 * sign_codes + np.sign(difference) + 1
            bins = np.clip(difference, -NPR_LIMIT, NPR_LIMIT) + NPR_LIMIT
            counts = np.bincount(bins.ravel(), minlength=n_levels)
            row[index * n_levels : (index + 1) * n_levels] = counts
        row[3 * n_levels :] = np.bincount(sign_codes.ravel(), minlength=27)
    features /= rows * columns
    return features


def cross_difference_peaks(images: NDArray[Any]) -> NDArray[np.float32]:
    """Describe grey images by the patterns that repeat every 8, 4 and 2 pixels.

    Upsampling repeats a pattern with a period of a power of two, and so does JPEG with one of 8.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Grey images of one size, of at least 9 x 9 pixels; uint8 from 0 to 255, or floats from 0 to
        1, which are rounded to 8 bits.

    Returns
    -------
    features : ndarray of shape (n_samples, 33), dtype float32
        ``log(1 + m)`` of the magnitudes `m` of the cross-difference at the frequencies that are
        whole multiples of 1/8 in both directions, without frequency 0 and without mirror images.
        The mean square of a magnitude is 1 if nothing repeats.

    Raises
    ------
    ValueError
        If the images have a wrong form or are too small.

    See Also
    --------
    ResidualTransformer : The same for images of any form and size.

    Notes
    -----
    The residual ``|x[i, j] + x[i+1, j+1] - x[i, j+1] - x[i+1, j]|`` and the frequencies are those
    of the paper [1]_. There, a magnitude is compared with its neighbours in the spectrum; here it
    is divided by the magnitude of noise of the same variance. So sums over every eighth pixel are
    enough, without a transform of the whole image.

    References
    ----------
    .. [1] Bammey, Q. (2024). Synthbuster: towards detection of diffusion model generated images.
       IEEE Open Journal of Signal Processing, 5. :doi:`10.1109/OJSP.2023.3337714`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import cross_difference_peaks
    >>> cross_difference_peaks(np.zeros((2, 64, 64), dtype=np.uint8)).shape
    (2, 33)
    """
    planes = check_planes("cross_difference_peaks", images, (PERIOD + 1, PERIOD + 1))
    rows, columns = _peaks()
    features = np.empty((len(planes), len(rows)), np.float32)
    for plane, row in zip(planes, features, strict=True):
        levels = plane.astype(np.int16)
        height, width = ((side - 1) // PERIOD * PERIOD for side in plane.shape)
        across = levels[:, 1:] - levels[:, :-1]
        residual = np.abs(across[1:] - across[:-1])[:height, :width].astype(np.float32)
        folded = residual.reshape(height // PERIOD, PERIOD, -1, PERIOD).sum((0, 2), np.float64)
        power = np.abs(np.fft.fft2(folded)[rows, columns]) ** 2
        noise = float(residual.var(dtype=np.float64)) * height * width
        row[:] = np.sqrt(power / noise) if noise > 0 else 0
    return np.log1p(features, out=features)


@lru_cache(maxsize=1)
def _peaks() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """List the rows and columns of the frequencies, without mirror images."""
    found = []
    for row, column in np.ndindex(PERIOD, PERIOD):
        if (0, 0) != (row, column) <= ((-row) % PERIOD, (-column) % PERIOD):
            found.append((row, column))
    rows, columns = np.array(found).T
    return rows, columns


class ResidualTransformer(NativeTransformer):
    """Describe images by the statistics of their high-pass residuals.

    The part of a pixel that its neighbours predict tells little about a generator; the residual
    tells more. The co-occurrences of such residuals come from steganalysis, and are the strongest
    of the classical traces of processing.

    Read more in the :ref:`User Guide <residual>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    statistics : sequence of {"cooccurrences", "npr", "peaks"}, default=("cooccurrences",)
        Statistics to compute: runs of truncated residuals, differences in blocks of 2 x 2 pixels,
        and patterns that repeat every 8, 4 and 2 pixels.
    residuals : sequence of {"first", "second", "third"}, default=("second",)
        Filters whose residuals are counted by "cooccurrences".
    truncation : int, default=2
        Largest magnitude of a residual, in grey levels; larger ones are cut to it.
    order : int, default=4
        Number of neighbouring residuals in a run.
    root : bool, default=True
        Whether to return the square roots of proportions, which suit linear methods.
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
        Number of features of an image: the sum over the statistics, for each plane.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    residual_cooccurrences : The co-occurrences, with the formula.
    npr_statistics : The differences in blocks of 2 x 2 pixels.
    cross_difference_peaks : The patterns that repeat.

    Notes
    -----
    Each side of a plane must have at least ``order`` pixels plus the order of the filter (6 with
    the default parameters), 2 for "npr" and 9 for "peaks". Floats are rounded to 8 bits.

    References
    ----------
    .. [1] Fridrich, J. and Kodovsky, J. (2012). Rich models for steganalysis of digital images.
       IEEE TIFS, 7(3). :doi:`10.1109/TIFS.2012.2190402`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.features import ResidualTransformer
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    >>> ResidualTransformer(statistics=("cooccurrences", "peaks")).fit_transform(images).shape
    (4, 371)
    """

    _family = "residual"

    def __init__(
        self,
        *,
        statistics: Sequence[Statistic] = ("cooccurrences",),
        residuals: Sequence[Residual] = ("second",),
        truncation: int = 2,
        order: int = 4,
        root: bool = True,
        color_space: PlaneSpace = "gray",
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.statistics = statistics
        self.residuals = residuals
        self.truncation = truncation
        self.order = order
        self.root = root
        self.color_space = color_space
        self.crop_size = crop_size
        self.tile_size = tile_size
        self.image_size = image_size
        self.input_shape = input_shape
        self.n_jobs = n_jobs

    def _settings(self) -> dict[str, Any]:
        truncation = check_integer(self, "truncation", minimum=1)
        order = check_integer(self, "order", minimum=1)
        if (2 * truncation + 1) ** order > 100_000:
            raise parameter_error(
                self, "order", f"smaller: (2 * {truncation} + 1) ** order exceeds 100 000 patterns"
            )
        return {
            "statistics": _check_several(self, "statistics", ("cooccurrences", "npr", "peaks")),
            "cooccurrences": {
                "residuals": _check_several(self, "residuals", tuple(ORDERS)),
                "truncation": truncation,
                "order": order,
            },
            "root": bool(check_choice(self, "root", (False, True))),
        }

    def _describe(self, planes: Planes, settings: dict[str, Any]) -> NDArray[np.float32]:
        parts = []
        for statistic in settings["statistics"]:
            if statistic == "peaks":
                parts.append(cross_difference_peaks(planes))
                continue
            shares = (
                npr_statistics(planes)
                if statistic == "npr"
                else residual_cooccurrences(planes, **settings["cooccurrences"])
            )
            parts.append(np.sqrt(shares) if settings["root"] else shares)
        return np.concatenate(parts, axis=1)

    def _minimum_size(self, settings: dict[str, Any]) -> tuple[int, int]:
        runs = settings["cooccurrences"]
        longest = max(ORDERS[residual] for residual in runs["residuals"])
        sides = {"cooccurrences": runs["order"] + longest, "npr": 2, "peaks": PERIOD + 1}
        side = max(sides[statistic] for statistic in settings["statistics"])
        return side, side

    def _plane_names(self, settings: dict[str, Any]) -> list[str]:
        runs = settings["cooccurrences"]
        n_patterns = _patterns(2 * runs["truncation"] + 1, runs["order"])[1]
        names = {
            "cooccurrences": [
                f"{residual}_{direction}_{pattern}"
                for residual in runs["residuals"]
                for direction in ("rows", "columns")
                for pattern in range(n_patterns)
            ],
            "npr": [f"npr_{index}" for index in range(N_NPR)],
            "peaks": [f"peak_{row}_{column}" for row, column in zip(*_peaks(), strict=True)],
        }
        return [name for statistic in settings["statistics"] for name in names[statistic]]


def _check_several(estimator: Any, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Check that a parameter is a sequence of one or more different choices."""
    value = getattr(estimator, name)
    is_sequence = isinstance(value, list | tuple) and len(value) > 0
    if not is_sequence or len(set(value)) < len(value) or not set(value) <= set(choices):
        expected = "a sequence of one or more of " + ", ".join(map(repr, choices))
        raise parameter_error(estimator, name, expected)
    return tuple(value)
