"""What happens to pictures on their way: re-encoding, resizing, cropping, blur, noise and light.

Each function here makes a `Perturbation`, which takes an image and gives the changed one.
`PERTURBATIONS` are the ones that a detector is tried with, `REALISTIC` those that most pictures
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
    """A change that an image may go through; call it with an image and a random state.

    Two perturbations are equal where all their fields are. They can be hashed, and pickled as
    long as `function` is one that a module defines.

    Attributes
    ----------
    name : str
        What reports call it. It also goes into the seed, so that the same perturbation draws
        the same whatever others are tried with it.
    function : callable
        Takes the image, an ndarray of shape (height, width, 3) and dtype uint8 in RGB, a
        RandomState and then `arguments`. It gives an image of the same kind, of any size, and
        leaves the one it got as it was.
    arguments : tuple, default=()
        What else it takes.

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
        """Give the changed image; the same image and random state give the same, bit for bit."""
        return self.function(image, random, *self.arguments)


def jpeg(quality: int, subsampling: Subsampling = "4:2:0") -> Perturbation:
    """Save as JPEG and read again.

    Parameters
    ----------
    quality : int
        From 1 to 100, on the scale of libjpeg.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}, default="4:2:0"
        How finely colour is stored: at full size, at half the width, or at half of both sides.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state.

    Raises
    ------
    ValueError
        If an argument is none of these.
    """
    _check("jpeg", "quality", quality, 1, 100)
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(f"jpeg: subsampling={subsampling!r} must be one of {list(SUBSAMPLINGS)}.")
    name = f"JPEG quality {quality}"
    if subsampling != "4:2:0":
        name += f" {subsampling}"
    return Perturbation(name, _reencode, ("JPEG", quality, subsampling))


def double_jpeg(first: int, second: int, *, shift: int = 4) -> Perturbation:
    """Save as JPEG, cut a few rows and columns off, and save as JPEG again.

    So goes a picture that was downloaded, cropped and posted again: the 8 x 8 blocks of the
    second JPEG lie across those of the first.

    Parameters
    ----------
    first, second : int
        The two qualities, from 1 to 100.
    shift : int, default=4
        Rows and columns that are cut off at the top and on the left. Multiples of 8 leave the
        blocks where they were.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state. Of an image that is not larger than `shift`, one row
        or column is left.

    Raises
    ------
    ValueError
        If an argument is none of these.
    """
    _check("double_jpeg", "first", first, 1, 100)
    _check("double_jpeg", "second", second, 1, 100)
    _check("double_jpeg", "shift", shift, 0, 1000)
    name = f"JPEG {first}, {shift} px cut off, JPEG {second}"
    return Perturbation(name, _reencode_twice, (first, second, shift))


def webp(quality: int) -> Perturbation:
    """Save as WebP, with loss, and read again.

    Parameters
    ----------
    quality : int
        From 1 to 100, on the scale of libwebp.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state.

    Raises
    ------
    ValueError
        If the quality is out of range.
    """
    _check("webp", "quality", quality, 1, 100)
    return Perturbation(f"WebP quality {quality}", _reencode, ("WebP", quality))


def resize(factor: float, *, back: bool = False) -> Perturbation:
    """Resize both sides by a factor.

    Parameters
    ----------
    factor : float
        Below 1 the image shrinks, by averaging over areas; above, it grows linearly. Sides are
        rounded and keep at least one pixel.
    back : bool, default=False
        Whether it is then brought back to the size that it had, as by an upload that is shown
        larger than it was stored.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state.

    Raises
    ------
    ValueError
        If the factor is out of range.
    """
    _check("resize", "factor", factor, 0.001, 10)
    name = f"resized by {factor:g}" + " and back" * back
    return Perturbation(name, _resize_and_back if back else _resize, (factor,))


def crop(share: float, *, place: Literal["centre", "random"] = "random") -> Perturbation:
    """Keep a part of the image.

    Parameters
    ----------
    share : float
        Share of each side that is kept, above 0 and at most 1.
    place : {"centre", "random"}, default="random"
        Where the part lies.

    Returns
    -------
    perturbation : Perturbation
        With "random", it draws the place.

    Raises
    ------
    ValueError
        If an argument is none of these.
    """
    _check("crop", "share", share, 0.001, 1)
    if place not in _CROPS:
        raise ValueError(f"crop: place={place!r} must be one of {list(_CROPS)}.")
    return Perturbation(f"{place} crop {share:g}", _CROPS[place], (share,))


def blur(sigma: float) -> Perturbation:
    """Blur by a Gaussian.

    Parameters
    ----------
    sigma : float
        Its standard deviation in pixels.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state. The image goes on beyond its borders as in a mirror.

    Raises
    ------
    ValueError
        If sigma is not above 0 and at most 100.
    """
    _check("blur", "sigma", sigma, 0.001, 100)
    return Perturbation(f"blur sigma {sigma:g}", _blur, (sigma,))


def noise(sigma: float) -> Perturbation:
    """Add Gaussian noise, to every pixel and channel its own.

    Parameters
    ----------
    sigma : float
        Its standard deviation in grey levels, of which there are 256.

    Returns
    -------
    perturbation : Perturbation
        It draws the noise. Results are rounded, and clipped to 0 and 255.

    Raises
    ------
    ValueError
        If sigma is not from 0 to 255.
    """
    _check("noise", "sigma", sigma, 0, 255)
    return Perturbation(f"noise sigma {sigma:g}", _add_noise, (sigma,))


def light(*, brightness: float = 0, contrast: float = 1) -> Perturbation:
    """Change brightness and contrast.

    Parameters
    ----------
    brightness : float, default=0
        Grey levels that are added to every pixel, from -255 to 255.
    contrast : float, default=1
        Factor of the distance of every pixel from mid-grey, which is 127.5; from 0 to 10.

    Returns
    -------
    perturbation : Perturbation
        The same for every random state. Results are rounded, and clipped to 0 and 255.

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
    """Shrink and compress, as programs that send photographs do.

    Parameters
    ----------
    longest : int, default=1280
        Pixels of the longer side that are left at most.
    share : float, default=0.8
        Share of the longer side that is left at most. Without it, small images would only be
        compressed.
    quality : int, default=70
        Of the JPEG, which stores colour at half of both sides (4:2:0).

    Returns
    -------
    perturbation : Perturbation
        The same for every random state.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    It models a picture that is sent through a messenger: these limit the longer side, drop
    half of the colour and save a strong JPEG. The recipe and its numbers are ours. They were
    not measured on any program, and programs differ and change.
    """
    _check("messenger", "longest", longest, 1, 100_000)
    _check("messenger", "share", share, 0.001, 1)
    _check("messenger", "quality", quality, 1, 100)
    return Perturbation("messenger", _send, (longest, share, quality))


def _check(caller: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{caller}: {name}={value!r} must be from {low:g} to {high:g}.")


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
"""What a detector is tried with by default: each kind of change, JPEG from mild to strong."""

REALISTIC: Final = (jpeg(90), jpeg(75), webp(80), resize(0.75), messenger())
"""The re-encodings that a picture meets on its way through the web; all in `PERTURBATIONS`."""
