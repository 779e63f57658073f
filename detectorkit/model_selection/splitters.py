"""Splitters that test a detector on generators and sources that it was not trained on.

All have the interface of scikit-learn's splitters, for ``cv=`` of `cross_val_score`,
`GridSearchCV` and the like, with ``groups=``. The splitters that leave origins out all read
`groups` in the same way. It holds

* the **origin** of each image: the generator of a generated image, the source of a photograph
  (the collection, the camera, the website). No origin is ever in both training and test set.
* or an array of shape (n_samples, 2): the origin, and the id of the **picture**: the photograph,
  the person, the pair of a photograph and its reconstruction. Images whose picture is in the test
  set are left out of the training set, so that a photograph that two collections publish is never
  in both. An empty id means that the picture is not known: the image counts as a picture of its
  own.

Names are compared as text, and a cell is empty if it is "", None or nan. The labels `y` say which
origins are generators: 0 for real and 1 for generated, or any two labels, of which the second in
sorted order means "generated".
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from detectorkit.model_selection._groups import EMPTY, Fold, Origins, number_pictures, text_columns
from detectorkit.model_selection.split import assign_groups
from detectorkit.utils.labels import find_classes
from detectorkit.utils.validation import check_integer, check_real, parameter_error

__all__ = [
    "GeneratorDateSplit",
    "LeaveOneFamilyOut",
    "LeaveOneGeneratorOut",
    "LeaveOneSourceOut",
    "StratifiedGroupShuffleSplit",
]

Indices = NDArray[np.intp]


class _OriginSplitter(BaseCrossValidator):
    """Base of the splitters that leave origins out; a subclass defines `_folds`."""

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - scikit-learn reads it so

    @abstractmethod
    def _folds(self, origins: Origins) -> list[Fold]:
        """Return the origins to test on in each fold."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Indices, Indices]]:
        """Generate the indices of the training and test images of each fold."""
        origins = self._read(X, y, groups)
        for fold in self._folds(origins):
            yield origins.cut(fold, type(self).__name__)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return len(self._folds(self._read(X, y, groups)))

    def _read(self, X: Any, y: Any, groups: Any) -> Origins:
        return Origins.read(X, y, groups, type(self).__name__)


class _SourceDealer(_OriginSplitter):
    """Base of the splitters whose folds are made of generators, with real sources dealt to them."""

    def __init__(
        self, *, shuffle: bool = False, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.shuffle = shuffle
        self.random_state = random_state

    def _deal_sources(self, origins: Origins, n_folds: int) -> list[list[int]]:
        """Assign the sources to the folds in turn, repeating them if there are more folds."""
        sources = origins.of_class(generated=False, caller=type(self).__name__)
        if self.shuffle:
            sources = check_random_state(self.random_state).permutation(sources)
        elif self.random_state is not None:
            raise parameter_error(self, "random_state", "None, as long as shuffle=False")
        # With a single fold there are two hands, so that sources are left to train on.
        hands: list[list[int]] = [[] for _ in range(max(2, n_folds))]
        for turn in range(max(len(hands), len(sources))):
            hands[turn % len(hands)].append(int(sources[turn % len(sources)]))
        return hands[:n_folds]


class LeaveOneGeneratorOut(_SourceDealer):
    """Leave out each generator in turn, together with real sources.

    In use, a detector meets generators and cameras that it was not trained on. So neither the
    generated nor the real test images should have the origins of the training images. Each fold
    leaves out one generator, and one real source or more.

    Parameters
    ----------
    min_group_size : int, default=1
        Generators with fewer images are never tested and always trained on.
    shuffle : bool, default=False
        Whether to deal the real sources to the folds in random order; False deals them by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneFamilyOut : Leaves out families of related generators.
    GeneratorDateSplit : Tests on newer generators only.
    sklearn.model_selection.LeaveOneGroupOut : Leaves out one group, so one class only.

    Notes
    -----
    `groups` is the origin of each image: the generator of a generated image, the source of a
    photograph. An optional second column is the id of its picture: images whose picture is in
    the test set are left out of the training set. Folds are in the order of the generators'
    names. The real sources are dealt to the folds in turn, so that every source is tested at
    least once and every fold tests at least one source. If there are fewer sources than
    generators, some sources are tested in several folds: do not pool the photographs of all
    folds without regard to that.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import LeaveOneGeneratorOut
    >>> groups = np.array(["ffhq", "ffhq", "lfw", "lfw", "dalle", "sdxl", "sdxl", "stylegan"])
    >>> y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> for train, test in LeaveOneGeneratorOut().split(groups, y, groups):
    ...     print(np.unique(groups[test]), "after", np.unique(groups[train]))
    ['dalle' 'ffhq'] after ['lfw' 'sdxl' 'stylegan']
    ['lfw' 'sdxl'] after ['dalle' 'ffhq' 'stylegan']
    ['ffhq' 'stylegan'] after ['dalle' 'lfw' 'sdxl']
    """

    def __init__(
        self,
        min_group_size: int = 1,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, random_state=random_state)
        self.min_group_size = min_group_size

    def _folds(self, origins: Origins) -> list[Fold]:
        minimum = check_integer(self, "min_group_size", minimum=1)
        generators = origins.of_class(generated=True, caller=type(self).__name__, minimum=minimum)
        dealt = self._deal_sources(origins, len(generators))
        return [Fold([g, *sources]) for g, sources in zip(generators, dealt, strict=True)]


class LeaveOneFamilyOut(LeaveOneGeneratorOut):
    """Leave out each family of generators in turn, together with real sources.

    Stable Diffusion 1.4, 1.5 and all their fine-tunes end in the same decoder. A detector that was
    trained on one of them has seen the traces of the others, which `LeaveOneGeneratorOut` would
    count as unseen.

    Parameters
    ----------
    min_group_size : int, default=1
        Families with fewer images are never tested and always trained on.
    shuffle : bool, default=False
        Whether to deal the real sources to the folds in random order; False deals them by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneGeneratorOut : Leaves out single generators.

    Notes
    -----
    `groups` is the family of each generated image and the source of each photograph. An optional
    second column is the id of its picture, as in `LeaveOneGeneratorOut`.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import LeaveOneFamilyOut
    >>> generator = np.array(["ffhq", "lfw", "sd-1.4", "sd-1.5", "dreambooth", "stylegan"])
    >>> family = np.array(["ffhq", "lfw", "sd-1", "sd-1", "sd-1", "stylegan"])
    >>> for train, test in LeaveOneFamilyOut().split(family, [0, 0, 1, 1, 1, 1], family):
    ...     print(generator[test])
    ['ffhq' 'sd-1.4' 'sd-1.5' 'dreambooth']
    ['lfw' 'stylegan']
    """


class LeaveOneSourceOut(_OriginSplitter):
    """Leave out each source of photographs in turn.

    The test sets hold photographs only. They measure the false-positive rate on photographs of a
    camera or collection that the detector does not know.

    See Also
    --------
    LeaveOneGeneratorOut : Leaves out generators too.

    Notes
    -----
    `groups` is the origin of each image: the generator of a generated image, the source of a
    photograph. An optional second column is the id of its picture, as in `LeaveOneGeneratorOut`.
    Folds are in the order of the sources' names. Metrics that need both classes, such as the area
    under the ROC curve, are not defined on these test sets.

    Examples
    --------
    With images of the real class only, 1 - accuracy is the false-positive rate.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from detectorkit.evaluation import LeaveOneSourceOut
    >>> X = [[0.0], [0.1], [0.9], [1.0], [0.8], [0.9]]
    >>> groups = ["ffhq", "ffhq", "lfw", "lfw", "sdxl", "sdxl"]
    >>> accuracy = cross_val_score(
    ...     LogisticRegression(C=100), X, [0, 0, 0, 0, 1, 1], groups=groups, cv=LeaveOneSourceOut()
    ... )
    >>> 1 - accuracy
    array([0., 1.])
    """

    def _folds(self, origins: Origins) -> list[Fold]:
        return [
            Fold([source])
            for source in origins.of_class(generated=False, caller=type(self).__name__)
        ]


class GeneratorDateSplit(_SourceDealer):
    """Test on the generators of each date, and train on older generators.

    That is how a detector is used: it cannot be trained on the generators of next year.

    Parameters
    ----------
    dates : mapping of str to object
        Release date of each generator, by its name in `groups`: anything that can be sorted, such
        as "2022-08". Names that are not in `groups` are ignored.
    shuffle : bool, default=False
        Whether to deal the real sources to the folds in random order; False deals them by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneGeneratorOut : Trains on newer generators too.
    sklearn.model_selection.TimeSeriesSplit : Splits samples that are sorted by time.

    Notes
    -----
    `groups` is the origin of each image: the generator of a generated image, the source of a
    photograph. An optional second column is the id of its picture, as in `LeaveOneGeneratorOut`.
    There is a fold for each date but the first. It tests all generators of that date together and
    trains on those of earlier dates; newer generators are in neither set. The real sources are
    dealt to the folds as in `LeaveOneGeneratorOut`, whatever their age. If there is only one
    fold, it tests every second source, so that others are left to train on.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import GeneratorDateSplit
    >>> groups = np.array(["ffhq", "lfw", "stylegan", "sd-1.4", "flux"])
    >>> cv = GeneratorDateSplit({"stylegan": "2018-12", "sd-1.4": "2022-08", "flux": "2024-08"})
    >>> for train, test in cv.split(groups, [0, 0, 1, 1, 1], groups):
    ...     print(groups[test], "after", groups[train])
    ['ffhq' 'sd-1.4'] after ['lfw' 'stylegan']
    ['lfw' 'flux'] after ['ffhq' 'stylegan' 'sd-1.4']
    """

    def __init__(
        self,
        dates: Mapping[Any, Any],
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, random_state=random_state)
        self.dates = dates

    def _folds(self, origins: Origins) -> list[Fold]:
        by_date = self._generators_by_date(origins)
        if len(by_date) < 2:
            raise parameter_error(
                self, "dates", "of two or more different values for the generators in groups"
            )
        dealt = self._deal_sources(origins, len(by_date) - 1)
        return [
            Fold([*by_date[k], *sources], [g for later in by_date[k + 1 :] for g in later])
            for k, sources in enumerate(dealt, start=1)
        ]

    def _generators_by_date(self, origins: Origins) -> list[list[int]]:
        known = {str(name): date for name, date in self.dates.items() if str(date) not in EMPTY}
        generators = origins.of_class(generated=True, caller=type(self).__name__)
        missing = [name for name in origins.names[generators].tolist() if name not in known]
        if missing:
            raise ValueError(
                f"GeneratorDateSplit: dates has no date for the generators {missing}. Add their "
                "release dates, or leave their images out."
            )
        by_date: dict[Any, list[int]] = {}
        for generator in generators.tolist():
            by_date.setdefault(known[origins.names[generator]], []).append(generator)
        try:
            return [by_date[date] for date in sorted(by_date)]
        except TypeError as error:
            raise parameter_error(self, "dates", "of one kind, such as '2022-08'") from error


class StratifiedGroupShuffleSplit(BaseCrossValidator):
    """Split at random, with the same proportion of each label and only whole groups.

    scikit-learn has `StratifiedShuffleSplit` and `GroupShuffleSplit`, but not both in one.

    Parameters
    ----------
    n_splits : int, default=5
        Number of independent random splits.
    test_size : float, default=0.1
        Proportion of the images in the test set, above 0 and below 1.
    random_state : int, RandomState instance or None, default=None
        Shuffles.

    See Also
    --------
    detectorkit.datasets.train_val_test_split : Splits once, into three sets, and finds copies.
    LeaveOneGeneratorOut : Tests on generators and sources that were not seen in training.

    Notes
    -----
    `groups` is the picture id of each image, in one column: the photograph, the person or the
    pair that must stay together. An empty id means that the image is a picture of its own. The
    same origins are in the training and the test set: this is the easy test, on more images like
    those trained on.

    Groups are assigned one after the other, the largest first and otherwise in random order. Each
    goes to the set that lacks the largest proportion of the group's labels and has room for it.
    So proportions are exact to one image without groups, as near as whole groups allow with them,
    and groups of every size get into every set.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import StratifiedGroupShuffleSplit
    >>> y = np.array([0, 1] * 10)
    >>> pair = np.arange(20) // 2
    >>> cv = StratifiedGroupShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> train, test = next(cv.split(y, y, pair))
    >>> print(y[train].sum(), y[test].sum(), len(np.unique(pair[test])))
    8 2 2
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - scikit-learn reads it so

    def __init__(
        self,
        n_splits: int = 5,
        *,
        test_size: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Indices, Indices]]:
        """Generate the indices of the training and test images of each split.

        Parameters
        ----------
        X : sequence of length n_samples, or None
            The images; only their number counts.
        y : array-like of shape (n_samples,)
            Labels of the images.
        groups : array-like of shape (n_samples,)
            The picture id of each image.

        Yields
        ------
        train : ndarray
            Indices of the training images, in random order.
        test : ndarray
            Indices of the test images, in random order.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or a label would be missing in one of the sets.
        """
        test_size = check_real(self, "test_size", above=0, below=1)
        shares = np.array([1 - test_size, test_size])
        labels, pictures = self._read(X, y, groups)
        random = check_random_state(self.random_state)
        for _ in range(self.get_n_splits()):
            part = assign_groups(labels, pictures, shares, random)
            order = random.permutation(len(labels))
            for side in (0, 1):
                self._check_side(labels, part == side)
            yield order[part[order] == 0], order[part[order] == 1]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used, present for API consistency with scikit-learn.

        Returns
        -------
        n_splits : int
            Number of splits that `split` generates.
        """
        return check_integer(self, "n_splits", minimum=1)

    def _read(self, X: Any, y: Any, groups: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        check_consistent_length(X, y, groups)
        caller = type(self).__name__
        pictures = text_columns(groups, caller, maximum=1)[:, 0]
        return find_classes(caller, y)[1], number_pictures(pictures)

    def _check_side(self, labels: NDArray[np.int64], side: NDArray[np.bool_]) -> None:
        if len(np.unique(labels[side])) < len(np.unique(labels)):
            raise ValueError(
                f"{type(self).__name__}: with test_size={self.test_size}, one of the sets lacks a "
                "label. Pass more images, smaller groups or a test_size nearer to 0.5."
            )
