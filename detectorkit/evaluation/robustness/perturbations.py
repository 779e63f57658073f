"""Perturbations of images: re-encoding, resizing, cropping, blur, noise, brightness and contrast.

Each function here makes a `Perturbation`, which takes an image and returns the changed one.
`PERTURBATIONS` are those of a robustness report by default, `REALISTIC` those that most pictures
meet on the web.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import SUBSAMPLINGS, FileFormat, Subsampling, encode_image
from detectorkit.images.levels import levels_as_uint8
from detectorkit.images.preprocessing import resize_image

__all__ = [
    "PERTURBATIONS",
    "REALISTIC",
    "Perturbation",
    "blur",
    "crop",
    "double_jpeg",
    "jpeg",
    "light",
    "messenger",
    "noise",
    "resize",
    "webp",
]

Image = NDArray[np.uint8]

_MID_GREY = 127.5


@dataclass(frozen=True)
class Perturbation:
    """A change to an image, such as compression; call it with an image and a random state.

    Two perturbations are equal if all their attributes are. They can be hashed, and can be pickled
    if `function` is defined in a module.

    Attributes
    ----------
    name : str
        Name of the perturbation in reports. The name also goes into the seed, so that the same
        perturbation draws the same random numbers whatever other perturbations are tried with it.
    function : callable
        Function that takes the image (an ndarray of shape (height, width, 3) and dtype uint8, in
        RGB), a RandomState, and then `arguments`. It returns a new image of the same kind, of any
        size, and does not change the one it was given.
    arguments : tuple, default=()
        Further arguments that are passed to `function`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation.robustness.perturbations import Perturbation, jpeg
    >>> image = np.zeros((64, 64, 3), dtype=np.uint8)
    >>> jpeg(75)(image, np.random.RandomState(0)).shape
    (64, 64, 3)
    >>> def mirror(image, random):
    ...     return image[:, ::-1]
    >>> Perturbation("mirror", mirror)(image, np.random.RandomState(0)).shape
    (64, 64, 3)
    """

    name: str
    function: Callable[..., Image]
    arguments: tuple[Any, ...] = ()

    def __call__(self, image: Image, random: np.random.RandomState) -> Image:
        """Return the changed image, which is the same, bit for bit, for the same random state."""
        return self.function(image, random, *self.arguments)


def jpeg(quality: int, subsampling: Subsampling = "4:2:0") -> Perturbation:
    """Make a perturbation that saves an image as JPEG and reads it again.

    Parameters
    ----------
    quality : int
        JPEG quality on the scale of libjpeg, from 1 to 100.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}, default="4:2:0"
        Resolution of the colour: at full size, at half the width, or at half of both sides.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state.

    Raises
    ------
    ValueError
        If the quality is out of range, or the subsampling unknown.
    """
    _check("jpeg", "quality", quality, 1, 100)
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(f"jpeg: subsampling={subsampling!r} must be one of {list(SUBSAMPLINGS)}.")
    name = f"JPEG quality {quality}"
    if subsampling != "4:2:0":
        name += f" {subsampling}"
    return Perturbation(name, _reencode, ("JPEG", quality, subsampling))


def double_jpeg(first: int, second: int, *, shift: int = 4) -> Perturbation:
    """Make a perturbation that saves as JPEG, cuts off a few rows and columns, and saves again.

    It models a picture that was downloaded, cropped and posted again: the 8 x 8 blocks of the
    second JPEG lie across those of the first.

    Parameters
    ----------
    first, second : int
        JPEG qualities of the first and the second file, from 1 to 100.
    shift : int, default=4
        Number of rows and columns to cut off at the top and on the left, from 0 to 1000. Multiples
        of 8 leave the blocks where they were.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state. If an image is not larger than `shift`,
        one row or column is left.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    _check("double_jpeg", "first", first, 1, 100)
    _check("double_jpeg", "second", second, 1, 100)
    _check("double_jpeg", "shift", shift, 0, 1000)
    name = f"JPEG {first}, {shift} px cut off, JPEG {second}"
    return Perturbation(name, _reencode_twice, (first, second, shift))


def webp(quality: int) -> Perturbation:
    """Make a perturbation that saves an image as lossy WebP and reads it again.

    Parameters
    ----------
    quality : int
        WebP quality on the scale of libwebp, from 1 to 100.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state.

    Raises
    ------
    ValueError
        If the quality is out of range.
    """
    _check("webp", "quality", quality, 1, 100)
    return Perturbation(f"WebP quality {quality}", _reencode, ("WebP", quality))


def resize(factor: float, *, back: bool = False) -> Perturbation:
    """Make a perturbation that resizes both sides of an image by a factor.

    Parameters
    ----------
    factor : float
        Factor of both sides, from 0.001 to 10. Below 1 the image is shrunk by averaging over
        areas; above 1 it is enlarged by linear interpolation. Sides are rounded and keep at least
        one pixel.
    back : bool, default=False
        Whether to resize the image back to its original size afterwards, as a website does that
        shows a picture larger than it stores it.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state.

    Raises
    ------
    ValueError
        If the factor is out of range.
    """
    _check("resize", "factor", factor, 0.001, 10)
    name = f"resized by {factor:g}" + " and back" * back
    return Perturbation(name, _resize_and_back if back else _resize, (factor,))


def crop(share: float, *, place: Literal["centre", "random"] = "random") -> Perturbation:
    """Make a perturbation that keeps a part of the image.

    Parameters
    ----------
    share : float
        Proportion of each side that is kept, from 0.001 to 1.
    place : {"centre", "random"}, default="random"
        Place of the part that is kept: the centre, or a place drawn at random for each image.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that uses the random state if `place` is "random".

    Raises
    ------
    ValueError
        If the proportion is out of range, or the place unknown.
    """
    _check("crop", "share", share, 0.001, 1)
    if place not in _CROPS:
        raise ValueError(f"crop: place={place!r} must be one of {list(_CROPS)}.")
    return Perturbation(f"{place} crop {share:g}", _CROPS[place], (share,))


def blur(sigma: float) -> Perturbation:
    """Make a perturbation that blurs an image with a Gaussian.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian in pixels, from 0.001 to 100.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state. At its borders, the image is continued
        by reflection.

    Raises
    ------
    ValueError
        If sigma is out of range.
    """
    _check("blur", "sigma", sigma, 0.001, 100)
    return Perturbation(f"blur sigma {sigma:g}", _blur, (sigma,))


def noise(sigma: float) -> Perturbation:
    """Make a perturbation that adds Gaussian noise, independent for every pixel and channel.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise in grey levels, from 0 to 255.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that draws the noise with the random state. Results are rounded, and clipped
        to 0 and 255.

    Raises
    ------
    ValueError
        If sigma is out of range.
    """
    _check("noise", "sigma", sigma, 0, 255)
    return Perturbation(f"noise sigma {sigma:g}", _add_noise, (sigma,))


def light(*, brightness: float = 0, contrast: float = 1) -> Perturbation:
    """Make a perturbation that changes brightness and contrast.

    Parameters
    ----------
    brightness : float, default=0
        Number of grey levels that are added to every pixel, from -255 to 255.
    contrast : float, default=1
        Factor of the distance of every pixel from mid-grey (127.5), from 0 to 10.

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state. Results are rounded, and clipped to 0
        and 255.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    _check("light", "brightness", brightness, -255, 255)
    _check("light", "contrast", contrast, 0, 10)
    parts = [f"brightness {brightness:+g}"] * (brightness != 0)
    parts += [f"contrast {contrast:g}"] * (contrast != 1)
    return Perturbation(", ".join(parts) or "same light", _scale_levels, (brightness, contrast))


def messenger(*, longest: int = 1280, share: float = 0.8, quality: int = 70) -> Perturbation:
    """Make a perturbation that shrinks and compresses an image, as messengers do.

    Parameters
    ----------
    longest : int, default=1280
        Maximum length of the longer side afterwards, in pixels.
    share : float, default=0.8
        Maximum length of the longer side afterwards, as a proportion of its length before, from
        0.001 to 1. Without this limit, small images would only be compressed.
    quality : int, default=70
        Quality of the JPEG, from 1 to 100. It stores colour at half of both sides (4:2:0).

    Returns
    -------
    perturbation : Perturbation
        A perturbation that does not use the random state.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    It models a picture that is sent through a messenger: messengers limit the longer side, store
    colour at half the resolution and compress strongly. The recipe and its numbers are ours. They
    were not measured on any program, and programs differ and change.
    """
    _check("messenger", "longest", longest, 1, 100_000)
    _check("messenger", "share", share, 0.001, 1)
    _check("messenger", "quality", quality, 1, 100)
    return Perturbation("messenger", _send, (longest, share, quality))


def _check(caller: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{caller}: {name}={value!r} must be between {low:g} and {high:g}.")


def _reencode(
    image: Image,
    _: np.random.RandomState,
    file_format: FileFormat,
    quality: int,
    subsampling: Subsampling = "4:2:0",
) -> Image:
    data = encode_image(image, file_format, quality=quality, subsampling=subsampling)
    return decode_image(data)


def _reencode_twice(
    image: Image, random: np.random.RandomState, first: int, second: int, shift: int
) -> Image:
    image = _reencode(image, random, "JPEG", first)
    row, col = (min(shift, side - 1) for side in image.shape[:2])
    return _reencode(image[row:, col:], random, "JPEG", second)


def _scaled(image: Image, factor: float) -> tuple[int, int]:
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return height, width


def _resize(image: Image, _: np.random.RandomState, factor: float) -> Image:
    return resize_image(image, _scaled(image, factor))


def _resize_and_back(image: Image, _: np.random.RandomState, factor: float) -> Image:
    height, width = image.shape[:2]
    return resize_image(resize_image(image, _scaled(image, factor)), (height, width))


def _crop_centre(image: Image, _: np.random.RandomState, share: float) -> Image:
    height, width = _scaled(image, share)
    row, col = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[row : row + height, col : col + width]


def _crop_at_random(image: Image, random: np.random.RandomState, share: float) -> Image:
    height, width = _scaled(image, share)
    row = random.randint(image.shape[0] - height + 1)
    col = random.randint(image.shape[1] - width + 1)
    return image[row : row + height, col : col + width]


_CROPS: Final = {"centre": _crop_centre, "random": _crop_at_random}


def _blur(image: Image, _: np.random.RandomState, sigma: float) -> Image:
    blurred: Any = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return blurred


def _add_noise(image: Image, random: np.random.RandomState, sigma: float) -> Image:
    noisy = random.normal(0, sigma, image.shape)
    noisy += image  # in place, as for a large image each copy is hundreds of megabytes
    return levels_as_uint8(noisy)


def _scale_levels(
    image: Image, _: np.random.RandomState, brightness: float, contrast: float
) -> Image:
    levels = np.arange(256, dtype=np.float64)
    return levels_as_uint8((levels - _MID_GREY) * contrast + _MID_GREY + brightness)[image]


def _send(
    image: Image, random: np.random.RandomState, longest: int, share: float, quality: int
) -> Image:
    factor = min(share, longest / max(image.shape[:2]))
    return _reencode(_resize(image, random, factor), random, "JPEG", quality)


PERTURBATIONS: Final = (
    jpeg(95, "4:4:4"),
    jpeg(90),
    jpeg(75),
    jpeg(50),
    double_jpeg(75, 90),
    webp(80),
    resize(0.75),
    resize(0.5, back=True),
    crop(0.8),
    blur(1),
    noise(5),
    light(brightness=30),
    light(contrast=0.7),
    messenger(),
)
"""The default of `robustness_report`: every kind of perturbation, with JPEG from mild to strong."""

REALISTIC: Final = (jpeg(90), jpeg(75), webp(80), resize(0.75), messenger())
"""The re-encodings that most pictures meet on the web, a part of `PERTURBATIONS`."""
