"""Every estimator through scikit-learn's common checks and through our own.

A new estimator joins the two lists.
"""

import importlib.util

import numpy as np
import onnx
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import (
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils.estimator_checks import (
    check_classifiers_predictions,
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)

from detectorkit import (
    BackboneDetector,
    CNNDetector,
    DeiTDetector,
    EnsembleDetector,
    ForensicDetector,
    HoGSVMDetector,
    OnnxDetector,
    ResNetDetector,
)
from detectorkit.backbones import write_backbone
from detectorkit.backbones.exporting import export_checkpoint
from detectorkit.features import (
    BlockDCTTransformer,
    HoGTransformer,
    LBPTransformer,
    RadialSpectrumTransformer,
    ResidualTransformer,
    SmoothnessTransformer,
)
from detectorkit.fingerprint import FingerprintEstimator
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.runner import GraphRunner
from detectorkit.utils.estimator_checks import (
    _data,
    _image_checks,
    check_image_estimator,
    check_n_jobs,
    parametrize_with_image_checks,
)

NATIVE = [
    BlockDCTTransformer,
    LBPTransformer,
    RadialSpectrumTransformer,
    ResidualTransformer,
    SmoothnessTransformer,
]
ROW = {"input_shape": (1, -1), "image_size": (32, 32)}  # as a picture that all features can see
ONE_PIXEL = {"input_shape": (1, -1), "pixels_per_cell": (1, 1), "cells_per_block": (1, 1)}


def saved_model(detector):
    return detector.fit(_data().images, _data().y).to_onnx().SerializeToString()


def install_backbone(name):
    """Make a network of means over the corners of a small image known by a name."""
    graph = onnx.parser.parse_graph("""
        backbone (float[n, 3, 8, 8] images) => (float[n, 12] features) {
            means = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (images)
            features = Flatten (means)
        }""")
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    write_backbone(model, name, NetworkInput((8, 8)), licence="", source="", checksum="")
    return name


BACKBONE = {"backbone": install_backbone("corners"), "max_epochs": 3}
CNN = {"image_size": (8, 8), "n_conv": 1, "max_epochs": 1, "augmentation": None}
HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "onnxscript"))

CLOSED = {"crop_size": None, "false_alarm_rate": None}


def members():
    return [
        ("hog", HoGSVMDetector(image_size=(32, 32), random_state=0)),
        ("dct", ForensicDetector(["block_dct"], image_size=(32, 40), random_state=0)),
    ]


ON_ROWS = [
    FingerprintEstimator(**CLOSED, input_shape=(1, -1)),
    HoGTransformer(**ONE_PIXEL),
    HoGSVMDetector(**ONE_PIXEL, image_size=None, random_state=0),
    *(transformer(**ROW) for transformer in NATIVE),
    ForensicDetector(["block_dct"], **ROW, random_state=0),
    BackboneDetector(**BACKBONE, input_shape=(1, -1), random_state=0),
    EnsembleDetector(members(), cv=2, input_shape=(1, -1)),
    *([CNNDetector(**CNN, input_shape=(1, -1), random_state=0)] if HAS_TORCH else []),
]
ON_IMAGES = [
    FingerprintEstimator(crop_size=(40, 36), false_alarm_rate=None),
    FingerprintEstimator("wavelet", **CLOSED, color_space="rgb"),
    HoGTransformer(),
    HoGTransformer(image_size=(32, 40), color_space="rgb"),
    HoGSVMDetector(),
    HoGSVMDetector(image_size=None, color_space="rgb"),
    HoGSVMDetector(image_size=(40, 32), solver="stream"),
    OnnxDetector(saved_model(HoGSVMDetector(image_size=(32, 32), random_state=0))),
    *(transformer() for transformer in NATIVE),
    *(transformer(color_space="ycbcr", crop_size=(40, 42)) for transformer in NATIVE),
    *(transformer(color_space="rgb", tile_size=(20, 24)) for transformer in NATIVE),
    SmoothnessTransformer(region="skin"),
    ResidualTransformer(statistics=("npr", "peaks", "cooccurrences"), residuals=("first", "third")),
    LBPTransformer(neighborhood="circle", codes="default", root=False),
    ForensicDetector(),
    ForensicDetector(["spectrum", "smoothness"], classifier="logistic", color_space="gray"),
    ForensicDetector(["residual"], classifier="boosting", n_components=5),
    ForensicDetector([LBPTransformer()], image_size=(32, 40), color_space="gray"),
    OnnxDetector(saved_model(ForensicDetector(["residual"], random_state=0))),
    BackboneDetector(**BACKBONE),
    BackboneDetector(**BACKBONE, bottleneck=None, n_crops=4, quantize="static"),
    OnnxDetector(saved_model(BackboneDetector(**BACKBONE, random_state=0))),
    EnsembleDetector(
        [*members(), ("crops", BackboneDetector(**BACKBONE, n_crops=4, random_state=0))],
        combination="soft",
        cv=2,
    ),
    OnnxDetector(saved_model(EnsembleDetector(members(), cv=2))),
    *([CNNDetector(**CNN)] if HAS_TORCH else []),
]


def must_fail(estimator):
    if not is_classifier(estimator):
        return {}
    if isinstance(estimator, FingerprintEstimator):
        why = "fit_transform leaves each image out of its own fingerprint"
        return dict.fromkeys(
            ("check_transformer_general", "check_transformer_data_not_an_array"), why
        )
    words = {"check_classifiers_classes": "of the words 'one' and 'two', none means generated"}
    weights = "check_sample_weight_equivalence_on_dense_data"
    if isinstance(estimator, ForensicDetector | EnsembleDetector):
        why = "probabilities are fitted on folds, and repeating images draws other folds"
        return words | {weights: why}
    if isinstance(estimator, CNNDetector | BackboneDetector):
        why = "training stops by a validation part, and repeating images draws another one"
        return words | {weights: why}
    return words


pytestmark = pytest.mark.usefixtures("fast_export")


@parametrize_with_checks(ON_ROWS, expected_failed_checks=must_fail)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", list(filter(is_classifier, ON_ROWS)), ids=repr)
@pytest.mark.parametrize("labels", [[-1, 1], [False, True], [2.0, 5.0]], ids=str)
def test_what_scikit_learn_asks_of_words_holds_of_numbers(estimator, labels):
    """The check of classes that must fail for its words, with labels of other kinds."""
    X, y = make_blobs(n_samples=30, random_state=0, cluster_std=0.1, centers=2)
    check_classifiers_predictions(X, np.array(labels)[y], "detector", estimator)


@parametrize_with_image_checks(ON_IMAGES)
def test_image_checks(estimator, check):
    check(estimator)


def test_expected_failures_are_left_out():
    everything = check_image_estimator(HoGTransformer())
    fewer = check_image_estimator(HoGTransformer(), expected_failed_checks={"check_clone": "why"})
    assert set(everything) - set(fewer) == {"check_clone"}


def test_image_checks_find_a_broken_estimator():
    class Broken(HoGTransformer):
        def transform(self, X):
            return super().transform(X) + np.random.default_rng().random()

    with pytest.raises(AssertionError):
        check_image_estimator(Broken())


def test_the_check_of_n_jobs_reaches_threads_that_share_one_image(monkeypatch):
    run = GraphRunner._run

    def differ(self, batch, *, n_threads):
        return run(self, batch, n_threads=n_threads) + np.float32(n_threads > 1)

    monkeypatch.setattr(GraphRunner, "_run", differ)
    with pytest.raises(AssertionError):
        check_n_jobs(BackboneDetector(**BACKBONE))


@pytest.fixture(scope="module", params=["array", "paths"])
def images(request):
    data = _data()
    return (data.images if request.param == "array" else data.paths), data.y


def small():
    return HoGSVMDetector(C=1, image_size=(32, 32), random_state=0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: GridSearchCV(small(), {"C": [0.01, 1], "orientations": [6, 9]}, cv=2, n_jobs=2),
        lambda: CalibratedClassifierCV(small(), cv=2),
        lambda: TunedThresholdClassifierCV(small(), cv=2),
        lambda: VotingClassifier([("a", small()), ("b", small())], voting="soft"),
        lambda: StackingClassifier([("a", small()), ("b", small())], cv=2),
        lambda: make_pipeline(
            make_union(HoGTransformer(), HoGTransformer(pixels_per_cell=(16, 16))),
            LogisticRegression(),
        ),
    ],
    ids=["grid search", "calibrated", "tuned threshold", "voting", "stacking", "union"],
)
def test_meta_estimators_take_images(images, wrap):
    X, y = images
    assert wrap().fit(X, y).score(X, y) > 0.8


def test_tools_take_images(images):
    X, y = images
    assert cross_val_predict(small(), X, y, cv=3, n_jobs=2).shape == y.shape
    assert learning_curve(small(), X, y, cv=2, train_sizes=[0.5, 1.0])[1].shape == (2, 2)
    RocCurveDisplay.from_estimator(small().fit(X, y), X, y)


def test_tools_that_want_rows_take_input_shape():
    images, y, _ = _data()
    rows = images.reshape(len(images), -1)
    detector = HoGSVMDetector(C=1, input_shape=images.shape[1:], image_size=(32, 32))
    assert (
        BaggingClassifier(detector, n_estimators=4, random_state=0).fit(rows, y).score(rows, y)
        > 0.8
    )
    tiny = HoGSVMDetector(
        input_shape=(2, 4), image_size=None, pixels_per_cell=(1, 1), cells_per_block=(1, 1)
    )
    result = permutation_importance(tiny.fit(rows[:, :8], y), rows[:, :8], y, n_repeats=2)
    assert result.importances.shape == (8, 2)


def test_html_representation_links_to_our_documentation():
    html = HoGSVMDetector()._repr_html_()
    assert "detectorkit.readthedocs.io" in html
    assert "detectorkit.HoGSVMDetector.html" in html
    assert "detectorkit.features.HoGTransformer.html" in HoGTransformer()._repr_html_()


@pytest.fixture
def deit(tmp_path, monkeypatch):
    """A folder with a small transformer of random weights."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = transformers.DeiTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=8,
        patch_size=4,
    )
    transformers.DeiTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_deit_passes_all_checks(deit):
    detector = DeiTDetector(export_checkpoint(str(deit)), max_epochs=3)
    assert len(check_image_estimator(detector)) > 30
    on_rows = clone(detector).set_params(input_shape=(1, -1), random_state=0)
    check_estimator(on_rows, expected_failed_checks=must_fail(on_rows), on_skip=None)


# Of networks that take long to export, what they do not have in common with CNNDetector.
OWN_CHECKS = {
    "check_forms_agree",
    "check_sizes_may_differ",
    "check_subset_and_order",
    "check_clone",
    "check_onnx_round_trip",
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
}


@pytest.mark.parametrize("kind", ["resnet", "fine-tuned"])
def test_larger_networks_pass_their_own_checks(kind, request):
    pytest.importorskip("torch")
    settings = {"max_epochs": 1, "augmentation": None}
    if kind == "resnet":
        detector = ResNetDetector((32, 32), **settings)
    else:
        detector = BackboneDetector(request.getfixturevalue("deit"), fine_tune=True, **settings)
    others = {name: "as CNNDetector" for name, _ in _image_checks(detector)}
    for name in OWN_CHECKS:
        others.pop(name, None)
    passed = check_image_estimator(detector, expected_failed_checks=others)
    detector.set_params(input_shape=(1, -1), random_state=0)
    for estimator, check in estimator_checks_generator(detector):
        if check.func.__name__ in OWN_CHECKS:
            check(estimator)
            passed.append(check.func.__name__)
    assert set(passed) == OWN_CHECKS
