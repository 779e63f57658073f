"""Random changes of training images, with the same probabilities for both classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.images.crops import enlarge_to_cover
from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.levels import levels_as_uint8
from detectorkit.training.file_changes import FileChanges

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, whatever their label.

    The processing that images on the web go through must not tell the classes apart. So images of
    both classes are encoded, blurred and resampled with the same probabilities.

    Attributes
    ----------
    flip : float, default=0.5
        Probability of a mirror image.
    geometric : float, default=0.3
        Probability of a rotation and scaling. It is interpolated, which weakens fine traces.
    rotation : float, default=10.0
        Largest angle of the rotation, in degrees.
    scale : tuple of (float, float), default=(0.8, 1.25)
        Smallest and largest factor of the scaling.
    resample : float, default=0.3
        Probability of making the image smaller and enlarging it again.
    smallest : float, default=0.5
        Smallest factor by which an image is made smaller for that.
    blur : float, default=0.15
        Probability of a Gaussian blur.
    sigma : tuple of (float, float), default=(0.3, 1.2)
        Smallest and largest standard deviation of the blur, in pixels.
    noise : float, default=0.15
        Probability that Gaussian noise is added.
    noise_std : float, default=4.0
        Largest standard deviation of the noise, in levels from 0 to 255.
    jpeg : float, default=0.5
        Probability of a compression as JPEG.
    quality : tuple of (int, int), default=(60, 95)
        Lowest and highest JPEG quality, from 1 to 100.
    files : FileChanges or None, default=None
        Random changes of the whole image, at its own size, before the treatment of the detector
        and all other changes. None makes none; `Augmentation.world()` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.training import Augmentation
    >>> image = np.zeros((80, 60, 3), np.uint8)
    >>> Augmentation().apply(image, (32, 32), np.random.default_rng(0)).shape
    (32, 32, 3)
    """

    flip: float = 0.5
    geometric: float = 0.3
    rotation: float = 10.0
    scale: tuple[float, float] = (0.8, 1.25)
    resample: float = 0.3
    smallest: float = 0.5
    blur: float = 0.15
    sigma: tuple[float, float] = (0.3, 1.2)
    noise: float = 0.15
    noise_std: float = 4.0
    jpeg: float = 0.5
    quality: tuple[int, int] = (60, 95)
    files: FileChanges | None = None

    @classmethod
    def world(cls) -> Augmentation:
        """Return an augmentation for detectors that get files as they come.

        Returns
        -------
        augmentation : Augmentation
            Augmentation by `FileChanges` before the treatment of the detector, and by mirror images
            and small rotations after it.
        """
        return cls(resample=0, blur=0, noise=0, jpeg=0, files=FileChanges())

    def apply(
        self, image: NDArray[np.uint8], size: tuple[int, int], random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Change an image at random and cut it to a size.

        Parameters
        ----------
        image : ndarray of shape (height, width) or (height, width, 3), dtype uint8
            Image to change. If it is larger than `size`, a random part of it is cut out.
        size : tuple of (int, int)
            Height and width of the result, in pixels.
        random : Generator
            Generator of the random numbers.

        Returns
        -------
        changed : ndarray of shape (height, width) or (height, width, 3), dtype uint8
            Changed image of the given size.
        """
        changed = self._cut(enlarge_to_cover(image, size), size, random)
        if random.random() < self.flip:
            changed = changed[:, ::-1]
        if random.random() < self.resample:
            changed = self._resampled(changed, random)
        if random.random() < self.blur:
            changed = cv2.GaussianBlur(changed, (0, 0), random.uniform(*self.sigma))
        if random.random() < self.noise:
            noise = random.standard_normal(changed.shape, np.float32)
            noise *= random.uniform(0, self.noise_std)
            changed = levels_as_uint8(changed + noise)
        if random.random() < self.jpeg:
            quality = int(random.integers(*self.quality, endpoint=True))
            data = encode_image(np.ascontiguousarray(changed), "JPEG", quality=quality)
            changed = decode_image(data, color_space="rgb" if changed.ndim == 3 else "gray")
        return np.ascontiguousarray(changed)

    def _cut(
        self, image: NDArray[Any], size: tuple[int, int], random: np.random.Generator
    ) -> NDArray[Any]:
        """Cut a window at a random place, from the image or from a rotated and scaled one."""
        height, width = size
        spare = (image.shape[0] - height, image.shape[1] - width)
        top, left = (random.integers(n, endpoint=True) for n in spare)
        if random.random() >= self.geometric:
            return image[top : top + height, left : left + width]
        angle = random.uniform(-self.rotation, self.rotation)
        factor = float(np.exp(random.uniform(*np.log(self.scale))))
        centre = (left + (width - 1) / 2, top + (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, angle, factor)
        matrix[:, 2] -= (left, top)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)

    def _resampled(self, image: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        """Make an image smaller and enlarge it again, by random factor and interpolation."""
        height, width = image.shape[:2]
        factor = random.uniform(self.smallest, 1)
        small = (max(round(width * factor), 1), max(round(height * factor), 1))
        ways = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
        down, up = ways[random.integers(3)], ways[1 + random.integers(2)]
        shrunk = cv2.resize(image, small, interpolation=down)
        return cv2.resize(shrunk, (width, height), interpolation=up)
