"""How far a fingerprint would be the same if it were made of other images of its generator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.fingerprint.theory import reliability
from detectorkit.metrics.estimates import Estimate

__all__ = ["FingerprintStability", "measure_stability"]

Floats = NDArray[np.floating[Any]]

_N_PARTS: Final = 16  # sums that are kept of each generator, whatever the number of its images
_N_SPLITS: Final = 200


class FingerprintStability(NamedTuple):
    """Stability of the fingerprint of a generator.

    Attributes
    ----------
    n_images : int
        Number of images of the generator.
    strength : Estimate
        Correlation of the residuals of two images, which is the proportion of the power of a
        residual that the common pattern has.
    split_half : Estimate
        Correlation of two fingerprints, each made of another half of the images.
    reliability : Estimate
        Correlation that the fingerprint of all images can be expected to have with one of as many
        other images.
    curve : dict of float to float
        Measured correlation of two fingerprints, by the number of images that each is made of.
    """

    n_images: int
    strength: Estimate
    split_half: Estimate
    reliability: Estimate
    curve: dict[float, float]

    def n_images_needed(self, reliability: float = 0.9) -> Estimate:
        """Compute the number of images that a fingerprint of a given reliability needs.

        Parameters
        ----------
        reliability : float, default=0.9
            Correlation of two fingerprints of that many images, above 0 and below 1.

        Returns
        -------
        n_images : Estimate
            Number of images by the formula of Spearman and Brown; infinite where the images have
            nothing in common.
        """
        factor = reliability / (1 - reliability)
        value, low, high = (factor * (1 - k) / k if k > 0 else float("inf") for k in self.strength)
        return Estimate(value, high, low)


def measure_stability(
    batches: Iterable[tuple[Floats, NDArray[np.intp]]],
    n_images: NDArray[np.intp],
    random: np.random.RandomState,
    confidence: float,
) -> list[FingerprintStability]:
    """Measure the stability of each generator from its residuals, in one pass.

    `batches` are residuals with the codes of their generators, of which there are `n_images` each.
    """
    sums: dict[tuple[int, int], Floats] = {}
    places = [random.permutation(n) % min(_N_PARTS, n) for n in n_images]
    seen = np.zeros(len(n_images), int)
    n_values = 1
    for residuals, codes in batches:
        rows = residuals.reshape(len(residuals), -1)
        n_values = rows.shape[1]
        for row, code in zip(rows, codes.tolist(), strict=True):
            part = code, int(places[code][seen[code]])
            seen[code] += 1
            if part in sums:
                sums[part] += row
            else:
                sums[part] = row.astype(np.float64)
    found = []
    for code, where in enumerate(places):
        counts = np.bincount(where)
        parts = np.stack([sums[code, part] for part in range(len(counts))])
        found.append(_from_parts(parts @ parts.T / n_values, counts, random, confidence))
    return found


def _from_parts(
    products: Floats, counts: NDArray[np.intp], random: np.random.RandomState, confidence: float
) -> FingerprintStability:
    """Measure the stability from the products of the sums over parts of the images."""
    n_parts, n = len(counts), int(counts.sum())
    resampled = random.multinomial(n_parts, np.full(n_parts, 1 / n_parts), size=1000)
    resampled = resampled[(resampled > 0).sum(axis=1) > 1]  # two parts are needed
    strengths = _strengths(resampled, products, counts)
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(strengths, tails).tolist()
    value = float(_strengths(np.ones((1, n_parts), int), products, counts)[0])
    strength = Estimate(value, low, high)
    sizes = sorted({1, 2, 4, n_parts // 2} & set(range(1, n_parts // 2 + 1)))
    curve = {round(size * n / n_parts, 2): _split(products, size, random) for size in sizes}
    halves = curve[max(curve)]
    spread = [reliability(max(k, 0), n / 2) for k in (low, high)]
    whole = [reliability(max(k, 0), n) for k in strength]
    return FingerprintStability(n, strength, Estimate(halves, *spread), Estimate(*whole), curve)


def _strengths(
    weights: NDArray[np.intp], products: Floats, counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compute the mean product of two images out of different parts, for each row of weights."""
    own = np.square(weights)
    of_pairs = np.einsum("bi,ij,bj->b", weights, products, weights) - own @ np.diag(products)
    n_pairs = np.square(weights @ counts) - own @ np.square(counts)
    return of_pairs / n_pairs


def _split(products: Floats, size: int, random: np.random.RandomState) -> float:
    """Compute the mean correlation of two fingerprints, each of `size` other parts."""
    found = []
    for _ in range(_N_SPLITS):
        order = random.permutation(len(products))
        one, two = order[:size], order[size : 2 * size]
        norms = products[np.ix_(one, one)].sum() * products[np.ix_(two, two)].sum()
        found.append(products[np.ix_(one, two)].sum() / np.sqrt(norms) if norms > 0 else 0.0)
    return float(np.mean(found))
