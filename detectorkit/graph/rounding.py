"""Rounding of a matrix so that the products with its inputs change as little as possible."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from detectorkit.graph.compact import PackedMatrix

__all__ = ["round_by_moments"]

_SHRINKAGE: Final = np.linspace(1, 0.6, 17)  # of the range of a block, in the search for its scale
_AT_ONCE: Final = 64  # inputs after which the others are corrected, in one product of matrices
_SMALLEST_SCALE: Final = np.finfo(np.float16).smallest_subnormal


def round_by_moments(
    weights: NDArray[Any],
    moments: NDArray[Any],
    bits: int = 4,
    block_size: int = 64,
    *,
    damping: float = 0.01,
) -> PackedMatrix:
    """Round a matrix input by input, and let the inputs that follow make up for each error.

    Parameters
    ----------
    weights : ndarray of shape (n_inputs, n_outputs)
        Matrix to round.
    moments : ndarray of shape (n_inputs, n_inputs)
        Sum or mean of the products ``x.T @ x`` of the rows by which the matrix is multiplied.
    bits : {4, 8}, default=4
        Number of bits of each weight. With 8 bits, all inputs are one block.
    block_size : int, default=64
        Number of inputs in a block; it must divide the number of inputs.
    damping : float, default=0.01
        What is added to the diagonal of `moments`, as a proportion of its mean.

    Returns
    -------
    matrix : PackedMatrix
        Rounded matrix, with the level of 0 in each block.

    Notes
    -----
    This is GPTQ [1]_ in the order of the inputs: after each input is rounded, the weights of those
    that follow are the solution of least squares. The scale of a block has the smallest squared
    error of the weights, as they are when the block is reached, among 17 ranges.

    References
    ----------
    .. [1] E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate post-training
       quantization for generative pre-trained transformers", ICLR 2023,
       :doi:`10.48550/arXiv.2210.17323`.
    """
    rest = weights.astype(np.float32)
    n_inputs, n_outputs = rest.shape
    size = n_inputs if bits == 8 else block_size
    factor = _factor_inverse(moments.astype(np.float64), damping)
    levels = np.empty(rest.shape, np.uint8)
    scales = np.empty((n_inputs // size, n_outputs), np.float32)
    zeros = np.empty_like(scales)
    step = min(size, _AT_ONCE)
    for start in range(0, n_inputs, step):
        block = start // size
        if start % size == 0:
            scales[block], zeros[block] = _fit_scales(rest[start : start + size], 2**bits - 1)
        part = rest[start : start + step]
        errors = np.empty_like(part)
        for row in range(len(part)):
            place = start + row
            found = _round(part[row], scales[block], zeros[block], 2**bits - 1)
            levels[place] = found
            miss = part[row] - (found - zeros[block]) * scales[block]
            errors[row] = miss / factor[place, place]
            part[row + 1 :] -= np.outer(factor[place, place + 1 : start + len(part)], errors[row])
        rest[start + step :] -= factor[start : start + step, start + step :].T @ errors
    return PackedMatrix(levels, scales.astype(np.float16), zeros.astype(np.uint8), bits)


def _factor_inverse(moments: NDArray[np.float64], damping: float) -> NDArray[np.float32]:
    """Return the upper triangular U with ``U.T @ U`` the inverse of the damped moments."""
    mean = np.diagonal(moments).mean()
    damped = moments + np.eye(len(moments)) * (damping * mean or 1.0)  # inputs may be all zero
    lower = cholesky(damped[::-1, ::-1], lower=True)
    upper = lower[::-1, ::-1]  # now damped = upper @ upper.T
    factor: NDArray[Any] = solve_triangular(upper, np.eye(len(upper)))
    return factor.astype(np.float32)


def _round(
    weights: NDArray[Any], scales: NDArray[Any], zeros: NDArray[Any], highest: int
) -> NDArray[np.float32]:
    """Round weights to the nearest levels."""
    levels: NDArray[np.float32] = np.clip(np.rint(weights / scales + zeros), 0, highest)
    return levels


def _fit_scales(
    weights: NDArray[np.float32], highest: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scales and zeros of one block that have the smallest squared errors."""
    low, high = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    best = np.full((3, weights.shape[1]), np.inf, np.float32)
    for shrinkage in _SHRINKAGE.astype(np.float32):
        half = (shrinkage * (high - low) / highest).astype(np.float16)
        scales = np.maximum(half, _SMALLEST_SCALE).astype(np.float32)
        zeros = _round(-shrinkage * low, scales, np.zeros_like(scales), highest)
        levels = _round(weights, scales, zeros, highest)
        errors = (((levels - zeros) * scales - weights) ** 2).sum(axis=0)
        best = np.where(errors < best[0], [errors, scales, zeros], best)
    return best[1], best[2]
