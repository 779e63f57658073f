"""Pipelines of scikit-learn as graphs, against their own `predict_proba`, on image files."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from onnx import load_model
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from detectorkit import load_detector
from detectorkit.features import (
    BlockDCTTransformer,
    HoGTransformer,
    LBPTransformer,
    RadialSpectrumTransformer,
    ResidualTransformer,
    SmoothnessTransformer,
)
from detectorkit.graph import export_pipeline, register_converters
from detectorkit.images import Treatment

SIZE = (48, 56)
LR = LogisticRegression(max_iter=1000)
FOREST = RandomForestClassifier(20, random_state=0)
MLP = MLPClassifier((8,), solver="lbfgs", max_iter=500, random_state=0)
CLASSIFIERS = [
    LR,
    CalibratedClassifierCV(SVC(), ensemble=False),
    CalibratedClassifierCV(SVC(kernel="poly"), cv=2),
    FOREST,
    ExtraTreesClassifier(20, random_state=0),
    GradientBoostingClassifier(n_estimators=20, random_state=0),
    HistGradientBoostingClassifier(max_iter=20, random_state=0),
    AdaBoostClassifier(n_estimators=10, random_state=0),
    BaggingClassifier(n_estimators=5, random_state=0),
    DecisionTreeClassifier(max_depth=4, random_state=0),
    MLP,
    KNeighborsClassifier(),
    KNeighborsClassifier(weights="distance"),
    KNeighborsClassifier(metric="manhattan"),
    GaussianNB(var_smoothing=1e-2),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    SGDClassifier(loss="modified_huber", random_state=0),
    VotingClassifier([("a", LR), ("b", FOREST)], voting="soft", weights=[1, 3]),
    StackingClassifier([("a", LR), ("b", FOREST)], cv=2),
    CalibratedClassifierCV(LinearSVC(), method="sigmoid", cv=2),
    CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()), method="isotonic", cv=2),
    CalibratedClassifierCV(FOREST, method="isotonic", cv=2),
    CalibratedClassifierCV(LR, method="temperature", cv=2),
    CalibratedClassifierCV(FOREST, method="temperature", cv=2),
    FrozenEstimator(LR),
    GridSearchCV(LR, {"C": [0.1, 1]}, cv=2),
    FixedThresholdClassifier(LR),
    FixedThresholdClassifier(LR, threshold=0.8),
    FixedThresholdClassifier(LR, threshold=0.5, response_method="predict_proba"),
    FixedThresholdClassifier(LinearSVC(), threshold=0.5),
    TunedThresholdClassifierCV(LR, cv=2),
]


def name_of(classifier):
    return "".join(repr(classifier).split())


@pytest.fixture(scope="module")
def files(folder, upsampled):
    """Paths and labels: those to fit on, and others."""
    paths = sorted(map(str, folder.rglob("*.png")), key=lambda path: path[-7:])
    y = upsampled.target
    return paths[:60], y[:60], paths[60:74], y[60:74]


def front(size):
    return [LBPTransformer(grid=(2, 2), image_size=size), StandardScaler()]


@pytest.fixture(scope="module")
def described(files):
    """Fitted transformers and the features of both sets of files, by the size of the images."""
    found = {}
    for size in (SIZE, None):
        first = make_pipeline(*front(size))
        found[size] = first, first.fit_transform(files[0]), first.transform(files[2])
    return found


def fit(described, size, classifier, files):
    """Fit a classifier behind transformers that were fitted before."""
    first, rows, _ = described[size]
    classifier = clone(classifier)
    frozen = isinstance(classifier, FrozenEstimator)
    (classifier.estimator if frozen else classifier).fit(rows, files[1])
    return Pipeline([*first.steps, ("classifier", classifier)])


CASES = [(one, SIZE) for one in CLASSIFIERS] + [(one, None) for one in CLASSIFIERS[:6]]


@pytest.mark.parametrize(("classifier", "size"), CASES, ids=name_of)
def test_the_saved_detector_predicts_as_the_pipeline(
    tmp_path, files, described, classifier, size, record_property
):
    pipeline = fit(described, size, classifier, files)
    _, _, X, y = files
    path = tmp_path / "model.onnx"
    record_property("difference", export_pipeline(pipeline, path, X, y))
    detector, last, rows = load_detector(path), pipeline[-1], described[size][2]
    assert_array_equal(detector.predict(X), last.predict(rows))
    if hasattr(last, "predict_proba"):
        found = detector.predict_proba(X)
        assert_allclose(found, last.predict_proba(rows), rtol=0, atol=1e-4)
    else:
        wanted = last.decision_function(rows)
        assert_allclose(detector.decision_function(X), wanted, rtol=1e-4, atol=1e-4)
    start = load_model(path).graph.input[0].name
    assert start == ("features" if size is None else "pixels")


def test_the_graph_alone_goes_from_pixels_to_the_probability(tmp_path, upsampled):
    X, y = upsampled.data[:60, :64, :64], upsampled.target[:60]
    hog = HoGTransformer(image_size=(64, 64), color_space="rgb")
    pipeline = make_pipeline(hog, PCA(10, random_state=0), FOREST).fit(X, y)
    export_pipeline(pipeline, tmp_path / "model.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (p,) = session.run(["probability"], {"pixels": X})
    assert_allclose(p, pipeline.predict_proba(X)[:, 1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [SIZE, None])
def test_unions_scalers_and_selections(tmp_path, files, size):
    union = FeatureUnion(
        [
            ("hog", make_pipeline(HoGTransformer(image_size=SIZE), PCA(8, random_state=0))),
            ("lbp", LBPTransformer(image_size=size)),
            ("again", LBPTransformer(image_size=size)),
            ("dct", make_pipeline(BlockDCTTransformer(image_size=size), MinMaxScaler())),
            ("none", "drop"),
        ],
        transformer_weights={"hog": 3.0, "again": 0.5},
    )
    rest = [VarianceThreshold(), SelectKBest(k=50), "passthrough", RobustScaler(), clone(LR)]
    steps = [(str(index), step) for index, step in enumerate([union, *rest])]
    pipeline = Pipeline(steps).fit(*files[:2])
    assert export_pipeline(pipeline, tmp_path / "model.onnx", files[2]) < 1e-5
    model = load_model(tmp_path / "model.onnx")
    assert model.graph.input[0].name == ("features" if size is None else "pixels")
    names = [one["name"] for one in load_detector(tmp_path / "model.onnx").record_.features]
    assert names == ["hog", "lbp", "block_dct"]  # what is there twice is computed once


def test_families_that_have_no_graph_are_computed_from_the_record(tmp_path, files):
    families = [
        ResidualTransformer(),
        RadialSpectrumTransformer(),
        SmoothnessTransformer(),
        LBPTransformer(color_space="ycbcr", image_size=SIZE),
    ]
    union = FeatureUnion([(type(one).__name__, one) for one in families])
    pipeline = make_pipeline(union, StandardScaler(), clone(LR)).fit(*files[:2])
    assert export_pipeline(pipeline, tmp_path / "model.onnx", files[2]) < 1e-5
    found = load_detector(tmp_path / "model.onnx").predict_proba(files[2])
    assert_allclose(found, pipeline.predict_proba(files[2]), rtol=0, atol=1e-5)


def test_classifiers_of_images_share_their_features(tmp_path, files):
    hog = make_pipeline(HoGTransformer(image_size=SIZE), StandardScaler(), clone(LR))
    both = VotingClassifier([("hog", hog), ("again", clone(hog))], voting="soft")
    classifier = CalibratedClassifierCV(both, cv=2).fit(*files[:2])
    export_pipeline(classifier, tmp_path / "model.onnx", files[2])
    operators = [node.op_type for node in load_model(tmp_path / "model.onnx").graph.node]
    assert operators.count("AveragePool") == 1  # of HoG, among two folds of two members


def test_probabilities_of_a_classifier_without_are_fitted(tmp_path, files):
    pipeline = make_pipeline(LBPTransformer(), StandardScaler(), LinearSVC()).fit(*files[:2])
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"no `predict_proba`.*CalibratedClassifierCV"):
        export_pipeline(pipeline, path, files[2])
    export_pipeline(pipeline, path, files[2], files[3])
    detector = load_detector(path)
    p = detector.predict_proba(files[2])[:, 1]
    assert detector.calibration_.slope != 1
    assert_array_equal(p > 0.5, pipeline.predict(files[2]) == 1)


def test_the_treatment_is_applied_and_recorded(tmp_path, files):
    from detectorkit.graph.pipelines import treat_images
    from detectorkit.images import check_images

    treatment = Treatment(side=40, quality=50)
    treated = treat_images(check_images(files[0]), treatment)
    pipeline = make_pipeline(HoGTransformer(), LR).fit(treated, files[1])  # 40 x 40 pixels
    export_pipeline(pipeline, tmp_path / "model.onnx", treatment=treatment)
    detector = load_detector(tmp_path / "model.onnx")
    assert detector.record_.preprocessing.treatment == treatment
    found = detector.predict_proba(files[0])
    assert_allclose(found, pipeline.predict_proba(treated), rtol=0, atol=1e-5)


def test_random_images_are_taken_where_none_are_given(tmp_path, files, upsampled):
    pipeline = make_pipeline(HoGTransformer(image_size=SIZE), LR).fit(*files[:2])
    assert export_pipeline(pipeline, tmp_path / "model.onnx") < 1e-5
    X = upsampled.data[:, :64, :64]
    pipeline = make_pipeline(HoGTransformer(), LR).fit(X, upsampled.target)
    with pytest.raises(ValueError, match="pass some of yours as X"):
        export_pipeline(pipeline, tmp_path / "model.onnx")
    assert export_pipeline(pipeline, tmp_path / "model.onnx", X) < 1e-5


class Shifted(StandardScaler):
    """A scaler that does more than its base, which is not known where the graph is written."""

    def transform(self, X):
        return super().transform(X) + 1


class Certain(LogisticRegression):
    """A classifier that does more than its base."""

    def decision_function(self, X):
        return 2 * super().decision_function(X)


def halve(X):
    return X / 2


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([HoGTransformer(image_size=SIZE), Shifted(), LR], r"the step 'shifted' \(Shifted\)"),
        ([LBPTransformer(), Shifted(), LR], r"the step 'shifted' \(Shifted\)"),
        ([LBPTransformer(), Certain()], r"the step 'certain' \(Certain\)"),
        (
            [LBPTransformer(), LBPTransformer(input_shape=(1, -1), image_size=(32, 32)), LR],
            "LBPTransformer must be the first step",
        ),
        ([LBPTransformer(), FunctionTransformer(halve), LR], "FunctionTransformer cannot be writ"),
        ([LBPTransformer(), GaussianProcessClassifier()], "GaussianProcessClassifier.* cannot"),
        (
            [LBPTransformer(), HistGradientBoostingClassifier(categorical_features=[0])],
            "HistGradientBoostingClassifier with categories cannot",
        ),
        (
            [LBPTransformer(), FixedThresholdClassifier(LR, threshold=0.1, pos_label=0)],
            "the threshold of FixedThresholdClassifier",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(tmp_path, files, steps, message):
    pipeline = make_pipeline(*map(clone, steps)).fit(*files[:2])
    with pytest.raises(ValueError, match=f"^export_pipeline: .*{message}"):
        export_pipeline(pipeline, tmp_path / "model.onnx", files[2])
    assert not list(tmp_path.iterdir())


def test_a_classifier_of_images_is_named_as_a_whole(tmp_path, files):
    inner = make_pipeline(LBPTransformer(), Shifted(), clone(LR))
    voting = VotingClassifier([("a", inner)], voting="soft").fit(*files[:2])
    of_step = r"the step 'votingclassifier' \(VotingClassifier\)"
    for whole, name in ((voting, "VotingClassifier"), (make_pipeline(voting), of_step)):
        with pytest.raises(ValueError, match=f"because {name} is computed differently"):
            export_pipeline(whole, tmp_path / "model.onnx", files[2])


def test_labels_that_contradict_the_probabilities_are_refused(tmp_path, files):
    class Contrary(LogisticRegression):
        def predict(self, X):
            return 1 - super().predict(X)

    pipeline = make_pipeline(LBPTransformer(), Contrary()).fit(*files[:2])
    with pytest.raises(ValueError, match=r"`predict` of .* contradicts its `predict_proba`"):
        export_pipeline(pipeline, tmp_path / "model.onnx", files[2])


def test_rows_and_words_are_refused(tmp_path, files, upsampled):
    rows = upsampled.data.reshape(len(upsampled.data), -1)[:, :50]
    with pytest.raises(ValueError, match="GaussianNB takes the images themselves"):
        export_pipeline(GaussianNB().fit(rows, upsampled.target), tmp_path / "model.onnx")
    words = np.where(files[1] == 1, "ai", "human")
    with pytest.raises(ValueError, match="nothing says which means generated"):
        export_pipeline(make_pipeline(LBPTransformer(), LR).fit(files[0], words), tmp_path / "m")


@given(
    orientations=st.integers(2, 12),
    cell=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    norm=st.sampled_from(["L1", "L1-sqrt", "L2", "L2-Hys"]),
    color_space=st.sampled_from(["gray", "rgb"]),
    radius=st.integers(1, 3),
    n_components=st.integers(1, 20),
)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_parameters_of_any_kind(
    upsampled, tmp_path_factory, orientations, cell, norm, color_space, radius, n_components
):
    X, y = upsampled.data[:40], np.arange(40) % 2
    common = {"image_size": SIZE, "color_space": color_space}
    hog = HoGTransformer(orientations=orientations, pixels_per_cell=cell, block_norm=norm, **common)
    union = FeatureUnion([("hog", hog), ("lbp", LBPTransformer(radius=radius, **common))])
    pipeline = make_pipeline(union, PCA(n_components, random_state=0), LR).fit(X, y)
    path = tmp_path_factory.mktemp("any") / "model.onnx"
    assert export_pipeline(pipeline, path, upsampled.data[100:]) <= 1e-4


@pytest.mark.parametrize("color_space", ["gray", "rgb"])
def test_skl2onnx_writes_our_transformers(upsampled, color_space):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import UInt8TensorType

    register_converters()
    y = upsampled.target[:40]
    X = upsampled.data[:40, :48, :48] if color_space == "rgb" else upsampled.data[:40, :48, :48, 1]
    kinds = (HoGTransformer, LBPTransformer, BlockDCTTransformer)
    union = FeatureUnion([(one.__name__, one(color_space=color_space)) for one in kinds])
    pipeline = make_pipeline(union, StandardScaler(), clone(LR)).fit(X, y)
    start = [("pixels", UInt8TensorType([None, *X.shape[1:]]))]
    model = to_onnx(pipeline, initial_types=start, options={"zipmap": False}, target_opset=17)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    _, found = session.run(None, {"pixels": X})
    assert_allclose(found, pipeline.predict_proba(X), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (LBPTransformer(image_size=(32, 32)), r"pixels of \(128, 128\) do not have image_size"),
        (LBPTransformer(color_space="gray"), "cannot be written in ONNX for pixels of shape"),
        (ResidualTransformer(color_space="rgb"), "cannot be written in ONNX for pixels of shape"),
    ],
)
def test_skl2onnx_refuses_what_has_no_graph(upsampled, transformer, message):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import UInt8TensorType

    register_converters()
    start = [("pixels", UInt8TensorType([None, 128, 128, 3]))]
    with pytest.raises(ValueError, match=message):
        to_onnx(transformer.fit(upsampled.data[:1]), initial_types=start)


def test_the_graph_package_is_imported_without_onnx():
    code = "import sys, detectorkit.graph; print({'onnx', 'skl2onnx', 'sklearn'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
