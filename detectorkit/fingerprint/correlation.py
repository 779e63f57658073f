"""Correlation of residuals with fingerprints: at the same place, and at all cyclic shifts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["correlations", "log_peak_to_energy", "to_unit"]

Floats = NDArray[np.floating[Any]]

_REACH: Final = 5  # pixels around the peak that do not count as noise, on each side


def to_unit(patterns: Floats) -> NDArray[np.float32]:
    """Scale patterns to the norm 1; a pattern of zeros stays."""
    flat = patterns.reshape(len(patterns), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    return unit.reshape(patterns.shape).astype(np.float32)


def correlations(residuals: Floats, patterns: Floats) -> NDArray[np.float64]:
    """Compute the normalised correlation of standardised residuals with patterns of norm 1."""
    rows = residuals.reshape(len(residuals), -1)
    products = rows @ patterns.reshape(len(patterns), -1).T
    return products.astype(np.float64) / np.sqrt(rows.shape[1])


def log_peak_to_energy(residuals: Floats, patterns: Floats) -> NDArray[np.float64]:
    """Compute log(1 + PCE) for every pair of residual and pattern, with the sign of the peak."""
    shape = residuals.shape[1:3]
    spectra = fft.rfft2(residuals, axes=(1, 2))
    found = np.empty((len(residuals), len(patterns)))
    for column, pattern in enumerate(patterns):
        product = spectra * np.conj(fft.rfft2(pattern, axes=(0, 1)))
        if product.ndim == 4:
            product = product.sum(axis=3)
        surfaces = fft.irfft2(product, s=shape, axes=(1, 2))
        found[:, column] = [_log_pce(surface) for surface in surfaces]
    return found


def _log_pce(surface: Floats) -> float:
    """Compare the highest peak of a surface with the energy outside its neighbourhood."""
    surface = surface.astype(np.float64)
    place = np.unravel_index(surface.argmax(), surface.shape)
    near = [_around(int(at), side) for at, side in zip(place, surface.shape, strict=True)]
    n_far = surface.size - len(near[0]) * len(near[1])
    energy = np.square(surface).sum() - np.square(surface[np.ix_(*near)]).sum()
    peak = float(surface[place])
    if n_far == 0 or energy <= 1e-9 * peak * peak:
        return 0.0
    return float(np.sign(peak) * np.log1p(peak * peak * n_far / energy))


def _around(at: int, side: int) -> NDArray[np.intp]:
    """Return the indices near a place on a circle."""
    if side <= 2 * _REACH + 1:
        return np.arange(side)
    return np.arange(at - _REACH, at + _REACH + 1) % side
