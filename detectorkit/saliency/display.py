"""Plots of saliency maps laid over their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images
from detectorkit.saliency._base import Map, check_map
from detectorkit.utils.extras import require_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "RED", "SaliencyDisplay", "overlay_map"]

RED: Final = (214, 39, 40)
BLUE: Final = (31, 119, 180)

_HIGHEST = 0.995  # quantile of a map at which its colours end: one pixel must not dim the others


def overlay_map(image: NDArray[np.uint8], saliency_map: Map, *, alpha: float = 0.6) -> Any:
    """Draw a saliency map over the grey version of its image."""
    saliency_map = check_map("overlay_map: the map", saliency_map, image.shape[:2])
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    strength = np.clip(saliency_map / _limit(saliency_map), -1, 1)[..., np.newaxis]
    colour = np.where(strength > 0, RED, BLUE)
    share = alpha * np.abs(strength)
    mixed = (1 - share) * grey[..., np.newaxis] + share * colour
    return np.rint(mixed).astype(np.uint8)


def _limit(saliency_map: Map) -> float:
    largest = float(np.quantile(np.abs(saliency_map), _HIGHEST))
    return largest or float(np.abs(saliency_map).max()) or 1.0


class SaliencyDisplay:
    """Plot of images with their saliency maps beside them.

    Use `from_estimator` or `from_maps` to create one.

    Read more in the :ref:`User Guide <saliency>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    images : sequence of ndarray
        Images of dtype uint8, grey or RGB.
    maps : sequence of ndarray
        One map for each image, of the image's height and width.
    titles : sequence of str, default=None
        Text above each image; None writes nothing.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure that holds the plot; set by `plot`.
    axes_ : ndarray of shape (n_images, 2) of matplotlib Axes
        Axes of the image and of the overlay, one row for each image; set by `plot`.
    """

    def __init__(
        self, images: Sequence[Any], maps: Sequence[Map], titles: Sequence[str] | None = None
    ) -> None:
        self.images = images
        self.maps = maps
        self.titles = titles

    @classmethod
    def from_estimator(cls, explainer: Any, X: Any, **options: Any) -> Self:
        """Explain images and plot them with their maps.

        Parameters
        ----------
        explainer : object
            Explainer of `detectorkit.saliency` with a fitted detector.
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.
        **options : object
            Further parameters, passed to `plot`.

        Returns
        -------
        display : SaliencyDisplay
            The plot, with the verdict and its probability as titles.
        """
        detector = explainer.detector
        proba = detector.predict_proba(X)[:, 1]
        verdicts = detector.predict(X)
        titles = [
            f"{'generated' if verdict == detector.classes_[1] else 'real'}, p = {p:.2f}"
            for verdict, p in zip(verdicts, proba, strict=True)
        ]
        return cls.from_maps(X, explainer.transform(X), titles=titles, **options)

    @classmethod
    def from_maps(
        cls, X: Any, maps: Any, *, titles: Sequence[str] | None = None, **options: Any
    ) -> Self:
        """Plot images with maps that were computed before.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects.
        maps : sequence of ndarray
            One map for each image, of the image's height and width.
        titles : sequence of str, default=None
            Text above each image; None writes nothing.
        **options : object
            Further parameters, passed to `plot`.

        Returns
        -------
        display : SaliencyDisplay
            The plot of images and maps.

        Raises
        ------
        ValueError
            If the numbers of maps and images differ.
        """
        sequence = check_images(X, caller=cls.__name__)
        if len(maps) != len(sequence):
            raise ValueError(
                f"{cls.__name__}: {len(maps)} maps for {len(sequence)} images. Pass one map for "
                "each image."
            )
        whole = Preprocessing(None, "rgb")
        images = [sequence.read(index, whole) for index in range(len(sequence))]
        return cls(images, list(maps), titles).plot(**options)

    def plot(self, *, alpha: float = 0.6, figure: Figure | None = None) -> Self:
        """Draw a row for each image: the image, and the map over it.

        Parameters
        ----------
        alpha : float, default=0.6
            Opacity of the strongest colour, from 0 to 1.
        figure : matplotlib Figure, default=None
            Figure to draw on; None makes a new one.

        Returns
        -------
        self : SaliencyDisplay
            The plot itself, with `figure_` and `axes_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message names the extra that brings it.
        """
        require_extra("plot", "matplotlib", caller="SaliencyDisplay.plot")
        from matplotlib import pyplot as plt

        n = len(self.images)
        self.figure_ = figure or plt.figure(figsize=(5, 2.6 * n), layout="constrained")
        self.axes_ = np.asarray(self.figure_.subplots(n, 2, squeeze=False))
        for number, (row, image, found) in enumerate(
            zip(self.axes_, self.images, self.maps, strict=True)
        ):
            row[0].imshow(image, cmap="gray", vmin=0, vmax=255)
            row[1].imshow(overlay_map(image, found, alpha=alpha))
            if self.titles is not None:
                row[0].set_title(self.titles[number], fontsize="medium", loc="left")
            for ax in row:
                ax.set_axis_off()
        return self
