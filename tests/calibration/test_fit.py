import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from detectorkit.evaluation import (
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
