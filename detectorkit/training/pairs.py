"""Pairs of a photograph and its own reconstruction by a learned decoder.

Both show the same picture, so a detector that learns from pairs cannot learn which collection an
image comes from.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn
from torch.nn import functional

from detectorkit.images.sequence import check_images
from detectorkit.utils.progress import track

__all__ = ["BaseAutoencoder", "Pairs", "TinyAutoencoder", "make_pairs"]

_WIDTH = 64
_LATENT = 32
_STRIDE = 8


class _Block(nn.Module):
    """Three convolutions with a shortcut and, with `pools`, statistics of the whole image."""

    def __init__(self, *, pools: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        )
        self.pool: nn.Module | None = None
        if pools:
            self.pool = nn.Sequential(
                nn.Conv2d(_WIDTH, 4 * _WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * _WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * _WIDTH, _WIDTH, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return functional.relu(self.conv(x) + x)


class _SoftLimit(nn.Module):
    """Squash codes into the range from -3 to 3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def _convolution(stride: int = 1) -> nn.Module:
    return nn.Conv2d(_WIDTH, _WIDTH, 3, stride, 1, bias=False)


def _make_encoder() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, _WIDTH, 3, padding=1), _Block()]
    for step in range(3):
        layers += [_convolution(stride=2), *(_Block(pools=step == 2) for _ in range(3))]
    return nn.Sequential(*layers, nn.Conv2d(_WIDTH, _LATENT, 3, padding=1))


def _make_decoder() -> nn.Module:
    layers: list[nn.Module] = [_SoftLimit(), nn.Conv2d(_LATENT, _WIDTH, 3, padding=1), nn.ReLU()]
    for step in range(3):
        layers += [*(_Block(pools=step == 0) for _ in range(3)), nn.Upsample(scale_factor=2)]
        layers.append(_convolution())
    return nn.Sequential(*layers, _Block(), nn.Conv2d(_WIDTH, 3, 3, padding=1))


class BaseAutoencoder(ABC):
    """Base of autoencoders, which defines how an image goes through `_encode` and `_decode`.

    Both take and return one image or code as a batch; pixels are from 0 to 1, and a code has a
    standard deviation of about 1. `stride` is the side of the square of pixels that one element of
    the code stands for.
    """

    device: str
    stride: int

    @abstractmethod
    def _encode(self, pixels: Tensor) -> Tensor:
        """Return the code of an image."""

    @abstractmethod
    def _decode(self, code: Tensor) -> Tensor:
        """Return the image of a code."""

    def reconstruct(
        self,
        image: NDArray[np.uint8],
        *,
        noise: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[np.uint8]:
        """Encode an image and decode it again.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3), dtype uint8
            RGB image of any size.
        noise : float, default=0.0
            Standard deviation of Gaussian noise that is added to the code. That of the code itself
            is about 1.
        random_state : int, RandomState instance or None, default=None
            Draws the noise.

        Returns
        -------
        image : ndarray of shape (height, width, 3), dtype uint8
            Reconstruction: the same picture with the traces of the decoder.
        """
        height, width = image.shape[:2]
        below, right = -height % self.stride, -width % self.stride
        padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        x = torch.from_numpy(padded).permute(2, 0, 1)[None].float().div(255).to(self.device)
        with torch.inference_mode():
            code = self._encode(x.contiguous(memory_format=torch.channels_last))
            if noise > 0:
                random = check_random_state(random_state)
                drawn = random.normal(scale=noise, size=tuple(code.shape))
                code = code + torch.from_numpy(drawn).to(code)
            found = self._decode(code)[0].clamp(0, 1).mul(255).round().byte()
        whole: NDArray[np.uint8] = found.permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(whole[:height, :width])


class TinyAutoencoder(BaseAutoencoder):
    """The autoencoder TAEF2, a small substitute for that of a current latent-diffusion model.

    Parameters
    ----------
    folder : str or Path
        Folder with the weights: ``taef2_encoder.safetensors`` and ``taef2_decoder.safetensors``.
    device : str, default="cpu"
        Device of torch to run on, such as "cpu" or "cuda".

    Raises
    ------
    FileNotFoundError
        If a file of weights is missing.

    Notes
    -----
    TAEF2 is by Ollin Boer Bohan, under the MIT licence; its weights do not come with this library.
    """

    stride = _STRIDE

    def __init__(self, folder: str | os.PathLike[str], *, device: str = "cpu") -> None:
        from safetensors.torch import load_file

        self.device = device
        self._parts = []
        for name, network in (("encoder", _make_encoder()), ("decoder", _make_decoder())):
            state = load_file(Path(folder) / f"taef2_{name}.safetensors")
            network.load_state_dict({key: value.float() for key, value in state.items()})
            self._parts.append(network.eval().to(device, memory_format=torch.channels_last))

    def _encode(self, pixels: Tensor) -> Tensor:
        code: Tensor = self._parts[0](pixels)
        return code

    def _decode(self, code: Tensor) -> Tensor:
        pixels: Tensor = self._parts[1](code)
        return pixels


class Pairs(NamedTuple):
    """Photographs with their reconstructions, ready for `fit`.

    Attributes
    ----------
    X : list of ndarray
        Photographs, their reconstructions and, if asked for, resampled photographs.
    y : ndarray of shape (n_samples,)
        Labels: 0 for photographs, resampled or not, 1 for reconstructions.
    groups : ndarray of shape (n_samples,)
        Number of the photograph from which each image was made.
    """

    X: list[NDArray[np.uint8]]
    y: NDArray[np.int64]
    groups: NDArray[np.int64]


def make_pairs(
    X: Any,
    autoencoder: BaseAutoencoder,
    *,
    resampled: bool = True,
    noise: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> Pairs:
    """Make pairs of photographs and their reconstructions.

    Parameters
    ----------
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The photographs: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
        of bytes or of file objects.
    autoencoder : TinyAutoencoder or DiffusersAutoencoder
        Autoencoder that makes the reconstructions.
    resampled : bool, default=True
        Whether a copy of each photograph that was made smaller and enlarged again is added, as a
        further *real* image. Without it, plain resampling could tell the classes apart.
    noise : float, default=0.0
        Largest standard deviation of the noise that is added to the code.
    random_state : int, RandomState instance or None, default=None
        Draws the noise and the factors of size.
    verbose : bool, default=False
        Whether to show progress on standard error.

    Returns
    -------
    pairs : Pairs
        Two or three images for each photograph. Pass their `groups` to `fit` too.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded.
    """
    images = check_images(X, caller="make_pairs")
    random = check_random_state(random_state)
    found: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    parts = (images[i : i + 1] for i in range(len(images)))
    for part in track("Reconstructing", parts, len(images), show=verbose):
        image: NDArray[np.uint8] = part[0]
        twin = autoencoder.reconstruct(image, noise=random.uniform(0, noise), random_state=random)
        found += [image, twin]
        labels += [0, 1]
        if resampled:
            found.append(_resample(image, random.uniform(0.4, 0.9)))
            labels.append(0)
    size = 3 if resampled else 2
    return Pairs(found, np.array(labels), np.repeat(np.arange(len(images)), size))


def _resample(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    small = (max(round(width * factor), 1), max(round(height * factor), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
