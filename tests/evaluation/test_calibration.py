import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from detectorkit import load_detector
from detectorkit.evaluation import (
    IsotonicCalibration,
    SigmoidCalibration,
    calibrate,
    fit_calibration,
    fit_platt_slope,
)


def drawn(slope, offset, n=20_000):
    """Scores and labels of which a sigmoid is the truth."""
    random = np.random.default_rng(0)
    scores = random.normal(size=n) / slope + offset
    y = (random.random(n) < 1 / (1 + np.exp(-slope * (scores - offset)))).astype(int)
    return scores, y


@pytest.mark.parametrize("slope", [0.2, 1.0, 7.0])
def test_fit_slope_finds_the_slope_that_made_the_labels(slope):
    random = np.random.default_rng(0)
    scores = random.normal(size=20_000) / slope
    y = (random.random(20_000) < 1 / (1 + np.exp(-slope * scores))).astype(int)
    assert fit_platt_slope(scores, y) == pytest.approx(slope, rel=0.05)


def test_fit_slope_counts_weights_as_copies():
    scores, y = np.array([-2.0, -1, 1, 2, 0.5]), np.array([0, 1, 0, 1, 0])
    weight = np.array([3, 1, 2, 4, 1])
    copies = np.repeat(np.arange(5), weight)
    assert fit_platt_slope(scores, y, weight) == pytest.approx(
        fit_platt_slope(scores[copies], y[copies]), rel=1e-4
    )


def test_fit_slope_never_turns_the_order_around():
    assert fit_platt_slope(np.array([2.0, 1, -1, -2]), np.array([0, 0, 1, 1])) > 0
    assert fit_platt_slope(np.zeros(4), np.array([0, 0, 1, 1])) > 0


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.3, -4.0), (20.0, 3.0)])
def test_a_sigmoid_is_found_again(slope, offset):
    found = fit_calibration(*drawn(slope, offset))
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.offset == pytest.approx(offset, abs=0.1 / slope)
    assert found.threshold == found.offset


def test_the_sigmoid_is_that_of_scikit_learn(upsampled, fitted):
    """Its CalibratedClassifierCV fits the same model, with an intercept in place of an offset."""
    X, y = upsampled.data, upsampled.target
    ours = calibrate(fitted, X, y).predict_proba(X)
    theirs = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y).predict_proba(X)
    assert_allclose(ours, theirs, atol=0.02)  # it averages over folds


def test_the_isotonic_map_is_that_of_scikit_learn():
    scores, y = drawn(1.0, 0.5, n=500)
    ours = fit_calibration(scores, y, method="isotonic")
    edge = 1 / 502
    theirs = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(scores, y)
    points = np.linspace(-5, 5, 1000)
    assert_allclose(ours.predict(points), theirs.predict(points), atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.floats(-50, 50, width=16), min_size=8, max_size=60),
    method=st.sampled_from(["sigmoid", "isotonic", "shift"]),
)
def test_probabilities_never_turn_the_order_around_and_agree_with_the_threshold(scores, method):
    scores = np.array(scores)
    y = np.arange(len(scores)) % 2
    calibration = fit_calibration(scores, y, method=method, slope=1.0)
    steps = np.sort(scores)
    probabilities = calibration.predict(steps)
    assert (np.diff(probabilities) >= 0).all()
    clear = np.abs(probabilities - 0.5) > 1e-9
    assert ((probabilities > 0.5) == (steps > calibration.threshold))[clear].all()


def test_the_shift_moves_the_offset_and_keeps_the_slope():
    scores, y = drawn(2.0, 3.0)
    shifted = fit_calibration(scores, y, method="shift", slope=2.0)
    assert shifted.slope == 2.0
    assert shifted.offset == pytest.approx(3.0, abs=0.05)


def test_the_shift_does_not_depend_on_how_many_of_each_class_were_labelled():
    scores, y = drawn(2.0, 0.0)
    few_generated = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:1000]])
    one = fit_calibration(scores, y, method="shift", slope=2.0).offset
    other = fit_calibration(scores[few_generated], y[few_generated], method="shift", slope=2.0)
    assert other.offset == pytest.approx(one, abs=0.05)


def test_fifty_images_mend_a_threshold_that_is_off():
    """The published cure: good ranking, wrong threshold."""
    random = np.random.default_rng(0)
    y = np.arange(4000) % 2
    scores = random.normal(size=4000) + 4 * y - 5  # one half would be at -3
    before = np.mean((scores > 0) == y)
    shifted = fit_calibration(scores[:50], y[:50], method="shift", slope=1.5)
    after = np.mean((scores > shifted.threshold) == y)
    assert before < 0.6
    assert after > 0.95


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "shift"])
def test_a_calibrated_detector_is_saved_and_its_graph_agrees(method, upsampled, fitted, tmp_path):
    X, y = upsampled.data, upsampled.target
    calibrated = calibrate(fitted, X, y, method=method)
    assert fitted.threshold_ == 0  # the first one is left as it was
    calibrated.save(tmp_path / "a.onnx")
    loaded = load_detector(tmp_path / "a.onnx")
    assert loaded.calibration_ == calibrated.calibration_
    assert loaded.threshold_ == calibrated.threshold_
    again = calibrate(loaded, X[:40], y[:40], method="isotonic")
    again.save(tmp_path / "b.onnx")
    # The detector prepares the images as the graph wants them.
    pixels = np.concatenate(
        [
            loaded._validate_images(X, reset=False).read(i, loaded.record_.preprocessing)[None]
            for i in range(20)
        ]
    )
    for detector, name in ((calibrated, "a"), (again, "b")):
        session = onnxruntime.InferenceSession((tmp_path / f"{name}.onnx").read_bytes())
        score, probability = session.run(["score", "probability"], {"pixels": pixels})
        assert_allclose(probability, detector.predict_proba(X[:20])[:, 1], atol=1e-4)
        assert_allclose(score, fitted.decision_function(X[:20]), atol=1e-4)
    assert roc_auc_score(y, again.decision_function(X)) == pytest.approx(
        roc_auc_score(y, fitted.decision_function(X)), abs=1e-3
    )


def test_an_isotonic_map_that_never_crosses_one_half_calls_all_alike():
    never, always = ((0.0, 1.0), (0.1, 0.4)), ((0.0, 1.0), (0.6, 0.7))
    assert IsotonicCalibration(*never).threshold > 1e38
    assert IsotonicCalibration(*always).threshold < -1e38
    assert np.isfinite(IsotonicCalibration(*never).threshold)  # for JSON
    assert IsotonicCalibration((0.0, 1.0, 2.0), (0.2, 0.5, 0.8)).threshold == 1.0
    assert SigmoidCalibration(2.0, 3.0).predict(np.array([3.0])) == 0.5


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([0, 0], {}, "both 0 .real. and 1 .generated."),
        ([0, 1], {"method": "shift"}, "slope=None must be positive"),
        ([0, 1], {"method": "beta"}, "method='beta' must be"),
    ],
)
def test_what_makes_no_sense_is_an_error(y, options, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(np.array([0.0, 1.0]), y, **options)


def test_an_isotonic_detector_cannot_be_shifted(upsampled, fitted):
    isotonic = calibrate(fitted, upsampled.data, upsampled.target, method="isotonic")
    with pytest.raises(ValueError, match="keeps the slope of a sigmoid"):
        calibrate(isotonic, upsampled.data, upsampled.target, method="shift")


def test_unknown_labels_are_named(upsampled, fitted):
    with pytest.raises(ValueError, match=r"has the labels \[2\], but the detector knows"):
        calibrate(fitted, upsampled.data, upsampled.target + 1)
