"""The cell histograms of HoG, compiled by numba; imported only where that is worth the time.

The features are those of `detectorkit.features._hog_numpy` and `detectorkit.features._hog_blocks`,
to the last bit, in one pass over pixels and features and without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from detectorkit.features._hog_blocks import BLOCK_NORMS, EPS, HYSTERESIS, BlockNorm
from detectorkit.features._hog_numpy import CellCounter, bin_table, strength_table

__all__ = ["CompiledCounter"]

_COUNT = numba.void(
    numba.types.Array(numba.uint8, 4, "C", readonly=True),  # planes
    numba.types.Array(numba.uint16, 1, "C", readonly=True),  # bins
    numba.types.Array(numba.float64, 1, "C", readonly=True),  # strength
    numba.intp,  # cell_height
    numba.intp,  # cell_width
    numba.float64[:, :, ::1],  # totals
)
_NORMALISE = numba.void(
    numba.float64[:, :, :, ::1],  # totals
    numba.float64,  # cell_area
    numba.intp,  # block_norm
    numba.float32,  # eps
    numba.float32,  # hysteresis
    numba.float32[:, :, :, :, :, ::1],  # out
)
_L1, _L1_SQRT, _L2, _L2_HYS = range(4)  # the order of BLOCK_NORMS
_BLOCKS = 256  # blocks that are normalised together, roughly; they fit into the first cache


class CompiledCounter(CellCounter):
    """Compiled counter of 8-bit images, with the results of `IntegerCounter`."""

    chunk_pixels = 64 * 128 * 128

    def __init__(
        self, shape: tuple[int, ...], orientations: int, pixels_per_cell: tuple[int, int]
    ) -> None:
        super().__init__(shape, orientations, pixels_per_cell)
        self.bin_of_key = bin_table(orientations).astype(np.uint16)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        n = len(images)
        planes = images[np.newaxis] if images.ndim == 3 else np.moveaxis(images, 3, 0)
        totals = np.zeros((n, *self.cells, self.orientations))
        _count_cells(
            np.ascontiguousarray(planes),
            self.bin_of_key,
            strength_table(),
            *self.pixels_per_cell,
            totals.reshape(n, self.cells[0], -1),
        )
        return totals

    def normalise(
        self, totals: NDArray[np.float64], block_norm: BlockNorm, out: NDArray[np.float32]
    ) -> None:
        """Compute features from the sums, as `normalise_blocks` does."""
        area = self.pixels_per_cell[0] * self.pixels_per_cell[1]
        code = BLOCK_NORMS.index(block_norm)
        _normalise_blocks(totals, area, code, np.float32(EPS), np.float32(HYSTERESIS), out)


def _compile(signature: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile at import, or load the machine code that an earlier process has cached."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except (RuntimeError, OSError):  # the machine code cannot be cached anywhere
            return numba.njit(signature, nogil=True)(function)

    return decorate


@numba.njit(nogil=True)
def _write_gradients(
    above: NDArray[np.uint8],
    row: NDArray[np.uint8],
    below: NDArray[np.uint8],
    keys: NDArray[np.uint32],
    squares: NDArray[np.int32],
) -> None:
    """Write the keys and the squared magnitudes of the gradients of one row of pixels."""
    last = len(row) - 1
    for x in range(1, last):
        by_row = np.int32(below[x]) - np.int32(above[x])
        by_column = np.int32(row[x + 1]) - np.int32(row[x - 1])
        keys[x] = abs((by_row << 9) + by_column)
        squares[x] = by_row * by_row + by_column * by_column
    for x in (0, last):
        by_row = np.int32(below[x]) - np.int32(above[x])
        keys[x] = abs(by_row << 9)
        squares[x] = by_row * by_row


@numba.njit(nogil=True)
def _keep_stronger(
    keys: NDArray[np.uint32],
    squares: NDArray[np.int32],
    other_keys: NDArray[np.uint32],
    other_squares: NDArray[np.int32],
    strength: NDArray[np.float64],
) -> None:
    """Replace gradients by the other ones where these are larger."""
    n_equal = 0
    for x in range(len(keys)):
        n_equal += (other_squares[x] == squares[x]) & (other_keys[x] != keys[x])
    if n_equal > 0:
        for x in range(len(keys)):
            if other_squares[x] == squares[x] and strength[other_keys[x]] > strength[keys[x]]:
                keys[x] = other_keys[x]
    for x in range(len(keys)):  # without branches, which the processor could not predict
        is_larger = other_squares[x] > squares[x]
        keys[x] = other_keys[x] if is_larger else keys[x]
        squares[x] = other_squares[x] if is_larger else squares[x]


@_compile(_COUNT)
def _count_cells(
    planes: NDArray[np.uint8],
    bins: NDArray[np.uint16],
    strength: NDArray[np.float64],
    cell_height: int,
    cell_width: int,
    totals: NDArray[np.float64],
) -> None:
    """Add the magnitudes of all pixels to the totals of their cells."""
    n_channels, n_images, height, width = planes.shape
    n_columns = width // cell_width
    first_bin = np.empty(n_columns * cell_width, np.uint32)
    for x in range(len(first_bin)):
        first_bin[x] = x // cell_width * (totals.shape[2] // n_columns)
    keys, squares = np.empty((2, width), np.uint32), np.empty((2, width), np.int32)
    magnitude = np.empty(width, np.float32)
    for i in range(n_images):
        for y in range(totals.shape[1] * cell_height):
            total = totals[i, y // cell_height]
            is_inside = 0 < y < height - 1
            above, below = (y - 1, y + 1) if is_inside else (y, y)
            for channel in range(n_channels):
                plane, into = planes[channel, i], min(channel, 1)
                _write_gradients(plane[above], plane[y], plane[below], keys[into], squares[into])
                if channel > 0:
                    _keep_stronger(keys[0], squares[0], keys[1], squares[1], strength)
            for x in range(width):
                magnitude[x] = np.sqrt(np.float32(squares[0, x]))
            for x in range(len(first_bin)):
                total[first_bin[x] + bins[keys[0, x]]] += magnitude[x]


@numba.njit(nogil=True)
def _write_cells(totals: NDArray[np.float64], cell_area: float, cells: NDArray[np.float32]) -> None:
    """Write the mean magnitudes of cells, with the columns along the last axis."""
    for row in range(totals.shape[0]):
        for column in range(totals.shape[1]):
            for orientation in range(totals.shape[2]):
                cells[row, orientation, column] = totals[row, column, orientation] / cell_area


@numba.njit(nogil=True)
def _gather(cells: NDArray[np.float32], items: NDArray[np.float32]) -> None:
    """Copy cells into some rows of blocks, with the items of a block along the first axes."""
    cell_rows, cell_columns, orientations, block_rows, block_columns = items.shape
    for cell_row in range(cell_rows):
        for cell_column in range(cell_columns):
            for orientation in range(orientations):
                for row in range(block_rows):
                    line = cells[cell_row + row, orientation, cell_column:]
                    into = items[cell_row, cell_column, orientation, row]
                    for column in range(block_columns):
                        into[column] = line[column]


@numba.njit(nogil=True)
def _sum(items: NDArray[np.float32]) -> None:
    """Sum over the first axis, into the first item."""
    n, n_blocks = items.shape
    while n > 1:
        half = n // 2
        earlier, later = items[:half].reshape(-1), items[n - half : n].reshape(-1)
        for k in range(half * n_blocks):
            earlier[k] += later[k]
        n -= half


@numba.njit(nogil=True)
def _write_norms(
    items: NDArray[np.float32],
    eps: NDArray[np.float32],
    squares: NDArray[np.float32],
    norms: NDArray[np.float32],
) -> None:
    """Write the norms of blocks; `squares` is overwritten."""
    flat, flat_squares = items.reshape(-1), squares.reshape(-1)
    for k in range(len(flat)):
        flat_squares[k] = flat[k] * flat[k]
    _sum(squares)
    first = squares[0]
    for block in range(len(norms)):
        norms[block] = np.sqrt(first[block] + eps[block] * eps[block])


@numba.njit(nogil=True)
def _clip(items: NDArray[np.float32], limits: NDArray[np.float32]) -> None:
    """Clip the items of each block at its limit."""
    for item in range(len(items)):
        line = items[item]
        for block in range(len(line)):
            line[block] = min(limits[block], line[block])


@numba.njit(nogil=True)
def _write_features(
    items: NDArray[np.float32],
    norms: NDArray[np.float32],
    block_norm: int,
    out: NDArray[np.float32],
) -> None:
    """Write the items divided by the norms, block by block."""
    for block in range(len(out)):
        into, norm = out[block], norms[block]
        if block_norm == _L1:
            for item in range(len(into)):
                into[item] = items[item, block] / norm
        elif block_norm == _L1_SQRT:
            for item in range(len(into)):
                into[item] = np.sqrt(items[item, block] / norm)
        else:
            factor = np.float32(1) / norm
            for item in range(len(into)):
                into[item] = items[item, block] * factor


@_compile(_NORMALISE)
def _normalise_blocks(
    totals: NDArray[np.float64],
    cell_area: float,
    block_norm: int,
    eps: np.float32,
    hysteresis: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Compute `detectorkit.features._hog_blocks.normalise_blocks`, some rows at a time."""
    block_rows, block_columns, cell_rows, cell_columns, orientations = out.shape[1:]
    n_items = cell_rows * cell_columns * orientations
    n_rows = min(block_rows, 1 + _BLOCKS // block_columns)
    for first in range(0, block_rows, n_rows):
        n_rows = min(n_rows, block_rows - first)
        last, n_blocks = first + n_rows, n_rows * block_columns
        cells = np.empty((n_rows + cell_rows - 1, orientations, totals.shape[2]), np.float32)
        blocks = np.empty(
            (cell_rows, cell_columns, orientations, n_rows, block_columns), np.float32
        )
        items = blocks.reshape(n_items, n_blocks)
        scratch, norms = np.empty_like(items), np.empty(n_blocks, np.float32)
        all_eps = np.full(n_blocks, eps)
        for i in range(len(totals)):
            _write_cells(totals[i, first : last + cell_rows - 1], cell_area, cells)
            _gather(cells, blocks)
            if block_norm in (_L1, _L1_SQRT):
                scratch[:] = items
                _sum(scratch)
                norms[:] = scratch[0] + all_eps
            else:
                _write_norms(items, all_eps, scratch, norms)
            if block_norm == _L2_HYS:
                _clip(items, hysteresis * norms)
                _write_norms(items, eps * norms, scratch, norms)
            features = out[i, first:last].reshape(n_blocks, n_items)
            _write_features(items, norms, block_norm, features)
