import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.detectors import hog_svm
from detectorkit.evaluation import fit_platt_slope
from detectorkit.features import HoGTransformer


def features(images):
    return HoGTransformer(image_size=(128, 128)).fit_transform(images)


@pytest.mark.parametrize("C", [0.001, 0.01, 1.0])
def test_gram_finds_the_solution_of_svc(upsampled, C):
    X, y = upsampled.data, upsampled.target
    detector = HoGSVMDetector(C=C).fit(X[:80], y[:80])
    clf = SVC(kernel="linear", C=C, tol=1e-5).fit(features(X[:80]), y[:80])
    expected = clf.decision_function(features(X))
    assert_allclose(detector.decision_function(X), expected, rtol=0, atol=1e-3)
    assert_allclose(detector.coef_, clf.coef_, atol=1e-3)


def test_weights_and_class_weights_are_those_of_svc(upsampled):
    X, y = upsampled.data, upsampled.target
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))
    detector = HoGSVMDetector(C=0.01, class_weight={0: 1, 1: 4}).fit(X, y, sample_weight=weight)
    clf = SVC(kernel="linear", C=0.01, class_weight={0: 1, 1: 4}, tol=1e-5)
    expected = clf.fit(features(X), y, weight).decision_function(features(X))
    assert_allclose(detector.decision_function(X), expected, rtol=0, atol=1e-3)


def test_images_of_weight_zero_do_not_count(upsampled):
    X, y = upsampled.data, upsampled.target
    weight = np.arange(len(y)) % 3 > 0
    with_zeros = HoGSVMDetector(random_state=0).fit(X, y, sample_weight=weight.astype(float))
    without = HoGSVMDetector(random_state=0).fit(X[weight], y[weight])
    assert_allclose(with_zeros.predict_proba(X), without.predict_proba(X), atol=1e-6)


def test_balanced_weights_shift_towards_the_rare_class(upsampled):
    X, y = upsampled.data, upsampled.target
    few = np.flatnonzero((y == 0) | (np.arange(len(y)) % 8 == 1))
    shares = [
        HoGSVMDetector(C=0.001, class_weight=weight, random_state=0)
        .fit(X[few], y[few])
        .predict(X)
        .mean()
        for weight in (None, "balanced")
    ]
    assert shares[0] < shares[1]


def test_stream_finds_the_exact_solution(upsampled):
    X, y = upsampled.data, upsampled.target
    exact = HoGSVMDetector(C=0.001, random_state=0).fit(X, y)
    streamed = HoGSVMDetector(C=0.001, solver="stream", random_state=0).fit(X, y)
    scores = streamed.decision_function(X)
    far = np.linalg.norm(streamed.coef_ - exact.coef_) / np.linalg.norm(exact.coef_)
    assert far < 1e-3
    assert_allclose(scores, exact.decision_function(X), atol=5e-3)
    assert streamed.training_summary_["solver"] == "stream"
    again = HoGSVMDetector(C=0.001, solver="stream", random_state=0).fit(X, y)
    assert_array_equal(again.decision_function(X), scores)


def test_verbose_shows_progress_and_silence_is_the_default(upsampled, capsys, monkeypatch):
    monkeypatch.setattr("detectorkit.utils.progress._PATIENCE", -1)
    HoGSVMDetector(solver="stream").fit(upsampled.data, upsampled.target)
    assert capsys.readouterr().err == ""
    HoGSVMDetector(solver="stream", verbose=True).fit(upsampled.data, upsampled.target)
    shown = capsys.readouterr().err
    assert "Computing features: 120 in" in shown
    assert "Fitting, pass 2: 108 in" in shown


def test_auto_streams_where_the_gram_matrix_is_too_large(upsampled, monkeypatch):
    monkeypatch.setattr(hog_svm, "GRAM_LIMIT", 50)
    for n, solver in ((50, "gram"), (60, "stream")):
        detector = HoGSVMDetector().fit(upsampled.data[:n], upsampled.target[:n])
        assert detector.training_summary_["solver"] == solver


def test_stream_leaves_no_files_behind(upsampled, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    HoGSVMDetector(solver="stream").fit(upsampled.data, upsampled.target)
    with pytest.raises(OSError, match="image 3"):
        HoGSVMDetector(solver="stream").fit([*_paths(upsampled, tmp_path), "no.png"], [0, 1, 0, 1])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def _paths(upsampled, tmp_path):
    import cv2

    paths = [str(tmp_path / f"{index}.png") for index in range(3)]
    for path, image in zip(paths, upsampled.data, strict=False):
        cv2.imwrite(path, image)
    return paths


def test_probabilities_are_calibrated_on_held_out_images():
    known = make_upsampling_images(n_samples=400, random_state=1)
    new = make_upsampling_images(n_samples=400, random_state=2)
    cells = {"pixels_per_cell": (3, 3), "cells_per_block": (1, 1)}
    detector = HoGSVMDetector(C=0.001, **cells, random_state=0).fit(known.data, known.target)
    probabilities = detector.predict_proba(new.data)[:, 1]
    assert np.mean((probabilities - new.target) ** 2) < 0.2  # 0.25 is "don't know"
    # The scores of the training images are better; a slope fitted on them is too sure.
    naive = fit_platt_slope(detector.decision_function(known.data), known.target)
    assert naive > 1.2 * detector.calibration_.slope


def test_pairs_need_groups_for_sensible_probabilities():
    pairs = make_upsampling_images(n_samples=400, random_state=1)
    detector = HoGSVMDetector(C=0.001, random_state=0)
    alone = detector.fit(pairs.data, pairs.target).calibration_.slope
    groups = np.arange(400) // 2
    assert detector.fit(pairs.data, pairs.target, groups=groups).calibration_.slope > alone
    with pytest.raises(ValueError, match="inconsistent"):
        detector.fit(pairs.data, pairs.target, groups=groups[:-1])


def test_a_class_of_one_group_is_not_held_out(upsampled):
    X, y = upsampled.data[:20], upsampled.target[:20]
    assert HoGSVMDetector(random_state=0).fit(X, y, groups=y).calibration_.slope > 0
    one = np.arange(20) == 3
    assert HoGSVMDetector(random_state=0).fit(X, one.astype(int)).calibration_.slope > 0


@pytest.mark.parametrize("n", [2, 6, 12])
def test_stream_takes_very_few_images(upsampled, monkeypatch, n):
    detector = HoGSVMDetector(solver="stream", random_state=0)
    detector.fit(upsampled.data[:n], upsampled.target[:n])
    assert np.isfinite(detector.predict_proba(upsampled.data)).all()


def test_labels_may_be_any_two_numbers(upsampled):
    X, y = upsampled.data, upsampled.target
    expected = HoGSVMDetector(random_state=0).fit(X, y)
    for labels in (y == 1, 2 * y - 1, y + 1.0, y.astype(object)):
        detector = HoGSVMDetector(random_state=0).fit(X, labels)
        assert detector.classes_.tolist() == np.unique(labels).tolist()
        assert_array_equal(detector.decision_function(X), expected.decision_function(X))
        assert set(detector.predict(X)) == set(labels)


def test_training_images_are_told_apart(upsampled, fitted):
    scores = fitted.decision_function(upsampled.data)
    assert roc_auc_score(upsampled.target, scores) > 0.8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orientations", 6),
        ("pixels_per_cell", (16, 16)),
        ("cells_per_block", (1, 1)),
        ("block_norm", "L1"),
        ("transform_sqrt", True),
        ("color_space", "rgb"),
        ("image_size", (64, 64)),
        ("image_size", None),
    ],
)
def test_parameters_set_after_fit_count_from_the_next_fit_on(upsampled, name, value):
    X, y = upsampled.data[:40], upsampled.target[:40]
    detector = HoGSVMDetector(random_state=0).fit(X, y)
    scores, graph = detector.decision_function(X), detector.to_onnx().SerializeToString()
    detector.set_params(**{name: value})
    assert_array_equal(detector.decision_function(X), scores)
    assert detector.to_onnx().SerializeToString() == graph
    assert_array_equal(pickle.loads(pickle.dumps(detector)).decision_function(X), scores)
    with pytest.raises(NotFittedError):
        clone(detector).decision_function(X)
    fresh = HoGSVMDetector(random_state=0, **{name: value}).fit(X, y)
    assert_array_equal(detector.fit(X, y).decision_function(X), fresh.decision_function(X))


def test_a_detector_kept_by_skops_scores_as_it_was_fitted(upsampled):
    io = pytest.importorskip("skops.io")
    X, y = upsampled.data[:40], upsampled.target[:40]
    detector = HoGSVMDetector(random_state=0).fit(X, y)
    scores = detector.decision_function(X)
    content = io.dumps(detector.set_params(block_norm="L1"))
    again = io.loads(content, trusted=io.get_untrusted_types(data=content))
    assert_array_equal(again.decision_function(X), scores)


def test_detectors_pickled_before_fitted_parameters_were_kept_still_score(upsampled):
    X, y = upsampled.data[:40], upsampled.target[:40]
    detector = HoGSVMDetector(random_state=0).fit(X, y)
    scores = detector.decision_function(X)
    del detector._fitted
    assert_array_equal(pickle.loads(pickle.dumps(detector)).decision_function(X), scores)


def test_a_failed_fit_leaves_the_detector_as_it_was(upsampled, fitted):
    import copy

    detector = copy.deepcopy(fitted)
    before = detector.decision_function(upsampled.data)
    with pytest.raises(ValueError, match="class"):
        detector.fit(upsampled.data, np.ones(len(upsampled.data), int))
    assert_array_equal(detector.decision_function(upsampled.data), before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C", 0),
        ("C", -1.0),
        ("C", "1"),
        ("solver", "dual"),
        ("image_size", 128),
        ("block_norm", None),
    ],
)
def test_wrong_parameters_are_named(upsampled, name, value):
    with pytest.raises(ValueError, match=rf"HoGSVMDetector: {name}=.* must be"):
        HoGSVMDetector(**{name: value}).fit(upsampled.data, upsampled.target)


def test_negative_and_useless_weights_are_refused(upsampled):
    X, y = upsampled.data[:10], upsampled.target[:10]
    with pytest.raises(ValueError, match="negative"):
        HoGSVMDetector().fit(X, y, sample_weight=-np.ones(10))
    with pytest.raises(ValueError, match="only one class is left"):
        HoGSVMDetector().fit(X, y, sample_weight=y.astype(float))


def test_without_image_size_all_images_must_have_one_size(upsampled):
    X = [image[:64, :64] for image in upsampled.data[:20]]
    detector = HoGSVMDetector(image_size=None).fit(X, upsampled.target[:20])
    assert detector.working_size_ == (64, 64)
    with pytest.raises(ValueError, match="Set `image_size`"):
        detector.predict([upsampled.data[0]])


@pytest.mark.parametrize("solver", ["gram", "stream"])
@pytest.mark.parametrize("n_views", [0, 1])
def test_kept_features_are_not_computed_again(upsampled, tmp_path, monkeypatch, solver, n_views):
    paths = _paths(upsampled, tmp_path)
    y = upsampled.target[: len(paths)]
    cache = {"cache_dir": tmp_path / "cache", "n_views": n_views, "random_state": 0}
    expected = HoGSVMDetector(solver=solver, n_views=n_views, random_state=0).fit(paths, y)
    first = HoGSVMDetector(solver=solver, **cache).fit(paths, y)
    assert_array_equal(first.coef_, expected.coef_)

    def refuse(*_, **__):
        raise AssertionError("everything is known")

    with monkeypatch.context() as patch:
        patch.setattr(hog_svm, "_describe", refuse)
        again = HoGSVMDetector(solver=solver, **cache).fit(paths, y)
        HoGSVMDetector(C=1, solver=solver, **cache).fit(paths[::-1], y[::-1])
        with pytest.raises(AssertionError):  # other features
            HoGSVMDetector(orientations=7, **cache).fit(paths, y)
        Path(paths[0]).write_bytes(Path(paths[1]).read_bytes() + b" ")  # another picture
        with pytest.raises(AssertionError):
            HoGSVMDetector(**cache).fit(paths, y)
    assert_array_equal(again.coef_, expected.coef_)
