import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from detectorkit import ForensicDetector, load_detector
from detectorkit.features import (
    BlockDCTTransformer,
    HoGTransformer,
    LBPTransformer,
    ResidualTransformer,
)
from detectorkit.features.stack import FeatureStack

SMALL = ["residual", "block_dct"]


@pytest.fixture(scope="module")
def forensic(upsampled):
    return ForensicDetector(random_state=0).fit(upsampled.data, upsampled.target)


def test_default_stack_tells_reconstructions_from_photographs(upsampled, forensic):
    train, test = slice(0, 80), slice(80, None)
    detector = ForensicDetector(random_state=0).fit(upsampled.data[train], upsampled.target[train])
    scores = detector.decision_function(upsampled.data[test])
    assert roc_auc_score(upsampled.target[test], scores) > 0.9
    assert list(forensic.families_) == ["hog", "lbp", "residual"]


def test_native_sizes_side_by_side(upsampled, forensic):
    images = [upsampled.data[0], upsampled.data[1][:50, :40], upsampled.data[2]]
    together = forensic.decision_function(images)
    assert_allclose(together, [forensic.decision_function([image])[0] for image in images])


def test_names_and_transformers_are_the_same(upsampled):
    X, y = upsampled.data[:40], upsampled.target[:40]
    named = ForensicDetector(SMALL, random_state=0).fit(X, y)
    made = ForensicDetector(
        [ResidualTransformer(color_space="ycbcr"), BlockDCTTransformer(color_space="ycbcr")],
        random_state=0,
    ).fit(X, y)
    assert_array_equal(named.decision_function(X), made.decision_function(X))
    twice = ForensicDetector([LBPTransformer(), LBPTransformer(radius=2)]).fit(X, y)
    assert list(twice.families_) == ["lbp", "lbp-2"]


def test_head_is_logistic_regression_on_scaled_features(upsampled):
    X, y = upsampled.data, upsampled.target
    detector = ForensicDetector(["block_dct"], C=5.0, classifier="logistic", random_state=0).fit(
        X, y
    )
    features = BlockDCTTransformer(color_space="ycbcr").fit_transform(X)
    rows = StandardScaler().fit_transform(features) / np.sqrt(features.shape[1])
    reference = LogisticRegression(C=5.0, tol=1e-8, max_iter=10_000).fit(rows, y)
    assert_allclose(detector.decision_function(X), reference.decision_function(rows), atol=5e-2)


@pytest.mark.parametrize(
    "settings",
    [
        {"classifier": "boosting"},
        {"classifier": "logistic"},
        {"classifier": "boosting", "n_components": 8},
        {"n_components": 8},
        {"class_weight": "balanced"},
        {"color_space": "gray"},
        {"color_space": "rgb", "image_size": (48, 40)},
    ],
)
def test_saved_and_loaded_gives_the_same(upsampled, tmp_path, settings):
    X, y = upsampled.data[:60], upsampled.target[:60]
    # Trees look at every feature for every split, so they are given few.
    families = ["block_dct"] if settings == {"classifier": "boosting"} else [*SMALL, "hog"]
    detector = ForensicDetector(families, random_state=0, **settings).fit(X, y)
    detector.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    images = [*X[:10], X[10][:40, :50]]
    assert_allclose(loaded.decision_function(images), detector.decision_function(images), atol=1e-4)
    assert_allclose(loaded.predict_proba(images), detector.predict_proba(images), atol=1e-4)


def test_importance_finds_the_family_that_matters(upsampled):
    X, y = upsampled.data, upsampled.target
    flat = HoGTransformer(pixels_per_cell=(64, 64), cells_per_block=(1, 1), image_size=(64, 64))
    detector = ForensicDetector([ResidualTransformer(), flat], random_state=0).fit(X, y)
    by_permutation = detector.family_importance(X, y, random_state=0)
    assert by_permutation["residual"] > 0.1 > by_permutation["hog"]
    assert by_permutation == detector.family_importance(X, y, random_state=0)
    parts = detector.family_importance(X)
    assert set(parts) == {"residual", "hog"}
    assert min(parts.values()) > 0
    trees = ForensicDetector([ResidualTransformer()], classifier="boosting").fit(X, y)
    with pytest.raises(ValueError, match="Pass y for the importance by permutation"):
        trees.family_importance(X)


def test_pairs_are_held_out_together(upsampled):
    X, y = upsampled.data, upsampled.target
    pairs = np.arange(len(y)) // 2
    detector = ForensicDetector(SMALL, random_state=0).fit(X, y, groups=pairs)
    probabilities = detector.predict_proba(X)[:, 1]
    assert roc_auc_score(y, probabilities) > 0.9


def test_weights_of_zero_leave_images_out(upsampled):
    X, y = upsampled.data[:60], upsampled.target[:60]
    weight = np.repeat([1.0, 0.0], [40, 20])
    weighted = ForensicDetector(SMALL, random_state=0).fit(X, y, sample_weight=weight)
    fewer = ForensicDetector(SMALL, random_state=0).fit(X[:40], y[:40])
    assert_allclose(weighted.decision_function(X), fewer.decision_function(X), atol=1e-4)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_a_weight_of_two_is_an_image_twice(upsampled, classifier):
    X, y = upsampled.data[:60], upsampled.target[:60]
    weight = np.repeat([2.0, 1.0], [20, 40])
    settings = {"classifier": classifier, "C": 1.0, "random_state": 0}
    weighted = ForensicDetector(SMALL, **settings).fit(X, y, sample_weight=weight)
    twice = np.concatenate([np.arange(20), np.arange(60)])
    repeated = ForensicDetector(SMALL, **settings).fit(X[twice], y[twice])
    assert_allclose(weighted.decision_function(X), repeated.decision_function(X), atol=2e-2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_set", "best"),
        ("feature_set", ["hog", "hog"]),
        ("feature_set", ["hog", LBPTransformer()]),
        ("feature_set", []),
        ("C", 0),
        ("classifier", "forest"),
        ("n_components", 0),
        ("color_space", "lab"),
        ("image_size", 64),
    ],
)
def test_wrong_parameters_are_named(upsampled, name, value):
    with pytest.raises(ValueError, match=rf"ForensicDetector: {name}=.* must be"):
        ForensicDetector(**{name: value}).fit(upsampled.data[:4], upsampled.target[:4])


def test_too_small_images_are_refused(upsampled, forensic):
    with pytest.raises(ValueError, match=r"20 x 20 pixels is too small; .* at least 32 x 32"):
        forensic.predict([upsampled.data[0][:20, :20]])


def test_hog_without_a_size_wants_images_of_one_size(upsampled):
    images = [upsampled.data[0], upsampled.data[1][:48]]
    with pytest.raises(ValueError, match="HoG features depend on the size"):
        ForensicDetector([HoGTransformer()]).fit(images, [0, 1])


def test_kept_features_are_not_computed_again(upsampled, tmp_path, monkeypatch):
    X, y = upsampled.data[:20], upsampled.target[:20]
    kept = ForensicDetector(SMALL, cache_dir=tmp_path, random_state=0)
    first = kept.fit(X, y).decision_function(X)
    assert_array_equal(
        ForensicDetector(SMALL, random_state=0).fit(X, y).decision_function(X), first
    )
    with monkeypatch.context() as patch:
        patch.setattr(FeatureStack, "describe", None)  # everything is known
        kept.set_params(C=20.0).fit(X, y)
        with pytest.raises(TypeError):
            kept.set_params(feature_set=["residual"]).fit(X, y)
