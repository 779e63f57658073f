"""What happens to image files on their way: cropped, resized and encoded by cameras and websites.

These changes come before the treatment of a detector, so that it learns from images as it will get
them. `Augmentation` uses them for networks, `add_views` for detectors on fixed features.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.base import FitInputs
from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.preprocessing import Image, Preprocessing
from detectorkit.images.sequence import ImageSequence

__all__ = ["FileChanges", "add_views", "read_changed"]

_FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class FileChanges:
    """Random changes that a file goes through before a detector sees it, whatever its label.

    An image is cropped, made smaller, blurred and encoded, in this order. Which of these happen,
    and how much, depends on nothing but random numbers, so it is alike for both classes.

    Attributes
    ----------
    crop : float, default=0.3
        Probability that a part is cut out, with the aspect ratio of the image.
    smallest_crop : float, default=0.7
        Smallest side of that part, as a proportion of the side of the image.
    resize : float, default=0.7
        Probability that the image is made smaller, by area, linear, cubic or Lanczos filter.
    min_side : int, default=96
        Smallest short side after that, in pixels. Sizes between this and the image's own are
        equally likely on a logarithmic scale.
    blur : float, default=0.15
        Probability of a Gaussian blur.
    sigma : tuple of (float, float), default=(0.3, 1.0)
        Smallest and largest standard deviation of the blur, in pixels.
    encode : float, default=0.8
        Probability that the image is encoded with loss.
    webp : float, default=0.25
        Proportion of WebP among the encoded images. The others are JPEG, half of them with chroma
        4:2:0 and half with 4:4:4.
    quality : tuple of (int, int), default=(50, 95)
        Lowest and highest quality of JPEG and WebP.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.training import FileChanges
    >>> image = np.zeros((300, 400, 3), np.uint8)
    >>> FileChanges(crop=0, resize=1).apply(image, np.random.default_rng(0)).shape
    (101, 134, 3)
    """

    crop: float = 0.3
    smallest_crop: float = 0.7
    resize: float = 0.7
    min_side: int = 96
    blur: float = 0.15
    sigma: tuple[float, float] = (0.3, 1.0)
    encode: float = 0.8
    webp: float = 0.25
    quality: tuple[int, int] = (50, 95)

    def apply(self, image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Change an image at random.

        Parameters
        ----------
        image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
            Image to change.
        random : Generator
            Generator of the random numbers.

        Returns
        -------
        changed : ndarray of shape (new_height, new_width) or (new_height, new_width, 3), \
                dtype uint8
            Changed image, not larger than the given one.
        """
        changed: Any = image
        if random.random() < self.crop:
            changed = self._cut(changed, random)
        if random.random() < self.resize:
            changed = self._shrink(changed, random)
        if random.random() < self.blur:
            changed = cv2.GaussianBlur(changed, (0, 0), random.uniform(*self.sigma))
        if random.random() < self.encode:
            changed = self._encode(changed, random)
        return np.ascontiguousarray(changed)

    def _cut(self, image: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        factor = random.uniform(self.smallest_crop, 1)
        height, width = (max(round(n * factor), 1) for n in image.shape[:2])
        top = random.integers(image.shape[0] - height, endpoint=True)
        left = random.integers(image.shape[1] - width, endpoint=True)
        return image[top : top + height, left : left + width]

    def _shrink(self, image: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        short = min(image.shape[:2])
        smallest = min(self.min_side, short)
        factor = np.exp(random.uniform(np.log(smallest), np.log(short))) / short
        height, width = (max(round(n * factor), 1) for n in image.shape[:2])
        way = _FILTERS[random.integers(len(_FILTERS))]
        return cv2.resize(image, (width, height), interpolation=way)

    def _encode(self, image: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        is_webp, is_full = random.random() < self.webp, random.random() < 0.5
        data = encode_image(
            np.ascontiguousarray(image),
            "WebP" if is_webp else "JPEG",
            quality=int(random.integers(*self.quality, endpoint=True)),
            subsampling="4:4:4" if is_full else "4:2:0",
        )
        return decode_image(data, color_space="rgb" if image.ndim == 3 else "gray")


def read_changed(
    images: ImageSequence,
    index: int,
    preprocessing: Preprocessing,
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> Image:
    """Read an image, change it at its own size, and only then treat and resize it."""
    whole: Any = images.read(index, Preprocessing(None, "rgb"))
    if whole.dtype != np.uint8:  # floats that are not levels are not changed
        return images.read(index, preprocessing)
    return ImageSequence([change(whole)]).read(0, preprocessing)


class _Views(ImageSequence):
    """Images, each followed by random variants, which are made whenever they are read."""

    def __init__(self, images: ImageSequence, n_views: int, seed: int) -> None:
        super().__init__(np.arange(len(images) * (n_views + 1)))
        self._images, self._n_views, self._seed = images, n_views, seed

    def _with(self, items: Any, start: int) -> ImageSequence:  # noqa: ARG002 - it names nothing
        selected = copy(self)
        selected.items = items
        return selected

    def read(self, index: int, preprocessing: Preprocessing) -> Image:
        """Read an image or a variant of it."""
        image, view = divmod(int(self.items[index]), self._n_views + 1)
        if view == 0:
            return self._images.read(image, preprocessing)
        return read_changed(self._images, image, preprocessing, partial(self._vary, view=view))

    def key_of(self, index: int) -> bytes | None:
        """Compute a hash of the image and of the variant that is made of it."""
        image, view = divmod(int(self.items[index]), self._n_views + 1)
        key = self._images.key_of(image)
        if view == 0 or key is None:
            return key
        return blake2b(key + repr((self._seed, view)).encode(), digest_size=len(key)).digest()

    def _vary(self, image: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
        # By the pixels, so that an image has the same variants in every fold of a search, and
        # features that are kept on disk are found again.
        random = np.random.default_rng([self._seed, view, crc32(image.tobytes())])
        return FileChanges().apply(image, random)


def add_views(training: FitInputs, n_views: int, random_state: np.random.RandomState) -> FitInputs:
    """Add random variants of each training image, in the group of the image."""
    if n_views == 0:
        return training
    n = len(training.y)
    groups = np.arange(n) if training.groups is None else training.groups

    def repeat(values: Any) -> Any:
        return None if values is None else np.repeat(values, n_views + 1, axis=0)

    return training._replace(
        images=_Views(training.images, n_views, int(random_state.randint(2**31))),
        y=repeat(training.y),
        weight=repeat(training.weight),
        groups=repeat(groups),
        origin=repeat(training.origin),
        n_views=n_views,
    )
