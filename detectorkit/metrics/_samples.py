"""Check labels and scores before they are measured, and draw bootstrap samples of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from detectorkit.images.batches import iter_slices
from detectorkit.utils.labels import check_labels
from detectorkit.utils.validation import check_scores

__all__ = ["check_labelled", "resampled_weights"]

_WEIGHTS_AT_A_TIME: Final = 500_000  # number of weights in memory at once


def check_labelled(
    caller: str, y_true: Any, **columns: Any
) -> tuple[NDArray[np.bool_], list[NDArray[np.float64]]]:
    """Check labels and what detectors said of the images."""
    y = check_labels(caller, y_true, name="y_true")
    check_consistent_length(y, *columns.values())
    if len(y) == 0:
        raise ValueError(f"{caller}: y_true holds no label. Pass at least one image.")
    arrays = [check_scores(caller, column, name=name) for name, column in columns.items()]
    return y == 1, arrays


def resampled_weights(
    is_generated: NDArray[np.bool_], n_resamples: int, random: np.random.RandomState
) -> Iterator[NDArray[np.float64]]:
    """Draw bootstrap samples within each class, so that the class sizes stay as they are."""
    classes = [np.flatnonzero(is_generated), np.flatnonzero(~is_generated)]
    for part in iter_slices(n_resamples, max(1, _WEIGHTS_AT_A_TIME // len(is_generated))):
        weight = np.zeros((part.stop - part.start, len(is_generated)))
        for members in filter(len, classes):
            even = np.full(len(members), 1 / len(members))
            weight[:, members] = random.multinomial(len(members), even, size=len(weight))
        yield weight
