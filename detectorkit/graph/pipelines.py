"""Fitted pipelines of scikit-learn as saved detectors: one ONNX file with a record."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from detectorkit.base import ImageTransformer
from detectorkit.calibration.fit import fit_platt_slope
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.exceptions import ModelFileError
from detectorkit.features.stack import FeatureStack
from detectorkit.graph.builder import GraphBuilder, expose_tensors, revise_model
from detectorkit.graph.checks import find_parts
from detectorkit.graph.estimators import EstimatorWriter, open_estimator, scores_exactly
from detectorkit.graph.features import add_families, is_writable
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import GraphRunner
from detectorkit.graph.sessions import make_session
from detectorkit.images.preprocessing import Preprocessing, resize_image
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.images.treatment import Treatment
from detectorkit.utils.files import write_whole
from detectorkit.utils.labels import check_classes, encode_labels

if TYPE_CHECKING:
    import onnx

__all__ = ["export_pipeline", "treat_images"]

_TOLERANCE: Final = 1e-4
_N_IMAGES: Final = 16  # random ones, where no images are given
_SIDE: Final = 128  # of random images, where the pipeline takes any size
_NAME: Final = "export_pipeline"
_TIE: Final = 1e-6  # a probability within this of the threshold equals it
_CURE: Final = "Nothing was written. Use another estimator, or save it in scikit-learn's own way."


def export_pipeline(
    pipeline: Any,
    path: str | os.PathLike[str],
    X: Any = None,
    y: Any = None,
    *,
    treatment: Treatment | None = None,
    training: dict[str, Any] | None = None,
) -> float:
    """Write a fitted pipeline of scikit-learn as a saved detector, whole or not at all.

    The file is an ONNX graph with a record, as `save` of a detector writes it:
    `detectorkit.load_detector` and the command line read it. The graph begins with pixels if every
    transformer of images can be written for one size and colour space (`HoGTransformer`,
    `LBPTransformer` with a square neighbourhood and `BlockDCTTransformer`, all with the same
    `image_size`, in grey or all in RGB, without crops and tiles). Otherwise it begins with
    features, which detectorkit computes as the record says.

    .. versionadded:: 0.1

    Parameters
    ----------
    pipeline : estimator
        Fitted binary classifier of images: a `Pipeline` that begins with transformers of
        `detectorkit.features`, or an estimator of scikit-learn around such pipelines, such as
        `CalibratedClassifierCV`, a soft `VotingClassifier` or `GridSearchCV`. The other steps are
        transformers and classifiers that skl2onnx converts, or whose graph is written here.
    path : str or Path
        File to write. An existing file is replaced.
    X : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, n_channels), or sequence, default=None
        Images on which the graph is compared with the pipeline: one array, or a sequence of arrays
        (of any sizes), of paths, of PIL images, of bytes or of file objects. Best are some dozens
        that the pipeline was not fitted on. None takes random images.
    y : array-like of shape (n_samples,), default=None
        Labels of X, for a classifier without `predict_proba`: the slope of its probabilities is
        fitted to them. X must then be images that the pipeline was not fitted on.
    treatment : Treatment, default=None
        Treatment that the training images have had. It is recorded, and X goes through it first.
        None takes images as they are.
    training : dict, default=None
        Summary of the training for the record, such as "n_samples", "generators" and "sources".

    Returns
    -------
    difference : float
        Greatest difference of a probability between graph and pipeline on X.

    Raises
    ------
    ValueError
        If a step cannot be written, the probabilities of graph and pipeline differ by more than
        1e-4, or their labels differ. The message names the step.

    See Also
    --------
    register_converters : Let skl2onnx write the transformers of detectorkit.

    Notes
    -----
    The score is the logarithm of the odds of `predict_proba`, or the decision function where there
    is no `predict_proba`; the threshold is that of `predict`. The graph computes with float32.

    Trees compare features with thresholds. In a graph from pixels, a feature may differ in its last
    bit, and where it lies within that of a threshold, one tree goes the other way.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from detectorkit import load_detector
    >>> from detectorkit.datasets import make_upsampling_images
    >>> from detectorkit.features import BlockDCTTransformer
    >>> from detectorkit.graph import export_pipeline
    >>> data = make_upsampling_images(n_samples=40, random_state=0)
    >>> pipeline = make_pipeline(BlockDCTTransformer(), LogisticRegression(max_iter=2000))
    >>> pipeline = pipeline.fit(data.data, data.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.onnx"
    ...     difference = export_pipeline(pipeline, path, data.data)
    ...     detector = load_detector(path)
    >>> difference < 1e-4
    True
    >>> bool((detector.predict(data.data) == pipeline.predict(data.data)).all())
    True
    """
    check_is_fitted(pipeline)
    classes = check_classes(_NAME, pipeline).tolist()
    has_probability = hasattr(pipeline, "predict_proba")
    if not has_probability and (X is None or y is None):
        raise ValueError(
            f"{_NAME}: {_describe(pipeline)} has no `predict_proba`. Wrap the classifier in "
            "CalibratedClassifierCV, or pass X and y: images that it was not fitted on."
        )
    writer = EstimatorWriter(GraphBuilder())
    writer.graph.add("Identity", writer.score(pipeline), name="score")
    preprocessing, features = _describe_images(list(writer.transformers.values()), treatment)
    record = ModelRecord(
        detector=_describe(pipeline),
        preprocessing=preprocessing,
        features=features,
        classes=classes,
        threshold=_find_threshold(pipeline),
        calibration=SigmoidCalibration(1.0),
        training=training or {},
    )
    model = _make_model(writer, record)
    images = check_images(_random_images(record) if X is None else X, caller=_NAME)
    try:
        scores = GraphRunner(model.SerializeToString(), _NAME).score(images)
    except ModelFileError as error:
        hint = " Random images were taken: pass some of yours as X." if X is None else ""
        raise ValueError(
            f"{_NAME}: {record.detector} cannot be run in ONNX: {error}{hint}"
        ) from error
    taken = treat_images(images, treatment)
    difference = _compare(pipeline, taken, scores, record)
    if difference > _TOLERANCE:
        step = _find_step(pipeline, writer, model, images, taken)
        raise ValueError(
            f"{_NAME}: graph and pipeline differ by {difference:.2g}, because {step} is computed "
            f"differently. {_CURE}"
        )
    if not has_probability:
        slope = fit_platt_slope(scores, encode_labels(_NAME, y, pipeline, need_both=True))
        model = revise_model(model, replace(record, calibration=SigmoidCalibration(slope)))
    write_whole(path, model.SerializeToString())
    return difference


def treat_images(images: ImageSequence, treatment: Treatment | None) -> Any:
    """Return the files that images become by a treatment, or the images themselves."""
    if treatment is None:
        return images
    whole = Preprocessing(None, "rgb")
    return [treatment.encode(images.read(i, whole)) for i in range(len(images))]  # type: ignore[arg-type] # 8 bits


def _describe(pipeline: Any) -> str:
    """Return the names of the classes of a pipeline, as the record keeps them."""
    inner = open_estimator(pipeline)
    if not isinstance(inner, Pipeline):
        return type(inner).__name__
    return f"Pipeline({', '.join(type(step).__name__ for _, step in inner.steps)})"


def _describe_images(
    transformers: list[ImageTransformer], treatment: Treatment | None
) -> tuple[Preprocessing, list[dict[str, Any]]]:
    """Return how images are prepared and described: at one size where all transformers agree."""
    stack = FeatureStack(transformers)
    features = stack.to_record()
    sizes = {None if one["image_size"] is None else tuple(one["image_size"]) for one in features}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is not None and len({one["color_space"] for one in features}) == 1:
        features = [one | {"image_size": None} for one in features]
    else:
        size = None
    return Preprocessing(size, stack.color_space, treatment=treatment), features


def _find_threshold(classifier: Any) -> float:
    """Return the score above which `predict` returns the second label."""
    while not isinstance(classifier, FixedThresholdClassifier | TunedThresholdClassifierCV):
        inner = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else None
        inner = getattr(classifier, "best_estimator_", inner)
        if inner is None:
            # Where as many trees say one as the other, scikit-learn takes the first label.
            return 0.0 if scores_exactly(classifier) else _log_odds(0.5 + _TIE)
        classifier = inner
    value: Any = getattr(classifier, "best_threshold_", getattr(classifier, "threshold", "auto"))
    by_decision = classifier.response_method == "decision_function" or not hasattr(
        classifier.estimator_, "predict_proba"
    )
    is_strange = getattr(classifier, "pos_label", None) not in {None, classifier.classes_[1]}
    if is_strange or (by_decision and hasattr(classifier.estimator_, "predict_proba")):
        raise ValueError(
            f"{_NAME}: the threshold of {type(classifier).__name__} cannot be written. Use "
            "response_method='predict_proba' and pos_label=None."
        )
    if value == "auto":
        value = 0.0 if by_decision else 0.5
    # Unlike elsewhere, a score that equals the threshold is above it.
    return float(value - _TIE * abs(value)) if by_decision else _log_odds(value - _TIE)


def _log_odds(p: float) -> float:
    p = min(max(p, _TIE), 1 - _TIE)
    return math.log(p / (1 - p))


def _make_model(writer: EstimatorWriter, record: ModelRecord) -> onnx.ModelProto:
    """Add what stands before the estimators, the features, and what follows, the probability."""
    graph, front, n_features = writer.graph, GraphBuilder(prefix="front_"), None
    if is_writable(record):
        for name, features in zip(writer.transformers, add_families(front, record), strict=True):
            front.add("Identity", features, name=name)
    else:
        n_features = 0
        for name, transformer in writer.transformers.items():
            start, n_features = n_features, n_features + transformer.n_features_out_
            front.add("Identity", front.slice("features", 1, start, n_features), name=name)
    graph.nodes[:0] = front.nodes
    graph.constants += front.constants
    graph.calibrate("score", record.calibration)
    _drop_unused(graph)
    return graph.to_model(record, n_features=n_features)


def _drop_unused(graph: GraphBuilder) -> None:
    """Drop what the outputs do not need, such as the labels that skl2onnx computes."""
    needed, kept = {"score", "probability"}, []
    for node in reversed(graph.nodes):  # in the order of computation
        if needed & set(node.output):
            kept.append(node)
            needed |= {name for part in find_parts(node, "NodeProto") for name in part.input}
    graph.nodes[:] = kept[::-1]
    graph.constants[:] = [one for one in graph.constants if one.name in needed]


def _random_images(record: ModelRecord) -> list[NDArray[np.uint8]]:
    """Make images of coarse and fine random colours."""
    random = np.random.default_rng(0)
    wanted = [record.preprocessing.image_size or (_SIDE, _SIDE)]
    wanted += [
        size for one in record.features for key, size in one.items() if "_size" in key and size
    ]
    size = int(np.max([side[0] for side in wanted])), int(np.max([side[1] for side in wanted]))
    images = []
    for index in range(_N_IMAGES):
        coarse = random.integers(0, 256, (2 + index, 2 + index, 3), np.uint8)
        noise = random.normal(0, 2 * index, (*size, 3))
        images.append(np.clip(resize_image(coarse, size) + noise, 0, 255).astype(np.uint8))
    return images


def _compare(pipeline: Any, images: Any, scores: NDArray[np.float64], record: ModelRecord) -> float:
    """Compare scores of the graph with the pipeline; return the greatest difference."""
    found, limit = scores, np.array(record.threshold)
    if hasattr(pipeline, "predict_proba"):
        found, limit = (record.calibration.predict(one) for one in (scores, limit))
        wanted = pipeline.predict_proba(images)[:, 1]
    else:
        wanted = pipeline.decision_function(images)
        found, wanted, limit = (one / (1 + np.abs(wanted)) for one in (found, wanted, limit))
    difference = float(np.max(np.abs(found - wanted)))
    labels = np.asarray(record.classes)[(scores > record.threshold).astype(int)]
    is_clear = np.abs(found - limit) > _TOLERANCE
    n_wrong = int(np.sum((labels != pipeline.predict(images)) & is_clear))
    if n_wrong and difference <= _TOLERANCE:
        raise ValueError(
            f"{_NAME}: `predict` of {_describe(pipeline)} contradicts its `predict_proba` for "
            f"{n_wrong} of {len(scores)} images, as that of SVC(probability=True) does. Wrap the "
            "classifier in CalibratedClassifierCV instead."
        )
    return difference


def _find_step(
    pipeline: Any, writer: EstimatorWriter, model: onnx.ModelProto, images: Any, taken: Any
) -> str:
    """Name the first step whose output differs between graph and pipeline."""
    pipeline = open_estimator(pipeline)
    if not isinstance(pipeline, Pipeline):
        return type(pipeline).__name__
    name, one = pipeline.steps[-1]
    last = f"the step {name!r} ({type(one).__name__})"
    steps = [(name, one) for name, one in pipeline.steps[:-1] if id(one) in writer.written]
    if not steps:
        return last
    start = model.graph.input[0].name
    if start == "features":
        rows = np.concatenate([one.transform(taken) for one in writer.transformers.values()], 1)
    else:
        preprocessing = ModelRecord.from_json(model.metadata_props[0].value).preprocessing
        rows = np.concatenate(list(images.read_stacked(preprocessing))).astype(np.float32)
    exposed = expose_tensors(model, [writer.written[id(one)] for _, one in steps])
    session = make_session(exposed.SerializeToString(), _NAME)
    wanted = taken
    for (name, one), found in zip(steps, session.run(None, {start: rows}), strict=True):
        wanted = one.transform(wanted)
        if np.max(np.abs(found - wanted)) > _TOLERANCE * max(1, np.max(np.abs(wanted))):
            return f"the step {name!r} ({type(one).__name__})"
    return last
