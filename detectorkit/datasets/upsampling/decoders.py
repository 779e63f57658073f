"""Small decoders of the kind that image generators end in, for tests and demonstrations.

Each shrinks an image to a code and enlarges it to its size again, as the last layers of a generator
do. The result is a *decoder reconstruction*: the same picture with traces of upsampling. It is not
an AI-generated image. A detector that can tell it from its original may still fail on the images of
every real generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["DECODERS"]

Float = NDArray[Any]  # float32; OpenCV's stubs do not say so

_STAGES = 2  # doublings: the code has a quarter of the image's side
_PATCH = 8
_COMPONENTS = 8  # of the 192 numbers in a patch
_NEIGHBOURS = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]


def _halve(image: Float) -> Float:
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _double(image: Float, interpolation: int) -> Float:
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, (width * 2, height * 2), interpolation=interpolation))


def _convolve(image: Float, weights: list[float]) -> Float:
    kernel = np.array(weights, np.float32)
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel))


def _in_stages(double: Callable[[Float, Float], Float]) -> Callable[[Float], Float]:
    """Make a decoder of repeated doublings; each is also passed the image to approximate."""

    def decode(image: Float) -> Float:
        pyramid = [image]
        for _ in range(_STAGES):
            pyramid.append(_halve(pyramid[-1]))
        result = pyramid.pop()
        while pyramid:
            result = double(result, pyramid.pop())
        return result

    return decode


def _bilinear(code: Float, _: Float) -> Float:
    return _double(code, cv2.INTER_LINEAR)


def _nearest(code: Float, _: Float) -> Float:
    """Nearest-neighbour upsampling and a smoothing 3x3 convolution, as in StyleGAN."""
    return _convolve(_double(code, cv2.INTER_NEAREST), [0.25, 0.5, 0.25])


def _transposed(code: Float, target: Float) -> Float:
    """Stride-2 transposed convolution whose 3x3 kernel overlaps unevenly, as in DCGAN."""
    spread = np.zeros_like(target)
    spread[::2, ::2] = code
    return _convolve(spread, [0.52, 0.97, 0.52])


def _pixel_shuffle(code: Float, target: Float) -> Float:
    """Learned sub-pixel convolution: each of 4 new pixels is the best mix of 9 old ones."""
    around = np.stack([np.roll(code, shift, (0, 1)) for shift in _NEIGHBOURS], axis=-1)
    around = around.reshape(-1, len(_NEIGHBOURS))
    result = np.empty_like(target)
    for row in (0, 1):
        for col in (0, 1):
            wanted = target[row::2, col::2]
            mix = np.linalg.lstsq(around, wanted.ravel(), rcond=None)[0]
            result[row::2, col::2] = (around @ mix).reshape(wanted.shape)
    return result


def _patch_autoencoder(image: Float) -> Float:
    """Learned linear autoencoder of 8x8 patches, one code for each patch."""
    rows, cols = image.shape[0] // _PATCH, image.shape[1] // _PATCH
    patches = image.reshape(rows, _PATCH, cols, _PATCH, 3).transpose(0, 2, 1, 3, 4)
    flat = patches.reshape(rows * cols, -1)
    mean = flat.mean(axis=0)
    basis = np.linalg.svd(flat - mean, full_matrices=False)[2][:_COMPONENTS]
    decoded = (flat - mean) @ basis.T @ basis + mean
    return decoded.reshape(patches.shape).transpose(0, 2, 1, 3, 4).reshape(image.shape)


DECODERS: Final[dict[str, Callable[[Float], Float]]] = {
    "bilinear": _in_stages(_bilinear),
    "nearest": _in_stages(_nearest),
    "transposed": _in_stages(_transposed),
    "pixel-shuffle": _in_stages(_pixel_shuffle),
    "patch-autoencoder": _patch_autoencoder,
}
"""Decoders by name.

Each takes and returns an RGB image as float32 from 0 to 1, whose sides are multiples of 8.
"""
