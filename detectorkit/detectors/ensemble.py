"""Ensembles: several detectors, whose scores are combined into one calibrated score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, rel_entr
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, check_cv
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from detectorkit.base import FitInputs, ImageInputMixin
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.detectors._recorded import RecordedDetector
from detectorkit.detectors.onnx import OnnxDetector, load_detector
from detectorkit.exceptions import ModelFileError
from detectorkit.heads.combination import COMBINATIONS, Kind, fit_combination, weigh_origins
from detectorkit.images.batches import iter_slices
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.metrics.scoring import score_images
from detectorkit.model_selection._groups import number_pictures
from detectorkit.model_selection.sources import LeaveSourcesOut
from detectorkit.model_selection.splitters import LeaveOneGeneratorOut, _OriginSplitter
from detectorkit.utils.json import dumps
from detectorkit.utils.names import as_names
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import tell
from detectorkit.utils.validation import check_choice, parameter_error

if TYPE_CHECKING:
    import onnx

    from detectorkit.graph.record import MemberRecord, ModelRecord

__all__ = ["EnsembleDetector"]

Indices = NDArray[np.intp]
Member = tuple[str, Any]
Fold = tuple[Indices, Indices]

_BATCH: Final = 8  # images that are decoded at a time
_N_FOLDS: Final = 5
_EDGE: Final = 1e-6  # probabilities that are not those of a sigmoid are kept this far from 0 and 1
_WHOLE: Final = Preprocessing(None, "rgb")


class EnsembleDetector(RecordedDetector, _BaseComposition):
    """Combine several detectors into one calibrated score.

    The weights of the detectors are fitted on the scores of images whose generators and sources
    none of them was trained on.

    Read more in the :ref:`User Guide <ensembles>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        The members and their names. A member is a detector of this library, fitted or not; the name
        of a shipped detector or the path of a saved one; or any binary classifier of scikit-learn
        that takes images, such as a pipeline. The string "drop" leaves a member out. All but saved
        and frozen ones are cloned and fitted.
    combination : {"soft", "log_odds", "stacking"}, default="log_odds"
        Rule by which the scores are combined: the mean of the probabilities; the sum of the
        log-odds with weights that are not negative; or logistic regression on the log-odds, whose
        weights may be negative.
    cv : None, "prefit", int, cross-validation generator or iterable, default=None
        Images on which the combination is fitted: those left out in these folds, by members that
        are fitted on the others. With `origin`, None leaves out each generator in turn, or of more
        than five the generators and sources in five folds; a number means that many folds. Without
        `origin`, single images are left out, in five folds or that many. "prefit" takes all members
        as they are: the images of `fit` must then be new to them.
    weights : array-like of shape (n_members,), default=None
        Fixed relative weights of the members, for "soft" and "log_odds". None means equal ones for
        "soft", and fitted ones otherwise.
    input_shape : tuple of int, default=None
        Shape of one image, (height, width) or (height, width, n_channels), where X is a 2-D array
        of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that predict. None means 1 unless in a `joblib.parallel_config` context;
        -1 means all processors. In `fit`, the members use their own `n_jobs`.
    verbose : bool, default=False
        Whether `fit` says on standard error which member it fits.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    estimators_ : list of estimators
        The fitted members.
    named_estimators_ : Bunch
        The fitted members, by name.
    combination_ : Combination
        Rule with its `weights`, one for each member, and its `intercept`.
    threshold_ : float
        Score above which `predict` returns "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration
        Map from scores to probabilities, used by `predict_proba`; fitted on left-out scores.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell", as `fit_band` sets it; None after `fit`.
    record_ : ModelRecord
        Record of the model and of its members. There is none if a member is not a detector of this
        library.
    training_summary_ : dict
        Number of images, generators and sources if `origin` was passed, weights of the members,
        and on what the combination was fitted.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    sklearn.ensemble.StackingClassifier : Stacking on folds that do not know of origins.
    sklearn.ensemble.VotingClassifier : Mean probability without held-out images.

    Notes
    -----
    A member counts by the logarithm of the odds of its calibrated probability, limited to 12 either
    way; a classifier without probabilities by its `decision_function`. "log_odds" and "stacking"
    [1]_ are logistic regressions, whose weights are drawn towards one another; so with few images,
    members count nearly alike. With `origin`, each origin counts as much as any other of its class,
    and each class as much as the other.

    The images of origins that the training summary of a saved member names are not used to fit the
    combination, as that member has seen them. With ``cv="prefit"`` this holds for all members.

    For predictions, an image is decoded once for all members, and resized once for those that take
    the same pixels. `fit` reads the images once for each member and fold.

    A member without a treatment may see the pixels of a JPEG with other rounding than alone, where
    it would have the file decoded in grey or at a smaller size.

    References
    ----------
    .. [1] Wolpert, D. H. (1992). Stacked generalization. Neural Networks.
       :doi:`10.1016/S0893-6080(05)80023-1`

    Examples
    --------
    >>> from detectorkit import EnsembleDetector, ForensicDetector, HoGSVMDetector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> members = [
    ...     ("hog", HoGSVMDetector(random_state=0)),
    ...     ("forensic", ForensicDetector(["residual"], random_state=0)),
    ... ]
    >>> ensemble = EnsembleDetector(members).fit(data.data, data.target)
    >>> ensemble.member_scores(data.data[:3]).shape
    (3, 2)
    """

    class_weight = None  # the members have their own
    image_size = None
    color_space = "rgb"

    def __init__(
        self,
        estimators: list[Member],
        *,
        combination: Kind = "log_odds",
        cv: Literal["prefit"] | int | BaseCrossValidator | Iterable[Any] | None = None,
        weights: Sequence[float] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.combination = combination
        self.cv = cv
        self.weights = weights
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as everywhere
        """Return the parameters, also those of the members.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members by name, and their parameters as ``name__parameter``.

        Returns
        -------
        parameters : dict
            Values by name.
        """
        found: dict[str, Any] = self._get_params("estimators", deep=deep)
        return found

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters, also those of the members.

        Parameters
        ----------
        **parameters : object
            Values by name: ``name=estimator`` replaces a member, and ``name__parameter=value`` sets
            a parameter of it.

        Returns
        -------
        self : object
            The ensemble itself.
        """
        self._set_params("estimators", **parameters)
        return self

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, origin: Any = None
    ) -> Self:
        """Fit the members, the combination of their scores and the probabilities.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images, also for the members. None weighs all images equally.
        groups : array-like of shape (n_samples,), default=None
            Group of each image. Images of one group are left out together. They are passed to the
            members that take groups.
        origin : array-like of shape (n_samples,), default=None
            Generator of each generated image and source of each photograph. They are passed to the
            members that take them. None fits the combination on other images of the origins that
            the members were trained on, which are easier than those of new origins: members that
            overfit to their origins then get too much weight, and probabilities are too sure.

        Returns
        -------
        self : object
            The ensemble itself, fitted to X and y.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ValueError
            If a parameter is wrong, X is not a set of images, y does not have two classes, or a
            fold would train a member on an origin that it tests.
        """
        kind: Kind = check_choice(self, "combination", COMBINATIONS)
        members = self._check_members()
        if self.weights is not None and (kind == "stacking" or len(self.weights) != len(members)):
            raise parameter_error(
                self, "weights", f"None for 'stacking', or {len(members)} numbers, one a member"
            )
        training = self._check_training(X, y, sample_weight, groups, origin)

        names = training.origin
        is_fixed = [self._is_fixed(member) for _, member in members]
        everyone = np.arange(len(training.y))
        # Members that are all fixed need no folds: the images are new to them.
        folds = [] if all(is_fixed) else self._folds(training)
        rows = np.concatenate([test for _, test in folds]) if folds else everyone
        columns = []
        for (name, member), fixed in zip(members, is_fixed, strict=True):
            if fixed:
                columns.append(_log_odds(member, _form(member, training.images))[rows])
                continue
            parts = [np.empty(0)]
            for number, (train, test) in enumerate(folds, 1):
                self._tell(f"Fold {number} of {len(folds)}: {name}")
                fitted = self._fit_member(name, member, training, train)
                parts.append(_log_odds(fitted, _form(fitted, training.images.take(test))))
            columns.append(np.concatenate(parts))
        log_odds = np.column_stack(columns)

        unseen = self._find_unseen(members, is_fixed, names, training.y)[rows]
        rows, log_odds = rows[unseen], log_odds[unseen]
        weight = np.ones(len(rows))
        if names is not None:
            weight = weigh_origins(training.y[rows], names[rows])
        if training.weight is not None:
            weight = weight * training.weight[rows]
        self.combination_ = fit_combination(
            log_odds, training.y[rows], weight, kind, weights=self.weights
        )
        self.estimators_ = [
            member if fixed else self._fit_member(name, member, training, everyone)
            for (name, member), fixed in zip(members, is_fixed, strict=True)
        ]
        self.named_estimators_ = Bunch(
            **{name: one for (name, _), one in zip(members, self.estimators_, strict=True)}
        )
        whole_weight = np.zeros(len(everyone))
        whole_weight[rows] = weight
        self._finish_fit(
            training._replace(weight=whole_weight),
            rows,
            self.combination_.score(log_odds),
            combination=kind,
            weights=dict(zip(self.named_estimators_, self.combination_.weights, strict=True)),
            combined_on=_describe(folds, names),
            n_folds=len(folds),
            n_combined=len(np.unique(rows)),
        )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Compute the combined scores of the images, which are logarithms of odds.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Scores of the images. Higher means "generated"; `predict` compares them with
            `threshold_`.

        Raises
        ------
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        """
        log_odds = self._member_log_odds(X)  # first, so that an unfitted ensemble says that it is
        return self.combination_.score(log_odds)

    def member_scores(self, X: Any) -> NDArray[np.float64]:
        """Compute the probability of "generated" by each member alone.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_members)
            Calibrated probabilities, in the order of `estimators_`.
        """
        probabilities: NDArray[np.float64] = expit(self._member_log_odds(X))
        return probabilities

    def conflict(self, X: Any) -> NDArray[np.float64]:
        """Compute how much the members contradict each other.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.

        Returns
        -------
        conflict : ndarray of shape (n_samples,)
            Numbers from 0, where all probabilities are equal, to 1, where half of the members are
            sure that the image is generated and half that it is real.

        Notes
        -----
        This is the Jensen-Shannon divergence of the members' probabilities, in bits: the entropy of
        their mean less the mean of their entropies (:doi:`10.1109/18.61115`). Members that merely
        do not know are not in conflict; it takes members that are sure of opposite verdicts. The
        weights of the members do not count. The spread of the log-odds would be large, too, where
        all are sure of the same verdict.
        """
        log_odds = self._member_log_odds(X)
        # For both verdicts, so that probabilities near 1 are as exact as those near 0.
        terms = [expit(log_odds), expit(-log_odds)]
        bits = sum(rel_entr(p, p.mean(axis=1, keepdims=True)).mean(axis=1) for p in terms)
        conflict: NDArray[np.float64] = np.clip(bits / np.log(2), 0, 1)
        return conflict

    def to_onnx(self) -> onnx.ModelProto:
        """Convert the fitted ensemble to one ONNX model with all members.

        Returns
        -------
        model : onnx.ModelProto
            Model with the outputs "score", "probability", and ``probability/<name>`` for each
            member. Its input is "pixels" if all members begin with the same pixels, or "features"
            if all begin with the same features. Otherwise there is one input for each preparation,
            "pixels_1", "features_2" and so on, as the members in the record say.

        Raises
        ------
        ModelFileError
            If a member is not a graph.
        """
        from detectorkit.graph.ensemble import ensemble_graph

        check_is_fitted(self)
        try:
            record = self.record_
        except AttributeError as error:
            raise ModelFileError(str(error)) from error
        models = [member.to_onnx() for member in self.estimators_]
        return ensemble_graph(models, self.combination_, record)

    def _check_members(self) -> list[Member]:
        """Check the estimators, and load those that are named."""
        pairs = self.estimators
        if not isinstance(pairs, list | tuple) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
        ):
            raise parameter_error(self, "estimators", "a list of (name, estimator) tuples")
        kept = [(name, member) for name, member in pairs if not _is_word(member, "drop")]
        if not kept:
            raise parameter_error(self, "estimators", "a list with at least one member")
        self._validate_names([name for name, _ in kept])
        return [(name, self._load(name, member)) for name, member in kept]

    def _load(self, name: str, member: Any) -> Any:
        """Return a member that can be cloned and fitted, or that is ready."""
        if isinstance(member, str):
            return load_detector(member)
        if not is_classifier(member):
            raise ValueError(
                f"{type(self).__name__}: the member {name!r} is {member!r}. Pass a detector, "
                "another binary classifier of images, or the name or path of a saved detector."
            )
        if isinstance(member, OnnxDetector) and not hasattr(member, "classes_"):
            member = clone(member)
            member._load()  # noqa: SLF001 - what its `fit` does
        if self._is_fixed(member):
            check_is_fitted(member)
        return member

    def _is_fixed(self, member: Any) -> bool:
        """Return whether a member is taken as it is."""
        return _is_word(self.cv, "prefit") or isinstance(member, OnnxDetector | FrozenEstimator)

    def _folds(self, training: FitInputs) -> list[Fold]:
        """Split the images so that members are tested on origins that they were not trained on."""
        origin = training.origin
        cv, y, n = self._splitter(training), training.y, len(training.y)
        picture = np.arange(n) if training.groups is None else number_pictures(training.groups)
        if isinstance(cv, _OriginSplitter | LeaveSourcesOut) and origin is not None:
            groups: Any = np.column_stack([origin, as_names(picture)])
        elif origin is None and training.groups is None and cv is self.cv:
            groups = None  # splitters without groups would warn
        else:
            groups = picture if origin is None else origin
        cut = check_cv(cv, y, classifier=True).split(np.zeros(n), y, groups)
        folds = [(np.asarray(train), np.asarray(test)) for train, test in cut]
        for number, (train, test) in enumerate(folds, 1):
            both = np.intersect1d(origin[train], origin[test]) if origin is not None else train[:0]
            if len(both):
                raise ValueError(
                    f"{type(self).__name__}: cv={self.cv!r} trains and tests on {both.tolist()} in "
                    f"fold {number}. Pass a splitter that leaves whole origins out, such as "
                    "LeaveOneGeneratorOut, or origin=None."
                )
        return folds

    def _splitter(self, training: FitInputs) -> Any:
        """Return the splitter that `cv` means."""
        if self.cv is not None and not isinstance(self.cv, int | np.integer):
            if isinstance(self.cv, str):
                raise parameter_error(
                    self, "cv", "None, 'prefit', a number of folds, a splitter or splits"
                )
            return self.cv
        y, n_folds = training.y, _N_FOLDS if self.cv is None else int(self.cv)
        if training.origin is not None:
            if self.cv is None and len(np.unique(training.origin[y == 1])) <= n_folds:
                return LeaveOneGeneratorOut()
            return LeaveSourcesOut(n_folds, random_state=0)
        groups = np.arange(len(y)) if training.groups is None else training.groups
        fewest = min(len(np.unique(groups[y == code])) for code in (0, 1))
        if fewest < 2:
            raise ValueError(
                f"{type(self).__name__}: there is only one image or group of one class. Two are "
                "needed, one to train on and one to combine the members on."
            )
        return StratifiedGroupKFold(min(n_folds, fewest) if self.cv is None else n_folds)

    def _fit_member(
        self,
        name: str,
        member: Any,
        training: FitInputs,
        index: Indices,
    ) -> Any:
        """Fit a clone of a member on some of the images."""
        known = {
            "groups": training.groups,
            "origin": training.origin,
            "sample_weight": training.weight,
        }
        taken = {
            key: value[index]
            for key, value in known.items()
            if value is not None and has_fit_parameter(member, key)
        }
        if training.weight is not None and "sample_weight" not in taken:
            raise ValueError(
                f"{type(self).__name__}: the member {name!r} does not take sample_weight. Leave "
                "the member or the weights out."
            )
        images = _form(member, training.images.take(index))
        return clone(member).fit(images, training.y[index], **taken)

    def _find_unseen(
        self,
        members: list[Member],
        is_fixed: list[bool],
        origin: NDArray[Any] | None,
        y: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Find the images of origins that no saved member says to have been trained on."""
        unseen = np.ones(len(y), bool)
        for (name, member), fixed in zip(members, is_fixed, strict=True):
            summary = getattr(member, "training_summary_", None) or {}
            if origin is None or not fixed:
                continue
            known = [*(summary.get("generators") or ()), *(summary.get("sources") or ())]
            unseen &= ~np.isin(origin, known)
            if len(np.unique(y[unseen])) < 2:
                seen = np.unique(origin[np.isin(origin, known)]).tolist()
                raise ValueError(
                    f"{type(self).__name__}: the member {name!r} was trained on {seen}, and of one "
                    "class no images of other origins are left. Pass images of origins that are "
                    "new to it."
                )
        return unseen

    def _member_log_odds(self, X: Any) -> NDArray[np.float64]:
        """Compute the log-odds of all members, from images that are decoded once."""
        check_is_fitted(self)
        images = self._validate_images(X, reset=False)
        records = [getattr(member, "record_", None) for member in self.estimators_]
        wanted = [None if record is None else record.preprocessing for record in records]
        score = partial(_score_batch, self.estimators_, wanted)
        batches = (images[part] for part in iter_slices(len(images), _BATCH))
        return np.concatenate(list(map_in_order(score, batches, n_jobs=self.n_jobs)))

    def _describe_itself(self) -> dict[str, Any]:
        members = self._member_records()
        starts = {member.input: member.record for member in members}
        common = {"preprocessing": _WHOLE, "features": []}
        if starts.keys() <= {"pixels", "features"}:
            ((start, record),) = starts.items()
            features = record.features if start == "features" else []
            common = {"preprocessing": record.preprocessing, "features": features}
        runs_alone = any(member.record.run_size is not None for member in members)
        return common | {
            "detector": type(self).__name__,
            "members": members,
            "run_size": 1 if runs_alone else None,
        }

    def _member_records(self) -> list[MemberRecord]:
        """Return the records of the members, and the inputs of the graph that they begin with."""
        from detectorkit.graph.record import MemberRecord

        names = list(self.named_estimators_)
        found = [self._record_of(*pair) for pair in zip(names, self.estimators_, strict=True)]
        keys = [
            (start, record.preprocessing, start == "features" and dumps(record.features))
            for start, record in found
        ]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
        is_one = len(numbers) == 1 and found[0][1].preprocessing.n_crops is None
        return [
            MemberRecord(name, start if is_one else f"{start}_{numbers[key]}", record)
            for name, key, (start, record) in zip(names, keys, found, strict=True)
        ]

    def _record_of(self, name: str, member: Any) -> tuple[str, ModelRecord]:
        """Return where the graph of a member begins, and its record without a backbone."""
        record: ModelRecord | None = getattr(member, "record_", None)
        what = f"{type(self).__name__}: the member {name!r}, a {type(member).__name__},"
        if record is None:
            raise AttributeError(
                f"{what} is not a graph with a record. Write it to a file with "
                "`detectorkit.graph.export_pipeline`, and pass the path of the file as the member."
            )
        if record.members:
            raise AttributeError(f"{what} is an ensemble itself. Pass its members instead.")
        return member._graph_input, replace(record, backbone=None)  # noqa: SLF001 - a member

    def _tell(self, text: str) -> None:
        if self.verbose:
            tell(text)


def _describe(folds: list[Fold], origin: NDArray[Any] | None) -> str:
    """Describe on what the combination was fitted."""
    if not folds:
        return "images that are new to all members"
    if origin is None:
        return "left-out images of the same generators and sources"
    return "left-out generators and sources"


def _is_word(value: Any, word: str) -> bool:
    return isinstance(value, str) and value == word


def _form(member: Any, images: ImageSequence) -> Any:
    """Return images in the form that a member takes; those of elsewhere take arrays or paths."""
    return images if isinstance(member, ImageInputMixin) else images.items


def _score_batch(
    members: Sequence[Any], wanted: Sequence[Preprocessing | None], images: ImageSequence
) -> NDArray[np.float64]:
    """Compute the log-odds of all members for a few images."""
    is_decoded = isinstance(images.items[0], np.ndarray)
    is_shared = len(set(wanted)) > 1 or wanted[0] is None
    whole = images.prepare(_WHOLE) if is_shared and not is_decoded else images
    ready = {one: whole if one is None else whole.prepare(one) for one in dict.fromkeys(wanted)}
    columns = [
        _log_odds(member, _form(member, ready[one]))
        for member, one in zip(members, wanted, strict=True)
    ]
    return np.column_stack(columns)


def _log_odds(member: Any, X: Any) -> NDArray[np.float64]:
    """Compute the log-odds of a fitted classifier, by its own calibration."""
    scores, probabilities = score_images(member, X)
    calibration = getattr(member, "calibration_", None)
    if isinstance(calibration, SigmoidCalibration):
        return calibration.slope * (scores - calibration.offset)
    if probabilities is None:
        return scores
    log_odds: NDArray[np.float64] = logit(probabilities.clip(_EDGE, 1 - _EDGE))
    return log_odds
