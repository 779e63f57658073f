"""Size and place of the gradients of a detector's loss in real and in generated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from detectorkit.features.skin import check_mask
from detectorkit.images.batches import iter_slices
from detectorkit.images.preprocessing import convert_color
from detectorkit.images.sequence import check_images
from detectorkit.metrics.estimates import Estimate
from detectorkit.saliency._activations import check_whole_images
from detectorkit.saliency._score import score_gradient
from detectorkit.saliency.gradient import GradientSaliency
from detectorkit.saliency.regions import Regions, face_regions
from detectorkit.utils.extras import require_extra
from detectorkit.utils.json import to_plain
from detectorkit.utils.labels import encode_labels
from detectorkit.utils.progress import track
from detectorkit.utils.validation import check_argument, check_confidence, check_count, check_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ClassGradients",
    "Distribution",
    "GradientStatistics",
    "RegionShare",
    "gradient_statistics",
]

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NEAR_ZERO: Final = 0.01  # as a proportion of the standard deviation
_BLOCK: Final = 8  # side of a block of texture, in pixels
_N_BINS: Final = 64
_DECADES: Final = 8  # powers of ten below the largest absolute value in the histogram
_N_VALUES: Final = 4096  # derivatives that are kept of each image
_BATCH_SIZE: Final = 16
_CALLER: Final = "gradient_statistics"


@dataclass(frozen=True)
class Distribution:
    """Distribution of the derivatives by pixels.

    Attributes
    ----------
    mean : float
        Mean of the signed values.
    std : float
        Standard deviation of the signed values.
    kurtosis : float
        Excess kurtosis, 0 for a normal distribution; nan where all values are the same.
    near_zero : float
        Proportion of the values that are at most a hundredth of the standard deviation from 0.
    quantiles : dict of float to float
        Quantiles of the signed values, by the proportion of values below.
    histogram : ndarray of shape (n_bins,)
        Proportion of the absolute values in each bin of `GradientStatistics.edges`; values below
        the first edge are not counted in a bin.
    """

    mean: float
    std: float
    kurtosis: float
    near_zero: float
    quantiles: dict[float, float]
    histogram: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class RegionShare:
    """Proportion of the gradient that lies in a region.

    Attributes
    ----------
    mass : float
        Proportion of the absolute gradient in the region, a mean over images.
    area : float
        Proportion of the pixels in the region, a mean over the same images.
    ratio : Estimate
        Quotient of mass and area, with its interval; above 1 where the gradient prefers the region,
        nan where the region is empty in all images.
    """

    mass: float
    area: float
    ratio: Estimate


@dataclass(frozen=True)
class ClassGradients:
    """Statistics of the gradients in the images of one class.

    Attributes
    ----------
    n : int
        Number of images of the class.
    n_saturated : int
        Number of images with a gradient of 0, because the detector is so sure of them. They count
        in the distribution, but not in the regions and the correlation.
    distribution : Distribution
        Distribution of the derivatives of all images.
    regions : dict of str to RegionShare
        Proportions of the gradient in each region, by its name.
    texture_correlation : Estimate
        Spearman correlation of gradient and texture over the blocks of an image, as a mean over
        images: positive where the gradient is large in rough areas; nan if it is undefined for all
        images.
    """

    n: int
    n_saturated: int
    distribution: Distribution
    regions: dict[str, RegionShare]
    texture_correlation: Estimate


@dataclass(frozen=True)
class GradientStatistics:
    """Statistics of the gradients in real and in generated images, side by side.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the histograms of the absolute values, evenly spaced on a logarithmic scale up to
        the largest of both classes.
    real, generated : ClassGradients
        Statistics of real and of generated images.
    """

    edges: NDArray[np.float64] = field(repr=False)
    real: ClassGradients
    generated: ClassGradients

    def to_dict(self) -> dict[str, Any]:
        """Return all statistics in a form that JSON can hold."""
        content: dict[str, Any] = to_plain(self)
        return content

    def plot(
        self, ax: Axes | None = None, *, kind: Literal["distribution", "regions"] = "distribution"
    ) -> Axes:
        """Plot both classes in one figure."""
        caller = f"{type(self).__name__}.plot"
        check_argument(caller, "kind", kind, ("distribution", "regions"))
        require_extra("plot", "matplotlib", caller=caller)
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots()[1]
        if kind == "distribution":
            self._plot_distribution(ax)
        else:
            self._plot_regions(ax)
        ax.legend()
        return ax

    def _plot_distribution(self, ax: Axes) -> None:
        for name, figures in (("real", self.real), ("generated", self.generated)):
            ax.stairs(figures.distribution.histogram, self.edges, label=name)
        ax.set(xscale="log", xlabel="|derivative of the loss|", ylabel="proportion of the values")

    def _plot_regions(self, ax: Axes) -> None:
        names = list(self.real.regions)
        for offset, name in ((-0.1, "real"), (0.1, "generated")):
            regions: dict[str, RegionShare] = getattr(self, name).regions
            value, low, high = np.array([regions[one].ratio for one in names]).T
            places = np.arange(len(names)) + offset
            lengths = np.maximum([value - low, high - value], 0)  # rounding may make them negative
            ax.errorbar(places, value, lengths, fmt="o", label=name)
        ax.axhline(1, color="gray", linewidth=0.8)
        ax.set_xticks(range(len(names)), names)
        ax.set_ylabel("proportion of the gradient / of the area")


class _Part(NamedTuple):
    """Measurements of some images.

    Attributes
    ----------
    names : tuple of str
        Names of the regions, in order.
    values : ndarray of shape (n, n_values)
        Derivatives that were drawn at random.
    mass, area : ndarray of shape (n, n_regions)
        Proportions of the gradient, nan where it is 0, and of the pixels.
    correlation : ndarray of shape (n,)
        Correlation of gradient and texture; nan where it is not defined.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    mass: NDArray[np.float64]
    area: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> _Part:
        """Return the measurements of the chosen images."""
        return _Part(
            self.names,
            self.values[chosen],
            self.mass[chosen],
            self.area[chosen],
            self.correlation[chosen],
        )


def gradient_statistics(
    detector: Any,
    X: Any,
    y: Any,
    *,
    masks: Literal["face"] | Callable[[NDArray[Any]], Regions] = "face",
    n_resamples: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> GradientStatistics:
    """Compare the gradients of the loss in real and in generated images.

    Parameters
    ----------
    detector : estimator
        A fitted detector that is a graph from pixels to a score, and takes whole images.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    y : array-like of shape (n_samples,)
        Labels of the images; both classes are needed.
    masks : {"face"} or callable, default="face"
        Regions of the images: those of `face_regions`, or those that a function returns for RGB
        images of shape (n, height, width, 3), at the size of the detector's input: a dict of the
        same names each time, each with an array of shape (n, height, width) and dtype bool. Regions
        of a function may overlap; then their proportions need not add up to 1.
    n_resamples : int, default=1000
        Number of bootstrap samples of the images, for the intervals.
    confidence : float, default=0.95
        Confidence level of the percentile bootstrap intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the derivatives that are kept and of the bootstrap samples.
    n_jobs : int, default=None
        Number of threads that work on one image together. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether progress is shown on standard error.

    Returns
    -------
    statistics : GradientStatistics
        Distributions, proportions in regions, and correlations with texture.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ModelFileError
        If the gradient of the detector cannot be computed, or it takes crops of images.
    ValueError
        If the labels, the images or the regions are wrong, or the gradient is 0 everywhere.

    See Also
    --------
    GradientSaliency : Map of the gradient of one image.
    DeepFeatureFactorization : Concepts that tell the classes apart.

    Notes
    -----
    The gradient is that of the binary cross-entropy of the score's sigmoid and the label, by pixels
    from 0 to 1 at the size of the detector's input, as in the study that this library grew from.
    Its size depends on how wrong the detector is about an image, so a distribution says more about
    the score than about the pixels. Proportions and correlations are computed within each image,
    and every image counts the same, so they are also those of the gradient of the score.

    The distribution is that of 4096 derivatives of each image, drawn at random, or of all in
    smaller images. Texture is the standard deviation of the luma in each block of 8 x 8 pixels, and
    it is correlated with the sum of the absolute gradient there; incomplete blocks at the right and
    the lower edge are left out. Intervals cover chance in the images, not the choice of generators.
    A gradient is not a proof: it says where the score would change, not why it is what it is.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency.statistics import gradient_statistics
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> statistics = gradient_statistics(detector, X, [0, 1] * 4)
    >>> statistics.real.n, round(sum(r.mass for r in statistics.real.regions.values()), 6)
    (4, 1.0)
    """
    check_is_fitted(detector)
    images = check_images(X, caller=_CALLER)
    check_confidence(_CALLER, confidence)
    check_count(_CALLER, "n_resamples", n_resamples, minimum=1)
    seed = check_seed(_CALLER, random_state)
    is_generated = encode_labels(_CALLER, y, detector, need_both=True) == 1
    check_consistent_length(images, is_generated)
    if not callable(masks):
        check_argument(_CALLER, "masks", masks, ("face",))
        masks = face_regions
    saliency, labels = GradientSaliency(detector, n_jobs=n_jobs), np.asarray(y)
    record = score_gradient(detector, saliency._kept, n_jobs=n_jobs).record  # noqa: SLF001 - its own
    check_whole_images(record, _CALLER)
    wanted = replace(record.preprocessing, color_space="rgb")

    def measure(index: range) -> _Part:
        part = slice(index.start, index.stop)
        colours = np.stack([images.read(one, wanted) for one in index])
        gradient = saliency.gradient(images[part], labels[part], of="loss")
        regions = _check_regions(masks(colours), colours.shape[:3])
        randoms = [np.random.default_rng([seed, one]) for one in index]
        return _measure(gradient, colours, regions, randoms)

    indices = (range(len(images))[part] for part in iter_slices(len(images), _BATCH_SIZE))
    tracked = track("Differentiating", indices, len(images), show=verbose)
    whole = _join([measure(index) for index in tracked])
    edges = _make_edges(whole.values)
    resample = _Bootstrap(n_resamples, confidence, seed)
    real, generated = (
        _summarize(whole.take(chosen), edges, resample) for chosen in (~is_generated, is_generated)
    )
    return GradientStatistics(edges, real, generated)


def _check_regions(regions: Any, shape: tuple[int, ...]) -> Regions:
    if not isinstance(regions, dict) or not regions:
        raise ValueError(
            f"{_CALLER}: masks returned {type(regions).__name__} {regions!r:.60}. Return a dict "
            "of names and masks."
        )
    for name, mask in regions.items():
        check_mask(f"{_CALLER}, region {name!r}", np.asarray(mask), shape)
    return {name: np.asarray(mask) for name, mask in regions.items()}


def _measure(
    gradient: NDArray[np.float32],
    colours: NDArray[Any],
    regions: Regions,
    randoms: list[np.random.Generator],
) -> _Part:
    """Measure images of one size."""
    rows = gradient.reshape(len(gradient), -1)
    n_values = min(_N_VALUES, rows.shape[1])
    values = [
        random.choice(row, n_values, replace=False)
        for random, row in zip(randoms, rows, strict=True)
    ]
    size = np.abs(gradient, dtype=np.float64)
    if size.ndim == 4:
        size = size.sum(axis=3)
    total = size.sum(axis=(1, 2))
    total[total == 0] = np.nan
    mass = [(size * mask).sum(axis=(1, 2)) / total for mask in regions.values()]
    area = [mask.mean(axis=(1, 2)) for mask in regions.values()]
    luma = np.stack([convert_color(image, "gray") for image in colours])
    pairs = zip(_blocks(size).sum(axis=2), _blocks(luma).std(axis=2), strict=True)
    correlation = np.array([_correlate(*pair) for pair in pairs])
    return _Part(
        tuple(regions), np.stack(values), np.stack(mass, 1), np.stack(area, 1), correlation
    )


def _blocks(planes: NDArray[Any]) -> NDArray[Any]:
    """Cut planes into blocks and return them as (n, n_blocks, n_pixels)."""
    n, rows, columns = len(planes), planes.shape[1] // _BLOCK, planes.shape[2] // _BLOCK
    whole = planes[:, : rows * _BLOCK, : columns * _BLOCK]
    blocks = whole.reshape(n, rows, _BLOCK, columns, _BLOCK).swapaxes(2, 3)
    return blocks.reshape(n, rows * columns, _BLOCK**2)


def _correlate(mass: NDArray[np.float64], texture: NDArray[np.float64]) -> float:
    """Compute Spearman's correlation; nan where one of the two is the same everywhere."""
    if len(mass) < 2 or np.ptp(mass) == 0 or np.ptp(texture) == 0:
        return float("nan")
    return float(spearmanr(mass, texture).statistic)


def _join(parts: list[_Part]) -> _Part:
    names = parts[0].names
    for part in parts:
        if part.names != names:
            raise ValueError(
                f"{_CALLER}: masks returned the regions {list(part.names)} for some images and "
                f"{list(names)} for others. Return the same ones, with empty masks where needed."
            )
    columns = zip(*(part[1:] for part in parts), strict=True)
    return _Part(names, *map(np.concatenate, columns))


def _make_edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    largest = float(np.abs(values).max())
    if largest == 0:
        raise ValueError(
            f"{_CALLER}: the gradient is 0 everywhere. The detector is so sure of all these images "
            "that its loss does not change; pass images that it finds harder."
        )
    return np.geomspace(largest * 10.0**-_DECADES, largest, _N_BINS + 1)


def _summarize(part: _Part, edges: NDArray[np.float64], resample: _Bootstrap) -> ClassGradients:
    """Summarise the measurements of one class."""
    defined = ~np.isnan(part.mass[:, 0])
    mass, area = part.mass[defined], part.area[defined]
    regions = {
        name: RegionShare(_mean(above), _mean(below), resample.ratio(above, below))
        for name, above, below in zip(part.names, mass.T, area.T, strict=True)
    }
    correlation = part.correlation[~np.isnan(part.correlation)]
    return ClassGradients(
        n=len(part.values),
        n_saturated=int(np.sum(~defined)),
        distribution=_describe(part.values.ravel(), edges),
        regions=regions,
        texture_correlation=resample.ratio(correlation, np.ones_like(correlation)),
    )


def _describe(values: NDArray[np.float32], edges: NDArray[np.float64]) -> Distribution:
    exact = values.astype(np.float64)
    mean, std, size = exact.mean(), exact.std(), np.abs(exact)
    fourth = np.mean((exact - mean) ** 4)
    return Distribution(
        mean=float(mean),
        std=float(std),
        kurtosis=float(fourth / std**4 - 3) if std > 0 else float("nan"),
        near_zero=float(np.mean(size <= NEAR_ZERO * std)),
        quantiles=dict(zip(QUANTILES, np.quantile(exact, QUANTILES).tolist(), strict=True)),
        histogram=np.histogram(size, edges)[0] / len(size),
    )


def _mean(shares: NDArray[np.float64]) -> float:
    return float(shares.mean()) if len(shares) else float("nan")


@dataclass(frozen=True)
class _Bootstrap:
    """Bootstrap over images, with the same samples for equal numbers of images."""

    n_resamples: int
    confidence: float
    seed: int

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> Estimate:
        """Return the ratio of two means over images, nan where the second is 0.

        The interval of a single image is unknown, so it is nan.
        """
        n = len(below)
        if not below.any():
            return Estimate(float("nan"), float("nan"), float("nan"))
        value = float(above.sum() / below.sum())
        if n < 2:
            return Estimate(value, float("nan"), float("nan"))
        random = np.random.default_rng(self.seed)
        weight = random.multinomial(n, np.full(n, 1 / n), self.n_resamples)
        totals = weight @ np.stack([above, below], axis=1)
        known = totals[totals[:, 1] > 0]  # the region may be missing in a sample
        tails = [(1 - self.confidence) / 2, (1 + self.confidence) / 2]
        low, high = np.quantile(known[:, 0] / known[:, 1], tails).tolist()
        return Estimate(value, low, high)
