"""Fit a detector without each part of the sources, and evaluate it on what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_consistent_length, has_fit_parameter

from detectorkit.evaluation.sources import SourceEvaluation, name_origins
from detectorkit.metrics.scoring import own_threshold, score_images
from detectorkit.model_selection._groups import number_pictures
from detectorkit.model_selection.sources import LeaveSourcesOut
from detectorkit.model_selection.split import take_items
from detectorkit.utils.labels import check_labels
from detectorkit.utils.names import as_names
from detectorkit.utils.validation import check_confidence, check_count, check_seed

__all__ = ["SourceData", "cross_source_evaluation"]

Indices = NDArray[np.intp]
Fold = tuple[Indices, Indices]


def cross_source_evaluation(
    detector: Any,
    X: Any,
    y: Any,
    source: Any,
    *,
    generator: Any = None,
    unit: Any = None,
    subset: Any = None,
    picture: Any = None,
    fit_params: Mapping[str, Any] | None = None,
    n_splits: int = 8,
    min_images: int = 5,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> SourceEvaluation:
    """Fit a detector without each part of the sources in turn; evaluate the left-out scores.

    In use, an image comes from a place that the detector has not seen. So the scores of all
    images are by a detector that was trained on other sources only (protocol E).

    Parameters
    ----------
    detector : classifier
        The detector to evaluate, or any binary classifier of scikit-learn; a clone of it is fitted
        for each fold.
    X : array-like of shape (n_samples, ...), or sequence
        Whatever the detector takes: images, paths or rows of features.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    source : array-like of shape (n_samples,)
        Source of each image, photograph or not: the repository or website that it is from.
    generator : array-like of shape (n_samples,), default=None
        Generator of each generated image; that of photographs is not used. None takes the
        generated images of a source for one generator's.
    unit : array-like of shape (n_samples,), default=None
        Unit of each image, such as `merge_sources` returns: what is left out together. None takes
        the sources.
    subset : array-like of shape (n_samples,), default=None
        Kind of each image, such as "faces", for metrics by subset.
    picture : array-like of shape (n_samples,), default=None
        Id of the picture of each image. Images of one picture are never both trained and tested
        on; "" counts as a picture of its own, as does None for all images. It is passed to `fit`
        as ``groups`` if the detector takes that.
    fit_params : mapping of str to object, default=None
        Parameters of `fit`, such as ``sample_weight``. Arrays of length n_samples are cut as X is.
        A detector that takes ``origin`` is passed the generator and source of each image.
    n_splits : int, default=8
        Number of folds; each leaves out one unit of so many.
    min_images : int, default=5
        Minimum number of images of an origin that counts in the mean rates.
    confidence : float, default=0.95
        Confidence level of the intervals, between 0 and 1.
    n_resamples : int, default=1000
        Number of bootstrap samples of the units.
    n_jobs : int, default=None
        Number of folds that are fitted at a time. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=0
        Shuffles the units, and draws the bootstrap samples.

    Returns
    -------
    evaluation : SourceEvaluation
        The left-out scores, and their metrics with intervals over units.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If lengths differ, or there are fewer units than folds.

    See Also
    --------
    source_learning_curve : Says what more sources would bring.
    cap_images : Keeps large collections from dominating.
    SourceEvaluation : Takes scores that were computed in another way.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from detectorkit.evaluation import cross_source_evaluation
    >>> random = np.random.RandomState(0)
    >>> y, source = np.tile([0, 1], 120), np.repeat(np.arange(24), 10)
    >>> X = random.normal(size=(240, 4)) + y[:, np.newaxis]
    >>> result = cross_source_evaluation(LogisticRegression(), X, y, source, n_resamples=200)
    >>> print(result.metrics["macro_balanced_accuracy"])
    0.821 [0.771, 0.875]
    """
    caller = "cross_source_evaluation"
    seed = check_seed(caller, random_state)
    options = {
        "min_images": check_count(caller, "min_images", min_images, minimum=1),
        "confidence": check_confidence(caller, confidence),
        "n_resamples": check_count(caller, "n_resamples", n_resamples, minimum=1),
        "random_state": seed,
    }
    data = SourceData.check(caller, X, y, source, generator, unit, subset, picture, fit_params)
    folds = data.folds(n_splits, seed)
    scored = Parallel(n_jobs=n_jobs)(delayed(data.fit_and_score)(detector, *fold) for fold in folds)
    return data.evaluation(folds, scored, **options)


@dataclass(frozen=True)
class SourceData:
    """Images or features with what is known of each, checked."""

    X: Any
    y: NDArray[np.int64]
    source: NDArray[np.object_]
    generator: NDArray[np.object_]
    unit: NDArray[np.object_]
    subset: NDArray[np.object_] | None
    picture: NDArray[np.object_]
    fit_params: dict[str, Any]

    @classmethod
    def check(
        cls,
        caller: str,
        X: Any,
        y: Any,
        source: Any,
        generator: Any = None,
        unit: Any = None,
        subset: Any = None,
        picture: Any = None,
        fit_params: Mapping[str, Any] | None = None,
    ) -> SourceData:
        """Check the columns of `caller`, and fill in those that are None."""
        check_consistent_length(X, y, source, generator, unit, subset, picture)
        labels = check_labels(caller, y, need_both=True)
        empty = np.full(len(labels), "", object)
        given = [None if c is None else as_names(c) for c in (generator, unit, subset)]
        sources = as_names(source)
        return cls(
            X=X,
            y=labels,
            source=sources,
            generator=empty if given[0] is None else given[0],
            unit=sources if given[1] is None else given[1],
            subset=given[2],
            picture=empty if picture is None else as_names(picture),
            fit_params=dict(fit_params or {}),
        )

    def folds(self, n_splits: int, seed: int) -> list[Fold]:
        """Assign the units to folds; return the training and test images of each."""
        groups = np.column_stack([self.unit, self.picture])
        return list(LeaveSourcesOut(n_splits, random_state=seed).split(self.y, self.y, groups))

    def fit(self, detector: Any, train: Indices) -> Any:
        """Return a clone that is fitted on some images, with what it takes of the columns."""
        fitted = clone(detector)
        origin = name_origins(self.y, self.generator, self.source)
        known = {"origin": origin, "groups": number_pictures(self.picture)}
        taken = {k: v for k, v in known.items() if has_fit_parameter(fitted, k)} | self.fit_params
        cut = {
            name: take_items(value, train) if np.shape(value)[:1] == self.y.shape else value
            for name, value in taken.items()
        }
        return fitted.fit(take_items(self.X, train), self.y[train], **cut)

    def fit_and_score(
        self, detector: Any, train: Indices, test: Indices
    ) -> tuple[NDArray[np.float64], float]:
        """Fit a clone on some images; return the scores of others, and its threshold."""
        fitted = self.fit(detector, train)
        return score_images(fitted, take_items(self.X, test))[0], own_threshold(fitted)

    def evaluation(
        self, folds: list[Fold], scored: list[tuple[NDArray[np.float64], float]], **options: Any
    ) -> SourceEvaluation:
        """Put the scores of the folds together."""
        scores, threshold = np.empty(len(self.y)), np.empty(len(self.y))
        for (_, test), (found, limit) in zip(folds, scored, strict=True):
            scores[test], threshold[test] = found, limit
        return SourceEvaluation(
            self.y,
            scores,
            threshold,
            self.source,
            self.generator,
            self.unit,
            self.subset,
            **options,
        )
