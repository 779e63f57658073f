"""Split data into training, validation and test sets that have no picture in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_consistent_length, column_or_1d

from detectorkit.model_selection.duplicates import near_duplicate_groups, perceptual_hash

__all__ = ["train_val_test_split"]


def train_val_test_split(
    X: Any,
    y: Any,
    *arrays: Any,
    val_size: float = 0.1,
    test_size: float = 0.1,
    groups: Any = None,
    keep_near_duplicates: bool = True,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> list[Any]:
    """Split images into training, validation and test sets, shuffled and stratified by label.

    Parameters
    ----------
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence
        The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images, of
        bytes or of file objects.
    y : array-like of shape (n_samples,)
        Labels of the images, of any kind. Each set gets the same proportion of each label.
    *arrays : sequence of length n_samples
        Further columns to split in the same way, such as origins or file names.
    val_size, test_size : float, default=0.1
        Proportions of the images in the validation and test set; the rest is for training.
    groups : array-like of shape (n_samples,), default=None
        Group of each image, such as the person or the film. All images of a group are put into
        the same set. None means that there are no groups.
    keep_near_duplicates : bool, default=True
        Whether copies of one picture are put into the same set too. The search for copies reads
        all images once, in some 0.4 ms each.
    random_state : int, RandomState instance or None, default=None
        Shuffles.
    n_jobs : int, default=None
        Number of threads for the search for copies; -1 means all processors.
    verbose : bool, default=False
        Whether to show a progress bar on standard error during that search.

    Returns
    -------
    parts : list of length 3 * (2 + len(arrays))
        The sets in the order X_train, X_val, X_test, y_train, y_val, y_test, and so on.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded in the search for copies; it names the path and its index.
    ValueError
        If a set would be empty.

    See Also
    --------
    near_duplicate_groups : Finds the copies.

    Notes
    -----
    Groups are assigned one after the other, the largest first and otherwise in random order. Each
    goes to the set that lacks the largest proportion of the group's labels and has room for it.
    So proportions are exact to one image without groups, as near as whole groups allow with them,
    and groups of every size get into every set.

    Examples
    --------
    >>> from detectorkit.datasets import make_upsampling_images, train_val_test_split
    >>> data = make_upsampling_images(n_samples=100, random_state=0)
    >>> parts = train_val_test_split(data.data, data.target, groups=data.source, random_state=0)
    >>> X_train, X_val, X_test, y_train, y_val, y_test = parts
    >>> len(X_train) + len(X_val) + len(X_test)
    100
    """
    shares = np.array([1 - val_size - test_size, val_size, test_size])
    if shares.min() <= 0:
        raise ValueError(
            f"train_val_test_split: val_size={val_size} and test_size={test_size} must be above "
            "0, and their sum must be below 1."
        )
    check_consistent_length(X, y, *arrays, *([] if groups is None else [groups]))
    labels = np.unique(column_or_1d(y), return_inverse=True)[1]
    together = [] if groups is None else [np.unique(groups, return_inverse=True)[1]]
    if keep_near_duplicates:
        hashes = perceptual_hash(X, n_jobs=n_jobs, verbose=verbose)
        together.append(near_duplicate_groups(hashes))
    random = check_random_state(random_state)
    part_of = assign_groups(labels, merge_groups(together, len(labels)), shares, random)
    order = random.permutation(len(labels))
    indices = [order[part_of[order] == part] for part in range(3)]
    if any(len(index) == 0 for index in indices):
        raise ValueError(
            f"train_val_test_split: {len(labels)} images are split into sets of "
            f"{[len(index) for index in indices]}. Pass more images, smaller groups, or a larger "
            "val_size and test_size."
        )
    return [take_items(array, index) for array in (X, y, *arrays) for index in indices]


def take_items(array: Any, index: NDArray[np.intp]) -> Any:
    """Return the items of a sequence, array or table at `index`, in the same type."""
    if isinstance(array, Sequence):
        return [array[i] for i in index]
    return _safe_indexing(array, index)


def merge_groups(together: list[NDArray[np.int64]], n: int) -> NDArray[np.int64]:
    """Merge groupings: images that share a group in any of them share one in the result."""
    if not together:
        return np.arange(n)
    offsets = np.cumsum([0, *(grouping.max() + 1 for grouping in together)])
    image = np.tile(np.arange(n), len(together))
    group = np.concatenate([g + offset for g, offset in zip(together, offsets, strict=False)])
    return connect_images(image, group, n)


def connect_images(image: NDArray[np.int64], group: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Assign one number to connected images, of `n`: ``image[i]`` is in ``group[i]``."""
    size = n + int(group.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(image), bool), (image, group + n)), shape=(size, size))
    connected: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return connected[:n]


def assign_groups(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    shares: NDArray[np.float64],
    random: np.random.RandomState,
) -> NDArray[np.int64]:
    """Assign whole groups to parts with proportions `shares`; return the part of each image."""
    names, group_of = np.unique(groups, return_inverse=True)
    content = np.zeros((len(names), labels.max() + 1))
    np.add.at(content, (group_of, labels), 1)
    target = shares[:, np.newaxis] * content.sum(axis=0)
    wanted = target.copy()
    part_of_group = np.empty(len(names), np.int64)
    order = random.permutation(len(names))
    order = order[np.argsort(-content.sum(axis=1)[order], kind="stable")]
    for group in order:
        part = _choose_part(wanted, target, content[group])
        part_of_group[group] = part
        wanted[part] -= content[group]
    return part_of_group[group_of]


def _choose_part(
    wanted: NDArray[np.float64], target: NDArray[np.float64], content: NDArray[np.float64]
) -> int:
    """Choose the part that lacks most of the group's labels, among the parts with room for it.

    The lack is a proportion of the part's target, not a number of images, or the largest groups
    would all go to the largest part.
    """
    of_these = content > 0
    has_room = (wanted[:, of_these] >= content[of_these] - 0.5).all(axis=1)
    if not has_room.any():
        return int(np.argmax(wanted @ content))
    lack = (wanted[:, of_these] / target[:, of_these]) @ content[of_these]
    return int(np.argmax(np.where(has_room, lack, -np.inf)))
