"""How a detector improves with the number of sources that it is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from detectorkit.evaluation.cross_source import Fold, SourceData
from detectorkit.evaluation.sources import SourceEvaluation
from detectorkit.model_selection.sources import units_by_kind
from detectorkit.utils.extras import require_extra
from detectorkit.utils.json import to_plain
from detectorkit.utils.results import ResultMixin
from detectorkit.utils.tables import text_table
from detectorkit.utils.validation import check_count, check_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SourceLearningCurve", "SourceLearningCurveDisplay", "source_learning_curve"]

METRICS = {"roc_auc": "area under ROC curve", "macro_balanced_accuracy": "macro balanced accuracy"}


@dataclass(frozen=True, repr=False)
class SourceLearningCurve(ResultMixin):
    """Evaluations of a detector that was trained on more and more units.

    Attributes
    ----------
    n_units : ndarray of shape (n_sizes,)
        Number of units that were trained on, as the mean over the folds.
    n_images : ndarray of shape (n_sizes,)
        Number of images that were trained on, as the mean over the folds.
    evaluations : list of SourceEvaluation
        Evaluation at each number of units, always of the same left-out images.
    """

    n_units: NDArray[np.float64]
    n_images: NDArray[np.float64]
    evaluations: list[SourceEvaluation]

    _title = "Learning curve over sources"

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the curve; see `SourceLearningCurveDisplay`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ax : matplotlib Axes
            The axes with the curves.
        """
        return SourceLearningCurveDisplay.from_results(self, ax=ax).ax_

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        sizes = zip(self.n_units.tolist(), self.n_images.tolist(), self.evaluations, strict=True)
        return {
            "sizes": [
                {"n_units": units, "n_images": images} | one.metrics for units, images, one in sizes
            ]
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics in a form that JSON can hold.

        Returns
        -------
        content : dict
            The numbers of units and of images, and the metrics at each.
        """
        metrics = [one.metrics for one in self.evaluations]
        content = {"n_units": self.n_units, "n_images": self.n_images, "metrics": metrics}
        plain: dict[str, Any] = to_plain(content)
        return plain

    def to_text(self) -> str:
        """Format the curve as a table.

        Returns
        -------
        text : str
            A line for each number of units.
        """
        rows = [
            (f"{units:.0f}", f"{images:.0f}", *(one.metrics[name] for name in METRICS))
            for units, images, one in zip(
                self.n_units, self.n_images, self.evaluations, strict=True
            )
        ]
        return "\n".join(text_table(rows, ("units", "images", *METRICS.values()), align=">><"))


def source_learning_curve(
    detector: Any,
    X: Any,
    y: Any,
    source: Any,
    *,
    train_sizes: Sequence[float] = (0.125, 0.25, 0.5, 0.75, 1.0),
    generator: Any = None,
    unit: Any = None,
    subset: Any = None,
    picture: Any = None,
    fit_params: Mapping[str, Any] | None = None,
    n_splits: int = 8,
    n_resamples: int = 1000,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> SourceLearningCurve:
    """Evaluate a detector on left-out sources against the number of sources trained on.

    Where the curve still rises at its end, more sources help, and more images of the same
    sources hardly do.

    Parameters
    ----------
    detector : classifier
        The detector to evaluate, or any binary classifier of scikit-learn; clones are fitted.
    X : array-like of shape (n_samples, ...), or sequence
        Whatever the detector takes: images, paths or rows of features.
    y : array-like of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    source : array-like of shape (n_samples,)
        Source of each image, photograph or not: the repository or website that it is from.
    train_sizes : sequence of float, default=(0.125, 0.25, 0.5, 0.75, 1.0)
        Proportions of the units outside the left-out fold to train on, above 0 and up to 1.
    generator, unit, subset, picture : array-like of shape (n_samples,), default=None
        What is known of each image, as in `cross_source_evaluation`.
    fit_params : mapping of str to object, default=None
        Parameters of `fit`. Arrays of length n_samples are cut as X is.
    n_splits : int, default=8
        Number of folds; each leaves out one unit of so many.
    n_resamples : int, default=1000
        Number of bootstrap samples of the units.
    n_jobs : int, default=None
        Number of detectors that are fitted at a time. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=0
        Shuffles the units, and draws the bootstrap samples.

    Returns
    -------
    curve : SourceLearningCurve
        An evaluation for each proportion.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.
    ValueError
        If lengths differ, a proportion is out of its range, or there are fewer units than folds.

    See Also
    --------
    SourceLearningCurveDisplay : Plots the curve.
    sklearn.model_selection.learning_curve : The same against the number of samples.

    Notes
    -----
    The units of a smaller proportion are among those of a larger one. Units of photographs, of
    generated images and of both are taken in proportion, at least one of each.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from detectorkit.evaluation import source_learning_curve
    >>> random = np.random.RandomState(0)
    >>> y, source = np.tile([0, 1], 120), np.repeat(np.arange(24), 10)
    >>> X = random.normal(size=(240, 4)) + y[:, np.newaxis]
    >>> curve = source_learning_curve(
    ...     LogisticRegression(), X, y, source, train_sizes=(0.2, 1), n_resamples=100
    ... )
    >>> curve.n_units.tolist()
    [4.0, 21.0]
    """
    caller = "source_learning_curve"
    sizes = np.asarray(train_sizes, np.float64)
    if sizes.ndim != 1 or len(sizes) == 0 or not ((sizes > 0) & (sizes <= 1)).all():
        raise ValueError(
            f"{caller}: train_sizes={train_sizes!r} must be proportions above 0 and up to 1."
        )
    check_count(caller, "n_resamples", n_resamples, minimum=1)
    data = SourceData.check(caller, X, y, source, generator, unit, subset, picture, fit_params)
    seed = check_seed(caller, random_state)
    folds = data.folds(n_splits, seed)
    thinned = [[(_thin_out(data, fold[0], s, seed), fold[1]) for fold in folds] for s in sizes]
    jobs = (delayed(data.fit_and_score)(detector, *fold) for row in thinned for fold in row)
    scored = iter(Parallel(n_jobs=n_jobs)(jobs))
    options = {"n_resamples": n_resamples, "random_state": seed}
    return SourceLearningCurve(
        n_units=_mean_length(thinned, data.unit),
        n_images=_mean_length(thinned, np.arange(len(data.y))),
        evaluations=[
            data.evaluation(row, [next(scored) for _ in row], **options) for row in thinned
        ],
    )


def _thin_out(
    data: SourceData, train: NDArray[np.intp], size: float, seed: int
) -> NDArray[np.intp]:
    """Keep the training images of a proportion of the units."""
    unit = np.unique(data.unit[train], return_inverse=True)[1]
    kinds = units_by_kind(unit, data.y[train] == 1, check_random_state(seed))
    chosen = [kind[: max(1, round(size * len(kind)))] for kind in kinds]
    return train[np.isin(unit, np.concatenate(chosen))]


def _mean_length(rows: list[list[Fold]], names: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the mean number of different names among the training images, for each size."""
    return np.array([np.mean([len(np.unique(names[fold[0]])) for fold in row]) for row in rows])


class SourceLearningCurveDisplay:
    """Plot of the metrics on left-out sources against the number of units trained on.

    Use `from_estimator` or `from_results` to create one.

    .. versionadded:: 0.1

    Parameters
    ----------
    curve : SourceLearningCurve
        The curve to plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves; set by `plot`.
    figure_ : matplotlib Figure
        Figure that holds them; set by `plot`.
    lines_ : list of matplotlib Line2D
        One curve for each metric; set by `plot`.

    See Also
    --------
    source_learning_curve : Computes the curve.
    """

    def __init__(self, curve: SourceLearningCurve) -> None:
        self.curve = curve

    @classmethod
    def from_estimator(
        cls, detector: Any, X: Any, y: Any, source: Any, *, ax: Axes | None = None, **options: Any
    ) -> Self:
        """Compute the learning curve of a detector and plot it.

        Parameters
        ----------
        detector : classifier
            The detector to evaluate; clones of it are fitted.
        X : array-like of shape (n_samples, ...), or sequence
            Whatever the detector takes: images, paths or rows of features.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        source : array-like of shape (n_samples,)
            Source of each image.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **options : object
            Further parameters of `source_learning_curve`.

        Returns
        -------
        display : SourceLearningCurveDisplay
            The plot of the curve.
        """
        return cls.from_results(source_learning_curve(detector, X, y, source, **options), ax=ax)

    @classmethod
    def from_results(cls, curve: SourceLearningCurve, *, ax: Axes | None = None) -> Self:
        """Plot a learning curve that was computed before.

        Parameters
        ----------
        curve : SourceLearningCurve
            The result of `source_learning_curve`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : SourceLearningCurveDisplay
            The plot of the curve.
        """
        return cls(curve).plot(ax=ax)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        metrics: Sequence[str] = ("roc_auc", "macro_balanced_accuracy"),
    ) -> Self:
        """Draw a curve for each metric, with its interval over units as a band.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        metrics : sequence of str, default=("roc_auc", "macro_balanced_accuracy")
            Names of metrics of `SourceEvaluation`.

        Returns
        -------
        self : SourceLearningCurveDisplay
            The plot itself, with `ax_`, `figure_` and `lines_` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message names the extra that brings it.
        """
        require_extra("plot", "matplotlib", caller="SourceLearningCurveDisplay.plot")
        from matplotlib import pyplot as plt

        self.ax_ = ax or plt.subplots(layout="constrained")[1]
        self.figure_ = self.ax_.figure
        self.lines_ = []
        for name in metrics:
            found = np.array([one.metrics[name] for one in self.curve.evaluations])
            label = METRICS.get(name, name.replace("_", " "))
            (line,) = self.ax_.plot(self.curve.n_units, found[:, 0], marker="o", label=label)
            self.ax_.fill_between(
                self.curve.n_units, found[:, 1], found[:, 2], alpha=0.15, color=line.get_color()
            )
            self.lines_.append(line)
        self.ax_.set(xlabel="sources trained on", ylabel="on left-out sources")
        self.ax_.legend(loc="lower right")
        return self
