"""Units of sources, which protocol E leaves out whole, and a splitter that leaves them out.

A unit is what may not be in training and test alike: a repository or website with all that it
published, photographs and generated images, or a collection that many repositories publish again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from detectorkit.model_selection._groups import EMPTY, number_pictures, text_columns
from detectorkit.utils.labels import find_classes
from detectorkit.utils.names import as_names
from detectorkit.utils.validation import check_count, check_integer, check_seed

__all__ = ["LeaveSourcesOut", "cap_images", "merge_sources", "units_by_kind"]


def merge_sources(
    source: Any, origin: Any, collections: Collection[str] = ()
) -> NDArray[np.object_]:
    """Assign images to units: their source or, for named collections, the collection.

    Parameters
    ----------
    source : array-like of shape (n_samples,)
        Repository or website that each image is from.
    origin : array-like of shape (n_samples,)
        Generator of each generated image, collection of each photograph.
    collections : collection of str, default=()
        Names in `origin` that several sources publish. All images of such a name are one unit,
        whatever their source.

    Returns
    -------
    unit : ndarray of str of shape (n_samples,)
        Name of the unit of each image, for `cross_source_evaluation` or `LeaveSourcesOut`.

    Raises
    ------
    ValueError
        If a collection does not occur in `origin`.

    Examples
    --------
    >>> from detectorkit.evaluation import merge_sources
    >>> merge_sources(["ann", "ann", "bob"], ["ffhq", "sdxl", "ffhq"], ["ffhq"]).tolist()
    ['ffhq', 'ann', 'ffhq']
    """
    sources, origins = as_names(source), as_names(origin)
    check_consistent_length(sources, origins)
    missing = sorted(set(map(str, collections)) - set(origins.tolist()))
    if missing:
        raise ValueError(f"merge_sources: collections={missing} do not occur in origin.")
    return np.where(np.isin(origins, [*map(str, collections)]), origins, sources)


def cap_images(
    *columns: Any, max_images: int = 100, random_state: int | np.random.RandomState | None = 0
) -> NDArray[np.intp]:
    """Choose at most `max_images` images of each group, so that no large group dominates.

    Parameters
    ----------
    *columns : array-like of shape (n_samples,)
        Names that make a group together, such as the generator and the source of each image.
    max_images : int, default=100
        Maximum number of images of a group.
    random_state : int, RandomState instance or None, default=0
        Source of randomness for the choice in larger groups.

    Returns
    -------
    index : ndarray of int
        Indices of the chosen images, sorted.

    Examples
    --------
    >>> from detectorkit.evaluation import cap_images
    >>> cap_images(["ffhq", "ffhq", "ffhq", "sdxl"], ["ann"] * 4, max_images=2).shape
    (3,)
    """
    check_count("cap_images", "max_images", max_images, minimum=1)
    random = np.random.default_rng(check_seed("cap_images", random_state))
    numbers = [np.unique(as_names(column), return_inverse=True)[1] for column in columns]
    group = np.unique(np.column_stack(numbers), axis=0, return_inverse=True)[1].ravel()
    chosen = [np.empty(0, np.intp)]
    for number in range(group.max(initial=-1) + 1):
        members = np.flatnonzero(group == number)
        too_many = len(members) > max_images
        chosen.append(random.choice(members, max_images, replace=False) if too_many else members)
    return np.sort(np.concatenate(chosen))


def units_by_kind(
    unit: NDArray[np.int64], is_generated: NDArray[np.bool_], random: np.random.RandomState
) -> list[NDArray[np.int64]]:
    """Return the units that hold photographs, generated images and both, each in random order."""
    generated, real = np.unique(unit[is_generated]), np.unique(unit[~is_generated])
    both = np.intersect1d(generated, real)
    kinds = [np.setdiff1d(real, both), np.setdiff1d(generated, both), both]
    return [random.permutation(kind) for kind in kinds]


class LeaveSourcesOut(BaseCrossValidator):
    """Leave out a part of the sources in each fold, with all their images of both classes.

    Parameters
    ----------
    n_splits : int, default=8
        Number of folds; each leaves out one source of so many.
    random_state : int, RandomState instance or None, default=None
        Shuffles the sources.

    See Also
    --------
    cross_source_evaluation : Fits and evaluates a detector on these folds.
    LeaveOneGeneratorOut : Leaves out single generators.
    sklearn.model_selection.GroupKFold : The same, without regard to classes and pictures.

    Notes
    -----
    `groups` is the source of each image, or its unit as `merge_sources` returns it. An optional
    second column is the id of its picture: images whose picture is in the test set are left out
    of the training set. Sources of photographs, sources of generated images and sources of both
    are dealt to the folds in turn, so that each fold has its part of all three. Every image is
    tested once.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import LeaveSourcesOut
    >>> source = np.array(["ann", "ann", "bob", "bob", "eve", "eve"])
    >>> for train, test in LeaveSourcesOut(3, random_state=0).split(source, [0, 1] * 3, source):
    ...     print(np.unique(source[test]), "after", np.unique(source[train]))
    ['eve'] after ['ann' 'bob']
    ['bob'] after ['ann' 'eve']
    ['ann'] after ['bob' 'eve']
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - scikit-learn reads it so

    def __init__(
        self, n_splits: int = 8, *, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Generate the indices of the training and test images of each fold.

        Parameters
        ----------
        X : sequence of length n_samples, or None
            The images; only their number counts.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        groups : array-like of shape (n_samples,) or (n_samples, 2)
            The source of each image and, as a second column, its picture id.

        Yields
        ------
        train : ndarray
            Indices of the training images.
        test : ndarray
            Indices of the test images.

        Raises
        ------
        ValueError
            If there are fewer sources than folds, or no image of a class is left to train on.
        """
        n_splits, caller = self.get_n_splits(), type(self).__name__
        check_consistent_length(X, y, groups)
        is_generated = find_classes(caller, y)[1] == 1
        columns = text_columns(groups, caller, maximum=2)
        names, unit = np.unique(columns[:, 0], return_inverse=True)
        n_empty = int(np.isin(columns[:, 0], EMPTY).sum())
        if n_empty:
            raise ValueError(
                f"{caller}: groups has no source for {n_empty} of {len(unit)} images. Name the "
                "source of each image, or drop those without one."
            )
        if len(names) < n_splits:
            raise ValueError(
                f"{caller}: n_splits={n_splits}, but groups has only {len(names)} sources. Pass "
                "more sources, or a smaller n_splits."
            )
        dealt = np.concatenate(
            units_by_kind(unit, is_generated, check_random_state(self.random_state))
        )
        fold = np.empty(len(names), np.int64)
        fold[dealt] = np.arange(len(names)) % n_splits
        picture = number_pictures(columns[:, 1]) if columns.shape[1] == 2 else np.arange(len(unit))
        for number in range(n_splits):
            test = fold[unit] == number
            train = ~test & ~np.isin(picture, picture[test])
            if len(np.unique(is_generated[train])) < 2:
                raise ValueError(
                    f"{caller}: without the sources {names[fold == number].tolist()}, one class "
                    "has no images to train on. Pass more sources of both classes."
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used, present for API consistency with scikit-learn.

        Returns
        -------
        n_splits : int
            Number of folds that `split` generates.
        """
        return check_integer(self, "n_splits", minimum=2)
