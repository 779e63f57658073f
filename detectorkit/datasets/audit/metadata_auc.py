"""How well a classifier that sees no pixels tells photographs from generated images."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.metrics.auc import roc_auc_estimate
from detectorkit.metrics.estimates import Estimate
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import progress_bar
from detectorkit.utils.validation import check_seed

__all__ = [
    "ALL_FACTS",
    "CONTAINER_FACTS",
    "MIN_PICTURES",
    "MetadataAuc",
    "container_auc",
    "metadata_auc",
]

CONTAINER_FACTS: Final = {
    "format": "format",
    "height": "height",
    "width": "width",
    "aspect": "aspect",
    "jpeg_quality": "JPEG quality",
    "standard_tables": "quantisation tables",
    "subsampling": "chroma subsampling",
    "progressive": "progressive JPEG",
    "has_profile": "colour profile",
    "has_exif": "EXIF data",
}
"""Facts of a file that encoding again can make equal for all images, with their names in texts."""

ALL_FACTS: Final = CONTAINER_FACTS | {
    "n_bytes": "length of the file",
    "bytes_per_pixel": "bytes per pixel",
}
"""The facts of `CONTAINER_FACTS`, and the length of the file, which depends on the picture too."""

MIN_PICTURES: Final = 10
"""Minimum number of different pictures in each class for a measurement."""

_FOLDS = 5
_TREES = 30  # more do not change the second decimal
_SMALLEST_LEAF = 5
_DECIMALS = 6  # so that rounding in a sum does not rank images that are alike

_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))
_CHANCE = Estimate(0.5, 0.5, 0.5)


class MetadataAuc(NamedTuple):
    """Areas under the ROC curve of classifiers that see only facts of the files.

    Attributes
    ----------
    everything : Estimate
        Area of the classifier that sees `ALL_FACTS`.
    container : Estimate
        Area of the classifier that sees `CONTAINER_FACTS`.
    alone : dict of str to Estimate
        Area of a classifier that sees only this one fact; the largest area comes first.
    """

    everything: Estimate
    container: Estimate
    alone: dict[str, Estimate]

    def in_words(self) -> dict[str, Estimate]:
        """Return all areas by what the classifier sees, in words for a reader.

        Returns
        -------
        areas : dict of str to Estimate
            The areas, those of classifiers that see several facts first.
        """
        return {
            "all facts of the file": self.everything,
            "the same without its length": self.container,
            **{f"{ALL_FACTS[fact]} alone": area for fact, area in self.alone.items()},
        }


def metadata_auc(
    files: NDArray[np.void],
    y: NDArray[Any],
    pictures: NDArray[np.int64],
    *,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> MetadataAuc:
    """Measure by cross-validation how well the facts of the files tell the classes apart.

    Notes
    -----
    The classifier is a random forest. There are five folds, or fewer if a class has fewer pictures.
    The intervals are those of `roc_auc_estimate`. They hold for more files of the same sources;
    they do not cover the choice of sources.
    """
    views = {"everything": tuple(ALL_FACTS), "container": tuple(CONTAINER_FACTS)}
    views |= {fact: (fact,) for fact in ALL_FACTS}
    n_pictures = [len(np.unique(pictures[y == label])) for label in (0, 1)]
    if min(n_pictures) < MIN_PICTURES:
        return MetadataAuc(_UNKNOWN, _UNKNOWN, dict.fromkeys(ALL_FACTS, _UNKNOWN))
    columns = {name: _columns(files, facts) for name, facts in views.items()}
    scores = _held_out_scores(
        columns, y, pictures, n_jobs, check_seed("metadata_auc", random_state), show=verbose
    )
    found = {name: _area(y, scores[name]) if name in scores else _CHANCE for name in views}
    everything, container = found.pop("everything"), found.pop("container")
    alone = sorted(found.items(), key=lambda item: -item[1].value)
    return MetadataAuc(everything, container, dict(alone))


def container_auc(
    files: NDArray[np.void],
    y: NDArray[Any],
    pictures: NDArray[np.int64],
    *,
    n_jobs: int | None = None,
) -> Estimate:
    """Measure `MetadataAuc.container` alone, which takes a fraction of the time."""
    columns = {"container": _columns(files, tuple(CONTAINER_FACTS))}
    n_pictures = [len(np.unique(pictures[y == label])) for label in (0, 1)]
    if min(n_pictures) < MIN_PICTURES:
        return _UNKNOWN
    if columns["container"].shape[1] == 0:
        return _CHANCE
    scores = _held_out_scores(columns, y, pictures, n_jobs, 0, show=False)
    return _area(y, scores["container"])


def _columns(files: NDArray[np.void], facts: tuple[str, ...]) -> NDArray[np.float32]:
    """Convert the facts to columns of numbers, without those that are the same for all files."""
    columns: list[NDArray[Any]] = []
    for fact in facts:
        values = files[fact]
        if values.dtype.kind == "U":
            columns += [values == name for name in np.unique(values)]
        else:
            columns.append(np.nan_to_num(values, nan=-1))
    telling = [column for column in columns if np.ptp(column.astype(np.float32)) > 0]
    return np.array(telling, np.float32).reshape(len(telling), len(files)).T


def _held_out_scores(
    columns: dict[str, NDArray[np.float32]],
    y: NDArray[Any],
    pictures: NDArray[np.int64],
    n_jobs: int | None,
    seed: int,
    *,
    show: bool,
) -> dict[str, NDArray[np.float64]]:
    """Score each file by classifiers that were fitted without it and its copies."""
    # Imported here because it takes long to import.
    from sklearn.model_selection import StratifiedGroupKFold

    minimum = min(len(np.unique(pictures[y == label])) for label in (0, 1))
    folds = StratifiedGroupKFold(min(_FOLDS, minimum), shuffle=True, random_state=seed)
    jobs = [
        (name, train, test)
        for train, test in folds.split(y, y, pictures)
        for name, values in columns.items()
        if values.shape[1]
    ]
    parts = map_in_order(partial(_fit_and_score, columns, y, seed), jobs, n_jobs=n_jobs)
    scores = {name: np.empty(len(y)) for name, _, _ in jobs}
    with progress_bar("Fitting classifiers", len(jobs), show=show) as advance:
        for (name, _, test), part in zip(jobs, parts, strict=True):
            scores[name][test] = part
            advance(1)
    return scores


def _fit_and_score(
    columns: dict[str, NDArray[np.float32]],
    y: NDArray[Any],
    seed: int,
    job: tuple[str, NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.float64]:
    from sklearn.ensemble import RandomForestClassifier

    name, train, test = job
    values = columns[name]
    forest = RandomForestClassifier(
        _TREES,
        min_samples_leaf=_SMALLEST_LEAF,
        # Each tree sees balanced classes, so the class proportions of a fold do not shift scores.
        class_weight="balanced_subsample",
        n_jobs=1,  # several threads would sum the trees in any order
        random_state=seed,
    ).fit(values[train], y[train])
    # A fold may have one class only; the product is right for one column too.
    return forest.predict_proba(values[test]) @ forest.classes_


def _area(y: NDArray[Any], scores: NDArray[np.float64]) -> Estimate:
    return roc_auc_estimate(y, scores.round(_DECIMALS))
