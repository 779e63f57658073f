"""Normalisation of the blocks of HoG, in numpy.

Sums are computed in single precision and in a fixed order, because rounding depends on the order:
`detectorkit.features._hog_compiled` uses the same order, so the features are equal to the last bit.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_NORMS", "EPS", "HYSTERESIS", "BlockNorm", "normalise_blocks"]

BlockNorm = Literal["L1", "L1-sqrt", "L2", "L2-Hys"]
BLOCK_NORMS: Final = ("L1", "L1-sqrt", "L2", "L2-Hys")

EPS: Final = 1e-5
"""Constant that is added to the norm of a block."""

HYSTERESIS: Final = 0.2
"""Value at which "L2-Hys" clips."""


def normalise_blocks(
    totals: NDArray[np.float64], cell_area: int, block_norm: BlockNorm, out: NDArray[np.float32]
) -> None:
    """Gather cells into blocks and normalise each block."""
    blocks = _gather(totals, cell_area, out.shape)
    if block_norm in {"L1", "L1-sqrt"}:
        blocks /= _sum(blocks) + np.float32(EPS)
        if block_norm == "L1-sqrt":
            np.sqrt(blocks, out=blocks)
    else:
        norms = _norms(blocks, np.float32(EPS))
        if block_norm == "L2-Hys":
            # Clipping before the division is equivalent, and saves a pass over the features.
            np.minimum(blocks, np.float32(HYSTERESIS) * norms, out=blocks)
            norms = _norms(blocks, np.float32(EPS) * norms)
        blocks *= 1 / norms
    np.copyto(out.reshape(-1, len(blocks)), blocks.T)


def _gather(
    totals: NDArray[np.float64], cell_area: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Copy cells into blocks, with the items of a block along the first axis."""
    n, block_rows, block_columns, cell_rows, cell_columns, orientations = shape
    cells = (totals / cell_area).transpose(3, 0, 1, 2).astype(np.float32, order="C")
    orientation, image, row, column = cells.strides
    windows: NDArray[np.float32] = np.ndarray(
        (cell_rows, cell_columns, orientations, n, block_rows, block_columns),
        np.float32,
        buffer=cells,
        strides=(row, column, orientation, image, row, column),
    )
    return windows.copy().reshape(cell_rows * cell_columns * orientations, -1)


def _norms(blocks: NDArray[np.float32], eps: Any) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.sqrt(_sum(blocks * blocks) + eps * eps)
    return norms


def _sum(items: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the first axis: add the later half to the earlier one until one item is left."""
    n = len(items)
    if n == 1:
        return items[0].copy()
    half = n // 2
    total = items[: n - half].copy()
    total[:half] += items[n - half :]
    n -= half
    while n > 1:
        half = n // 2
        total[:half] += total[n - half : n]
        n -= half
    first: NDArray[np.float32] = total[0]
    return first
