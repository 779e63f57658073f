"""The cell histograms of HoG, in numpy.

The differences of 8-bit pixels are whole numbers from -255 to 255, and a gradient has the
orientation of its opposite. So a gradient is written as one number, its key,
``|512 * by_row + by_column|``, and a table of the 130 816 keys holds the orientation bin of each in
one byte, so that the table stays in the processor's caches.

Magnitudes are rounded to single precision and summed in double precision. Such sums are exact, so
they do not depend on the order: they are the same here and in `detectorkit.features._hog_compiled`.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.features._hog_blocks import BlockNorm, normalise_blocks

__all__ = [
    "CellCounter",
    "FloatCounter",
    "IntegerCounter",
    "bin_table",
    "keep_counter",
    "strength_table",
]

_ROW_BITS: Final = 9  # bits by which the difference of rows is shifted in a key
_HALF_ROW: Final = 256
_N_KEYS: Final = (255 << _ROW_BITS) + _HALF_ROW


class CellCounter:
    """Base class of the counters of cell histograms, with the buffers that calls share.

    Attributes
    ----------
    chunk : int
        Maximum number of images in a call.
    """

    chunk_pixels = 8 * 128 * 128  # with fewer, calls are so short that threads wait for each other

    def __init__(
        self, shape: tuple[int, ...], orientations: int, pixels_per_cell: tuple[int, int]
    ) -> None:
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.chunk = max(1, self.chunk_pixels // (shape[0] * shape[1]))
        self.cells = (shape[0] // pixels_per_cell[0], shape[1] // pixels_per_cell[1])
        self.counted = (
            self.cells[0] * pixels_per_cell[0],
            self.cells[1] * pixels_per_cell[1],
        )

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """Sum the magnitudes by cell and orientation."""
        raise NotImplementedError

    def normalise(
        self, totals: NDArray[np.float64], block_norm: BlockNorm, out: NDArray[np.float32]
    ) -> None:
        """Compute features from the sums, as `normalise_blocks` does."""
        area = self.pixels_per_cell[0] * self.pixels_per_cell[1]
        normalise_blocks(totals, area, block_norm, out)


class _NumpyCounter(CellCounter):
    """Counter that sums all images of a chunk by one weighted count."""

    def __init__(
        self, shape: tuple[int, ...], orientations: int, pixels_per_cell: tuple[int, int]
    ) -> None:
        super().__init__(shape, orientations, pixels_per_cell)
        rows, columns = (
            np.arange(size) // cell
            for size, cell in zip(self.counted, pixels_per_cell, strict=True)
        )
        cell_of_pixel = rows[:, None] * self.cells[1] + columns
        image = np.arange(self.chunk)[:, None, None] * (self.cells[0] * self.cells[1])
        self.first_bin = ((image + cell_of_pixel) * orientations).astype(np.intp)

    def count(self, bins: NDArray[np.intp], magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum magnitudes by image, cell and orientation; `bins` is overwritten."""
        n = len(bins)
        bins += self.first_bin[:n]
        totals = np.zeros((n, *self.cells, self.orientations))
        np.add.at(totals.reshape(-1), bins.reshape(-1), magnitude.reshape(-1))
        return totals


class IntegerCounter(_NumpyCounter):
    """Counter of 8-bit images, with orientation bins from a table."""

    def __init__(
        self, shape: tuple[int, ...], orientations: int, pixels_per_cell: tuple[int, int]
    ) -> None:
        super().__init__(shape, orientations, pixels_per_cell)
        self.bin_of_key = bin_table(orientations)
        whole, counted = (self.chunk, *shape[:2]), (self.chunk, *self.counted)
        self.pixels = np.empty(whole, np.int16)
        self.by_row = np.zeros(whole, np.int16)  # its first and last row stay zero
        self.by_column = np.zeros(whole, np.int16)
        self.keys = np.empty(whole, np.int32)
        self.index = np.empty(counted, np.intp)
        self.bins = np.empty(counted, self.bin_of_key.dtype)
        self.squares = np.empty((2, *counted), np.float32)
        self.magnitude = np.empty(counted, np.float64)
        if len(shape) == 3:
            self.other_index = np.empty(counted, np.intp)
            self.other = np.empty(counted, np.float64)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        n = len(images)
        index, bins = self.index[:n], self.bins[:n]
        take = self._take_gray if images.ndim == 3 else self._take_strongest
        take(images)
        self.bin_of_key.take(index, out=bins, mode="clip")
        np.copyto(index, bins)
        return self.count(index, self.magnitude[:n])

    def _take_gray(self, images: NDArray[np.uint8]) -> None:
        """Write the keys of grey images to `index`, and the magnitudes."""
        n, (rows, columns) = len(images), self.counted
        self._write_keys(images, self.index[:n])
        first, second = self.squares[:, :n]
        np.copyto(first, self.by_row[:n, :rows, :columns])
        np.copyto(second, self.by_column[:n, :rows, :columns])
        first *= first
        second *= second
        first += second
        np.sqrt(first, out=first)
        np.copyto(self.magnitude[:n], first)

    def _take_strongest(self, images: NDArray[np.uint8]) -> None:
        """Write keys and magnitudes of the channel with the largest gradient."""
        n, table = len(images), strength_table()
        index, strength = self.index[:n], self.magnitude[:n]
        other_index, other = self.other_index[:n], self.other[:n]
        self._write_keys(images[..., 0], index)
        table.take(index, out=strength, mode="clip")
        for channel in range(1, images.shape[3]):
            self._write_keys(images[..., channel], other_index)
            table.take(other_index, out=other, mode="clip")
            is_stronger = other > strength
            np.copyto(index, other_index, where=is_stronger)
            np.copyto(strength, other, where=is_stronger)
        single = self.squares[0, :n]
        np.copyto(single, strength, casting="same_kind")
        np.copyto(strength, single)

    def _write_keys(self, images: NDArray[np.uint8], out: NDArray[np.intp]) -> None:
        n, (rows, columns) = len(images), self.counted
        pixels, by_row, by_column, keys = (
            buffer[:n] for buffer in (self.pixels, self.by_row, self.by_column, self.keys)
        )
        np.copyto(pixels, images)
        np.subtract(pixels[:, 2:], pixels[:, :-2], out=by_row[:, 1:-1])
        # All rows as one long row: four times as fast as row by row.
        line = pixels.reshape(-1)
        np.subtract(line[2:], line[:-2], out=by_column.reshape(-1)[1:-1])
        by_column[:, :, 0] = 0
        by_column[:, :, -1] = 0
        np.copyto(keys, by_row)
        np.left_shift(keys, _ROW_BITS, out=keys)
        keys += by_column
        np.abs(keys, out=keys)
        np.copyto(out, keys[:, :rows, :columns])


class FloatCounter(_NumpyCounter):
    """Counter of float images, with bins and magnitudes computed as in scikit-image."""

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float64]:
        if images.ndim == 3:
            images = images[..., np.newaxis]
        by_row, by_column = np.zeros_like(images), np.zeros_like(images)
        by_row[:, 1:-1] = images[:, 2:] - images[:, :-2]
        by_column[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
        strongest = np.hypot(by_row, by_column).argmax(axis=3)[..., np.newaxis]
        rows, columns = self.counted
        by_row, by_column = (
            np.take_along_axis(by, strongest, axis=3)[:, :rows, :columns, 0].astype(np.float64)
            for by in (by_row, by_column)
        )
        bins = _orientation_bins(by_row, by_column, self.orientations)
        return self.count(bins, np.hypot(by_row, by_column))


_kept = threading.local()


def keep_counter(
    kind: type[CellCounter],
    shape: tuple[int, ...],
    orientations: int,
    pixels_per_cell: tuple[int, int],
) -> CellCounter:
    """Return this thread's last counter if it fits, otherwise a new one.

    Allocating the memory of a counter takes longer than the counting.
    """
    key = (kind, shape, orientations, pixels_per_cell)
    if getattr(_kept, "key", None) == key:
        kept: CellCounter = _kept.counter
        return kept
    counter = kind(shape, orientations, pixels_per_cell)
    if counter.chunk > 1:  # the buffers of a very large image are not worth keeping
        _kept.key, _kept.counter = key, counter
    return counter


def _orientation_bins(
    by_row: NDArray[Any], by_column: NDArray[Any], orientations: int
) -> NDArray[np.intp]:
    angle = np.rad2deg(np.arctan2(by_row, by_column)) % 180
    # scikit-image keeps the edges of the bins in single precision.
    edges = (180.0 / orientations * np.arange(1, orientations)).astype(np.float32)
    return np.searchsorted(edges, angle, side="right")


@lru_cache(maxsize=8)
def bin_table(orientations: int) -> NDArray[Any]:
    """Return the orientation bin of every key."""
    bins = _orientation_bins(*_gradients_of_keys(), orientations)
    return bins.astype(np.min_scalar_type(orientations))


@lru_cache(maxsize=1)
def strength_table() -> NDArray[np.float64]:
    """Return the magnitude of every key, with which scikit-image compares channels.

    Rounding in `numpy.hypot` may make one of two equally long gradients the longer one, and the
    bin depends on it.
    """
    return np.hypot(*_gradients_of_keys())


def _gradients_of_keys() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    keys = np.arange(_N_KEYS)
    by_row = (keys + _HALF_ROW) >> _ROW_BITS
    return by_row.astype(np.float64), (keys - (by_row << _ROW_BITS)).astype(np.float64)
