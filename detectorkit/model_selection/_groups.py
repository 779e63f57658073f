"""What the splitters know of each image: its class, its origin and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length

from detectorkit.utils.labels import find_classes

__all__ = ["EMPTY", "Fold", "Origins", "number_pictures", "text_columns"]

EMPTY: Final = ("", "None", "nan", "<NA>", "NaT")
"""What the empty cells of tables are as text."""


class Fold(NamedTuple):
    """The numbers of the origins that are tested, and of those that are on neither side.

    Attributes
    ----------
    test : sequence of int
        Generators and sources to test on.
    unused : sequence of int
        Those to leave out.
    """

    test: Sequence[int]
    unused: Sequence[int] = ()


@dataclass(frozen=True)
class Origins:
    """Where each image is from; origins are numbered in the order of their names.

    Attributes
    ----------
    names : ndarray of str
        The name of each origin.
    origin : ndarray of shape (n_samples,)
        The number of each image's origin.
    picture : ndarray of shape (n_samples,)
        The number of each image's picture.
    is_generated : ndarray of shape (n_samples,)
        The class of each image.
    """

    names: NDArray[np.str_]
    origin: NDArray[np.int64]
    picture: NDArray[np.int64]
    is_generated: NDArray[np.bool_]

    @classmethod
    def read(cls, X: Any, y: Any, groups: Any, caller: str) -> Origins:
        """Check labels and groups.

        Parameters
        ----------
        X : sequence of length n_samples, or None
            Only its length counts.
        y : array-like of shape (n_samples,)
            The labels.
        groups : array-like of shape (n_samples,) or (n_samples, 2)
            The origin of each image and, in a second column, its picture.
        caller : str
            The name that error messages begin with.

        Returns
        -------
        origins : Origins
            All that they say.

        Raises
        ------
        ValueError
            If they say too little, or contradict each other.
        """
        check_consistent_length(X, y, groups)
        is_generated = find_classes(caller, y)[1] == 1
        columns = text_columns(groups, caller, maximum=2)
        names, origin = np.unique(columns[:, 0], return_inverse=True)
        n_empty = int(np.isin(columns[:, 0], EMPTY).sum())
        if n_empty:
            raise ValueError(
                f"{caller}: groups has no origin for {n_empty} of {len(columns)} images, so they "
                "could be from what is tested. Name their generators and sources, or drop them."
            )
        both = np.intersect1d(origin[is_generated], origin[~is_generated])
        if len(both):
            raise ValueError(
                f"{caller}: in groups, {names[both].tolist()} are origins of real and of "
                "generated images. Give generators and real sources names of their own."
            )
        pictures = columns[:, 1] if columns.shape[1] == 2 else np.full(len(columns), "")
        return cls(names, origin, number_pictures(pictures), is_generated)

    def of_class(self, *, generated: bool, caller: str, minimum: int = 1) -> NDArray[np.int64]:
        """Give the generators, or the real sources, of which there must be two.

        Parameters
        ----------
        generated : bool
            Which of both.
        caller : str
            The name that the error message begins with.
        minimum : int, default=1
            Those with fewer images are left out.

        Returns
        -------
        numbers : ndarray
            Their numbers, in the order of their names.

        Raises
        ------
        ValueError
            If there are fewer than two.
        """
        found, counts = np.unique(self.origin[self.is_generated == generated], return_counts=True)
        found = found[counts >= minimum]
        if len(found) < 2:
            kind = "generators" if generated else "real sources"
            size = f" of at least {minimum} images" if minimum > 1 else ""
            raise ValueError(
                f"{caller}: groups has the {kind} {self.names[found].tolist()}{size}. Two or "
                "more are needed: one to test on and one to train on. Pass images of more, or "
                "set a part of each aside with StratifiedGroupShuffleSplit."
            )
        return found

    def cut(self, fold: Fold, caller: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Give the training and the test images of a fold.

        Parameters
        ----------
        fold : Fold
            What to test.
        caller : str
            The name that the error message begins with.

        Returns
        -------
        train, test : ndarray
            Their indices, rising.

        Raises
        ------
        ValueError
            If a class would be missing in training.
        """
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


def text_columns(groups: Any, caller: str, *, maximum: int) -> NDArray[np.str_]:
    """Give the groups as columns of text.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_columns)
        What each image belongs to.
    caller : str
        The name that error messages begin with.
    maximum : int
        The number of columns that are allowed.

    Returns
    -------
    columns : ndarray of shape (n_samples, n_columns)
        The same as text.

    Raises
    ------
    ValueError
        If there are none, or too many columns.
    """
    if groups is None:
        raise ValueError(
            f"{caller}: The 'groups' parameter should not be None. Pass what each image belongs "
            "to, one value an image."
        )
    columns = np.asarray(groups).astype(str)
    if columns.ndim == 1:
        columns = columns[:, np.newaxis]
    if columns.ndim != 2 or not 1 <= columns.shape[1] <= maximum:
        allowed = ", or two columns: origin and picture" if maximum == 2 else ": its picture id"
        raise ValueError(
            f"{caller}: groups has shape {np.shape(groups)}. Pass one value an image{allowed}."
        )
    return columns


def number_pictures(ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """Give the images of one picture one number, and each of an empty id a number of its own.

    Parameters
    ----------
    ids : ndarray of shape (n_samples,)
        The picture id of each image.

    Returns
    -------
    numbers : ndarray of shape (n_samples,)
        Not all numbers need occur.
    """
    numbers = np.unique(ids, return_inverse=True)[1]
    is_empty = np.isin(ids, EMPTY)
    numbers[is_empty] = len(ids) + np.arange(is_empty.sum())
    return numbers
