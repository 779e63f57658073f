"""Read the labels and groups of the splitters: the class, origin and picture of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from detectorkit.utils.labels import find_classes
from detectorkit.utils.names import as_names

__all__ = ["EMPTY", "Fold", "Origins", "number_pictures", "text_columns"]

EMPTY: Final = ("", "None", "nan", "<NA>", "NaT")
"""The values that count as an empty cell of a table, as text."""


class Fold(NamedTuple):
    """One fold of a splitter: the origins to test on and those to leave out.

    Attributes
    ----------
    test : sequence of int
        Numbers of the generators and sources to test on.
    unused : sequence of int
        Numbers of the generators and sources that are in neither the training nor the test set.
    """

    test: Sequence[int]
    unused: Sequence[int] = ()


@dataclass(frozen=True)
class Origins:
    """The origin, picture and class of each image, as numbers.

    Attributes
    ----------
    names : ndarray of str
        Names of the origins, sorted; the number of an origin is its index here.
    origin : ndarray of shape (n_samples,)
        Number of the origin of each image.
    picture : ndarray of shape (n_samples,)
        Number of the picture of each image.
    is_generated : ndarray of shape (n_samples,)
        Whether each image is generated.
    """

    names: NDArray[np.object_]
    origin: NDArray[np.int64]
    picture: NDArray[np.int64]
    is_generated: NDArray[np.bool_]

    @classmethod
    def read(cls, X: Any, y: Any, groups: Any, caller: str) -> Origins:
        """Check the labels and groups, and number the origins and pictures in them."""
        check_consistent_length(X, y, groups)
        is_generated = find_classes(caller, y)[1] == 1
        columns = text_columns(groups, caller, maximum=2)
        names, origin = np.unique(columns[:, 0], return_inverse=True)
        n_empty = int(np.isin(columns[:, 0], EMPTY).sum())
        if n_empty:
            raise ValueError(
                f"{caller}: groups has no origin for {n_empty} of {len(columns)} images, so they "
                "may come from a tested origin. Name their generators and sources, or drop them."
            )
        both = np.intersect1d(origin[is_generated], origin[~is_generated])
        if len(both):
            raise ValueError(
                f"{caller}: in groups, {names[both].tolist()} are origins of real and of "
                "generated images. Give generators and real sources different names."
            )
        pictures = columns[:, 1] if columns.shape[1] == 2 else np.full(len(columns), "", object)
        return cls(names, origin, number_pictures(pictures), is_generated)

    def of_class(self, *, generated: bool, caller: str, minimum: int = 1) -> NDArray[np.int64]:
        """Return the generators or the real sources, and check that there are at least two."""
        found, counts = np.unique(self.origin[self.is_generated == generated], return_counts=True)
        found = found[counts >= minimum]
        if len(found) < 2:
            kind = "generators" if generated else "real sources"
            size = f" of at least {minimum} images" if minimum > 1 else ""
            raise ValueError(
                f"{caller}: groups has only the {kind} {self.names[found].tolist()}{size}. Two or "
                f"more are needed, one to test on and one to train on. Pass images of more {kind}, "
                "or set a part of each aside with StratifiedGroupShuffleSplit."
            )
        return found

    def cut(self, fold: Fold, caller: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the training and the test images of a fold."""
        test = np.isin(self.origin, fold.test)
        shown = np.isin(self.picture, self.picture[test])
        train = ~(shown | np.isin(self.origin, fold.unused))
        for generated, kind in enumerate(("photograph", "generated image")):
            if not (self.is_generated[train] == generated).any():
                raise ValueError(
                    f"{caller}: where {self.names[list(fold.test)].tolist()} and all images of "
                    f"the same pictures are left out, no {kind} is left to train on. Pass more "
                    "images, or groups without picture ids."
                )
        return np.flatnonzero(train), np.flatnonzero(test)


def text_columns(groups: Any, caller: str, *, maximum: int) -> NDArray[np.object_]:
    """Convert groups to columns of text."""
    if groups is None:
        raise ValueError(
            f"{caller}: The 'groups' parameter should not be None. Pass one value for each image: "
            "the group that it belongs to."
        )
    columns = as_names(groups)
    if columns.ndim == 1:
        columns = columns[:, np.newaxis]
    if columns.ndim != 2 or not 1 <= columns.shape[1] <= maximum:
        allowed = ", or two columns: origin and picture" if maximum == 2 else ": its picture id"
        raise ValueError(
            f"{caller}: groups has shape {np.shape(groups)}. Pass one value for each image"
            f"{allowed}."
        )
    return columns


def number_pictures(pictures: Any) -> NDArray[np.int64]:
    """Assign a number to each picture id; every empty id gets a number of its own."""
    ids = as_names(pictures)
    numbers = np.unique(ids, return_inverse=True)[1]
    is_empty = np.isin(ids, EMPTY)
    numbers[is_empty] = len(ids) + np.arange(is_empty.sum())
    return numbers
