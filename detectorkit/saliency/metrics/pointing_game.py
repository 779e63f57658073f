"""The pointing game on spliced images, half photograph and half generated."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.levels import from_levels, to_levels
from detectorkit.images.preprocessing import Image, convert_color, resize_image
from detectorkit.images.sequence import check_images
from detectorkit.metrics.estimates import Estimate, proportion
from detectorkit.saliency._seen import read_as_given
from detectorkit.utils.validation import check_seed

__all__ = ["PointingGame", "pointing_game"]

_SEAM: Final = 4.0  # pixels over which one half of a splice fades into the other


_SMOOTHING: Final = 0.02  # standard deviation, as a proportion of the longer side


_SIDES: Final = ("left", "right", "top", "bottom")


class PointingGame(NamedTuple):
    """Results of `pointing_game`.

    Attributes
    ----------
    hit_rate : Estimate
        Proportion of the splices in which the largest value of the map lies in the generated half,
        with its 95 % Wilson interval. By chance it is 0.5.
    mass_share : float
        Mean proportion of the sum of a map's positive values that lies in the generated half. By
        chance it is 0.5.
    n : int
        Number of images that were spliced.
    """

    hit_rate: Estimate
    mass_share: float
    n: int


def pointing_game(
    explainer: Any,
    X_real: Any,
    X_generated: Any,
    *,
    random_state: int | np.random.RandomState | None = 0,
) -> PointingGame:
    """Splice real and generated images, and count how often a map finds the generated half.

    Parameters
    ----------
    explainer : Saliency
        Explainer with a fitted detector.
    X_real : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The real images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
        of bytes or of file objects.
    X_generated : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The generated images, equal in number: one array, or a sequence of arrays (of any sizes) or
        of paths. Each is spliced with the real image at its position, and resized where the sizes
        differ. Resizing leaves traces of its own, so pass pairs of one size where you can.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the choice which half is generated: left, right, top or bottom.

    Returns
    -------
    found : PointingGame
        Rate and mass with which the maps pointed to the generated half.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    ValueError
        If an argument is wrong, or the numbers of real and generated images differ.

    Notes
    -----
    This is the pointing game of Zhang et al. [1]_ on spliced images, of which it is certain which
    pixels are generated. The halves fade into each other over 4 pixels, so that no sharp edge gives
    the place away. Maps are smoothed by a Gaussian of a fiftieth of the longer side before their
    largest value is taken. The mass of a signed map is that of its values above 0; where all
    are 0 or less, the proportion counts as 0.5.

    References
    ----------
    .. [1] J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff, "Top-down neural
       attention by excitation backprop", International Journal of Computer Vision 2018,
       :doi:`10.1007/s11263-017-1059-x`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit import HoGSVMDetector
    >>> from detectorkit.saliency import GradientSaliency
    >>> from detectorkit.saliency.metrics.pointing_game import pointing_game
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    >>> detector = HoGSVMDetector(image_size=(64, 64)).fit(X, [0, 1] * 4)
    >>> pointing_game(GradientSaliency(detector), X[::2], X[1::2]).n
    4
    """
    caller = "pointing_game"
    seed = check_seed(caller, random_state)
    real, generated = (check_images(X, caller=caller) for X in (X_real, X_generated))
    if len(real) != len(generated):
        raise ValueError(
            f"{caller}: there are {len(real)} real and {len(generated)} generated images. Pass "
            "equally many, because they are spliced in pairs."
        )
    random = np.random.default_rng(seed)
    hits, shares = 0, []
    for index in range(len(real)):
        first, second = read_as_given(real, index), read_as_given(generated, index)
        weight = _half(first.shape[:2], _SIDES[random.integers(len(_SIDES))])
        found = np.asarray(explainer.transform([_splice(first, second, weight)])[0], np.float64)
        is_hit, mass = _point(found, weight > 0.5)
        hits += is_hit
        shares.append(mass)
    return PointingGame(proportion(hits, len(real)), float(np.mean(shares)), len(real))


def _half(shape: tuple[int, ...], side: str) -> NDArray[np.float32]:
    """Return the weight of the generated image at each pixel: 1 on one side, with a soft seam."""
    axis = 0 if side in {"top", "bottom"} else 1
    from_middle = np.arange(shape[axis]) - (shape[axis] - 1) / 2
    if side in {"left", "top"}:
        from_middle = -from_middle
    weight = (from_middle / _SEAM + 0.5).clip(0, 1).astype(np.float32)
    return np.broadcast_to(weight[:, np.newaxis] if axis == 0 else weight, shape)


def _splice(real: Image, generated: Image, weight: NDArray[np.float32]) -> Image:
    """Mix two images in the colours and the type of the real one."""
    if real.ndim != generated.ndim:
        real, generated = (convert_color(one, "rgb") for one in (real, generated))
    if real.shape != generated.shape:
        generated = resize_image(generated, real.shape[:2])
    if real.ndim == 3:
        weight = weight[..., np.newaxis]
    return from_levels(to_levels(generated) * weight + to_levels(real) * (1 - weight), real)


def _point(found: NDArray[np.float64], is_generated: NDArray[np.bool_]) -> tuple[bool, float]:
    """Return whether the largest value lies in the half, and the proportion of the mass there."""
    smooth = cv2.GaussianBlur(found, (0, 0), _SMOOTHING * max(found.shape))
    mass = found.clip(min=0)
    total = mass.sum()
    share_inside = float(mass[is_generated].sum() / total) if total else 0.5
    return bool(is_generated.flat[np.argmax(smooth)]), share_inside
