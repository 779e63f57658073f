"""Cuts into training and test images that ask how a detector does on what it never saw.

All are scikit-learn's kind of splitter, for ``cv=`` of `cross_val_score`, `GridSearchCV` and the
like, with ``groups=``. What `groups` holds is the same for all that leave origins out:

* the **origin** of each image: of a generated image its generator, of a photograph its source
  (the collection, the camera, the website). No origin is ever on both sides of a cut.
* or an array of shape (n_samples, 2): the origin, and a **picture** id: the photograph, the
  person, the pair of a photograph and its reconstruction. Images whose picture is in the test
  part are left out of training; so a photograph that two collections publish is never on both
  sides. An empty id means that nothing is known: that image is a picture of its own.

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
        """Say what is tested in each fold."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Indices, Indices]]:
        """Give the training and test images of each fold.

        Parameters
        ----------
        X : sequence of length n_samples, or None
            The images; only their number counts.
        y : array-like of shape (n_samples,)
            0 for real, 1 for generated.
        groups : array-like of shape (n_samples,) or (n_samples, 2)
            The origin of each image and, in a second column, its picture.

        Yields
        ------
        train : ndarray
            Indices of the training images, rising.
        test : ndarray
            Indices of the test images, rising.

        Raises
        ------
        ValueError
            If the groups or labels allow no such cut; the message says what to change.
        """
        origins = self._read(X, y, groups)
        for fold in self._folds(origins):
            yield origins.cut(fold, type(self).__name__)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of folds.

        Parameters
        ----------
        X : sequence of length n_samples, default=None
            Not needed.
        y : array-like of shape (n_samples,)
            As for `split`.
        groups : array-like of shape (n_samples,) or (n_samples, 2)
            As for `split`.

        Returns
        -------
        n_splits : int
            The number of folds.
        """
        return len(self._folds(self._read(X, y, groups)))

    def _read(self, X: Any, y: Any, groups: Any) -> Origins:
        return Origins.read(X, y, groups, type(self).__name__)


class _SourceDealer(_OriginSplitter):
    """Base of the splitters that deal the real sources over folds made of generators."""

    def __init__(
        self, *, shuffle: bool = False, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.shuffle = shuffle
        self.random_state = random_state

    def _deal_sources(self, origins: Origins, n_folds: int) -> list[list[int]]:
        """Deal in turn, and again from the first one while there are folds without a source."""
        sources = origins.of_class(generated=False, caller=type(self).__name__)
        if self.shuffle:
            sources = check_random_state(self.random_state).permutation(sources)
        elif self.random_state is not None:
            raise parameter_error(self, "random_state", "None, as long as shuffle=False")
        hands: list[list[int]] = [[] for _ in range(max(2, n_folds))]  # one must not get all
        for turn in range(max(len(hands), len(sources))):
            hands[turn % len(hands)].append(int(sources[turn % len(sources)]))
        return hands[:n_folds]


class LeaveOneGeneratorOut(_SourceDealer):
    """Test each generator, with real sources that were not seen either.

    A detector meets generators and cameras that it was not trained on; so neither side of a test
    should come from where the training images come from. Each fold leaves out one generator, and
    one real source or more.

    Parameters
    ----------
    min_group_size : int, default=1
        Generators with fewer images are never tested and always trained on.
    shuffle : bool, default=False
        Whether the real sources are dealt over the folds in random order rather than by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneFamilyOut : For generators that are related.
    GeneratorDateSplit : Tests on newer generators only.
    sklearn.model_selection.LeaveOneGroupOut : Leaves out one group, so one class only.

    Notes
    -----
    `groups` is the origin of each image: the generator, or the source of a photograph; in a
    second column it may name the picture, as the module says. Folds are in the order of the
    generators' names. The real sources are dealt over them in turn: every source is tested at
    least once, and with every generator at least one. Where there are fewer sources than
    generators, some are tested in several folds: do not pool the photographs of all folds
    without regard to that.

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
    """Test each family of generators, with real sources that were not seen either.

    Stable Diffusion 1.4, 1.5 and all their fine-tunes end in one decoder: who trains on one of
    them has seen the traces of the others, and `LeaveOneGeneratorOut` would call them unseen.

    Parameters
    ----------
    min_group_size : int, default=1
        Families with fewer images are never tested and always trained on.
    shuffle : bool, default=False
        Whether the real sources are dealt over the folds in random order rather than by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneGeneratorOut : The same with single generators.

    Notes
    -----
    `groups` is the family of each generated image and the source of each photograph; in a second
    column it may name the picture, as the module says.

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
    """Test the photographs of each real source, training on everything else.

    The test parts hold photographs only: what is measured is how many of them are called
    generated, where the detector knows neither the camera nor the collection.

    See Also
    --------
    LeaveOneGeneratorOut : Leaves out generators too.

    Notes
    -----
    `groups` is the origin of each image: the generator, or the source of a photograph; in a
    second column it may name the picture, as the module says. Folds are in the order of the
    sources' names. Scores that need both classes, such as the ROC AUC, are not defined here.

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
    """Test the generators of each date, trained on older ones.

    That is how a detector is used: those who train it cannot have the generators of next year.

    Parameters
    ----------
    dates : mapping of str to object
        When each generator came out, by its name in `groups`: anything that can be sorted, as
        "2022-08". Names that are not in `groups` are ignored.
    shuffle : bool, default=False
        Whether the real sources are dealt over the folds in random order rather than by name.
    random_state : int, RandomState instance or None, default=None
        Shuffles, where `shuffle` is True.

    See Also
    --------
    LeaveOneGeneratorOut : Trains on newer generators too.
    sklearn.model_selection.TimeSeriesSplit : The same for samples in the order of time.

    Notes
    -----
    `groups` is the origin of each image: the generator, or the source of a photograph; in a
    second column it may name the picture, as the module says. There is a fold for each date but
    the first. It tests the generators of that date, all of one date together, and trains on those
    of earlier dates; newer ones are on neither side. The real sources are dealt over the folds
    as in `LeaveOneGeneratorOut`, whatever their age; but a single fold tests every second source
    only, so that others are left to train on.

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
                f"GeneratorDateSplit: dates has no date for the generators {missing}. Add when "
                "each came out, or leave their images out."
            )
        by_date: dict[Any, list[int]] = {}
        for generator in generators.tolist():
            by_date.setdefault(known[origins.names[generator]], []).append(generator)
        try:
            return [by_date[date] for date in sorted(by_date)]
        except TypeError as error:
            raise parameter_error(self, "dates", "of one kind, such as '2022-08'") from error


class StratifiedGroupShuffleSplit(BaseCrossValidator):
    """Set a random part aside, with the same share of each label and only whole groups.

    scikit-learn has `StratifiedShuffleSplit` and `GroupShuffleSplit`, but nothing that is both.

    Parameters
    ----------
    n_splits : int, default=5
        Number of times that a part is set aside, each anew.
    test_size : float, default=0.1
        Its share of the whole.
    random_state : int, RandomState instance or None, default=None
        Shuffles.

    See Also
    --------
    detectorkit.datasets.train_val_test_split : Cuts once, into three parts; finds copies itself.
    LeaveOneGeneratorOut : Tests what was not seen in training.

    Notes
    -----
    `groups` is here the picture id of each image, in one column: the photograph, the person or
    the pair that must stay together. An empty id means that the image is a picture of its own.
    Origins are on both sides: this is the easy test, of more images like those trained on.

    Groups are dealt, the largest first and otherwise in random order, to the part that lacks the
    largest share of their labels and has room for them. So shares are exact to one image without
    groups, as near as whole groups allow with them, and groups of every size get into every part.

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
        """Give the training and test images of each split.

        Parameters
        ----------
        X : sequence of length n_samples, or None
            The images; only their number counts.
        y : array-like of shape (n_samples,)
            The labels.
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
            If a parameter is wrong, or a label would be missing on one side.
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
        """Give the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not needed.

        Returns
        -------
        n_splits : int
            The parameter of that name.
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
                f"{type(self).__name__}: with test_size={self.test_size}, a part has no image of "
                "one of the labels. Pass more images, smaller groups or a share nearer to a half."
            )
