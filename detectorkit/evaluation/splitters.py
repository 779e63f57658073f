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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, column_or_1d

from detectorkit.datasets.splitting import deal
from detectorkit.utils.validation import check_integer, check_real, parameter_error

__all__ = [
    "GeneratorDateSplit",
    "LeaveOneFamilyOut",
    "LeaveOneGeneratorOut",
    "LeaveOneSourceOut",
    "StratifiedGroupShuffleSplit",
]

Indices = NDArray[np.intp]
_EMPTY = ("", "None", "nan", "<NA>", "NaT")  # what the empty cells of tables are as text


class _Fold(NamedTuple):
    """The numbers of the origins that are tested, and of those that are used on neither side."""

    test: Sequence[int]
    unused: Sequence[int] = ()


@dataclass(frozen=True)
class _Images:
    """What is known of each image; origins are numbered in the order of their names."""

    names: NDArray[np.str_]  # of the origins
    origin: NDArray[np.int64]
    picture: NDArray[np.int64]
    is_generated: NDArray[np.bool_]

    def origins(self, *, generated: bool, least: int = 1) -> NDArray[np.int64]:
        """Give the generators, or the real sources, that have so many images at least."""
        numbers, counts = np.unique(self.origin[self.is_generated == generated], return_counts=True)
        return numbers[counts >= least]

    def cut(self, fold: _Fold, caller: str) -> tuple[Indices, Indices]:
        """Give the indices of the training and of the test images."""
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


class _OriginSplitter(BaseCrossValidator):
    """Base of the splitters that leave origins out; a subclass defines `_folds`."""

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - scikit-learn reads it so

    @abstractmethod
    def _folds(self, images: _Images) -> list[_Fold]:
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
        images = self._read(X, y, groups)
        for fold in self._folds(images):
            yield images.cut(fold, type(self).__name__)

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

    def _read(self, X: Any, y: Any, groups: Any) -> _Images:
        caller = type(self).__name__
        check_consistent_length(X, y, groups)
        is_generated = _check_labels(y, caller)
        columns = _check_groups(groups, caller)
        names, origin = np.unique(columns[:, 0], return_inverse=True)
        n_empty = int(np.isin(columns[:, 0], _EMPTY).sum())
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
        return _Images(names, origin, _number_pictures(pictures), is_generated)

    def _at_least_two(self, images: _Images, *, generated: bool, least: int = 1) -> Any:
        found = images.origins(generated=generated, least=least)
        if len(found) < 2:
            kind = "generators" if generated else "real sources"
            size = f" of at least {least} images" if least > 1 else ""
            raise ValueError(
                f"{type(self).__name__}: groups has the {kind} {images.names[found].tolist()}"
                f"{size}. Two or more are needed: one to test on and one to train on. Pass "
                "images of more, or keep parts of each aside with StratifiedGroupShuffleSplit."
            )
        return found


class _SourceDealer(_OriginSplitter):
    """Base of the splitters that deal the real sources over folds made of generators."""

    def __init__(self, *, shuffle: bool = False, random_state: Any = None) -> None:
        self.shuffle = shuffle
        self.random_state = random_state

    def _deal_sources(self, images: _Images, n_folds: int) -> list[list[int]]:
        """Deal in turn, and again from the first one while there are folds without a source."""
        sources = self._at_least_two(images, generated=False)
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
        self, min_group_size: int = 1, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        super().__init__(shuffle=shuffle, random_state=random_state)
        self.min_group_size = min_group_size

    def _folds(self, images: _Images) -> list[_Fold]:
        least = check_integer(self, "min_group_size", least=1)
        generators = self._at_least_two(images, generated=True, least=least)
        dealt = self._deal_sources(images, len(generators))
        return [_Fold([g, *sources]) for g, sources in zip(generators, dealt, strict=True)]


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

    def _folds(self, images: _Images) -> list[_Fold]:
        return [_Fold([source]) for source in self._at_least_two(images, generated=False)]


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
        self, dates: Mapping[Any, Any], *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        super().__init__(shuffle=shuffle, random_state=random_state)
        self.dates = dates

    def _folds(self, images: _Images) -> list[_Fold]:
        by_date = self._generators_by_date(images)
        if len(by_date) < 2:
            raise parameter_error(
                self, "dates", "of two or more different values for the generators in groups"
            )
        dealt = self._deal_sources(images, len(by_date) - 1)
        return [
            _Fold([*by_date[k], *sources], [g for later in by_date[k + 1 :] for g in later])
            for k, sources in enumerate(dealt, start=1)
        ]

    def _generators_by_date(self, images: _Images) -> list[list[int]]:
        known = {str(name): date for name, date in self.dates.items() if str(date) not in _EMPTY}
        generators = images.origins(generated=True)
        missing = [name for name in images.names[generators].tolist() if name not in known]
        if missing:
            raise ValueError(
                f"GeneratorDateSplit: dates has no date for the generators {missing}. Add when "
                "each came out, or leave their images out."
            )
        by_date: dict[Any, list[int]] = {}
        for generator in generators.tolist():
            by_date.setdefault(known[images.names[generator]], []).append(generator)
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

    Groups are dealt, the largest first and otherwise in random order, to the part that lacks most
    of their labels. So shares are exact to one image without groups, and as near as whole groups
    allow with them.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.evaluation import StratifiedGroupShuffleSplit
    >>> y = np.array([0, 1] * 10)
    >>> pair = np.arange(20) // 2
    >>> cv = StratifiedGroupShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> train, test = next(cv.split(y, y, pair))
    >>> len(train), y[test].sum(), len(np.unique(pair[test]))
    (16, 2, 2)
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - scikit-learn reads it so

    def __init__(
        self, n_splits: int = 5, *, test_size: float = 0.1, random_state: Any = None
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
            part = deal(labels, pictures, shares, random)
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
        return check_integer(self, "n_splits", least=1)

    def _read(self, X: Any, y: Any, groups: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        check_consistent_length(X, y, groups)
        caller = type(self).__name__
        _check_labels(y, caller)
        columns = _check_groups(groups, caller)
        if columns.shape[1] != 1:
            raise ValueError(f"{caller}: groups has two columns. Pass the picture ids only.")
        return np.unique(column_or_1d(y), return_inverse=True)[1], _number_pictures(columns[:, 0])

    def _check_side(self, labels: NDArray[np.int64], side: NDArray[np.bool_]) -> None:
        if len(np.unique(labels[side])) < len(np.unique(labels)):
            raise ValueError(
                f"{type(self).__name__}: with test_size={self.test_size}, a part has no image of "
                "one of the labels. Pass more images, smaller groups or a share nearer to a half."
            )


def _check_labels(y: Any, caller: str) -> NDArray[np.bool_]:
    """Say of each image whether it is generated."""
    if y is None:
        raise ValueError(f"{caller} requires y to be passed, but the target y is None.")
    classes, codes = np.unique(column_or_1d(y), return_inverse=True)
    if len(classes) != 2 or str(classes[1]).lower() == "real":
        raise ValueError(
            f"{caller}: y has the labels {classes.tolist()}. Two are needed, of which the second "
            "in sorted order means generated: 0 for real and 1 for generated."
        )
    return codes == 1


def _check_groups(groups: Any, caller: str) -> NDArray[np.str_]:
    """Give the groups as one or two columns of text."""
    if groups is None:
        raise ValueError(
            f"{caller}: The 'groups' parameter should not be None. Pass what each image belongs "
            "to, one value an image."
        )
    columns = np.asarray(groups).astype(str)
    if columns.ndim == 1:
        columns = columns[:, np.newaxis]
    if columns.ndim != 2 or columns.shape[1] not in {1, 2}:
        raise ValueError(
            f"{caller}: groups has shape {np.shape(groups)}. Pass one value an image, or two "
            "columns: origin and picture."
        )
    return columns


def _number_pictures(ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """Give images of one picture the same number, and each one that is not named its own."""
    numbers = np.unique(ids, return_inverse=True)[1]
    is_empty = np.isin(ids, _EMPTY)
    numbers[is_empty] = len(ids) + np.arange(is_empty.sum())
    return numbers
