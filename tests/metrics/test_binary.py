import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn import metrics as reference

from detectorkit.evaluation import binary_metrics


@st.composite
def scored(draw):
    n = draw(st.integers(4, 60))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    y[:2] = 0, 1
    # Few distinct values, so that there are many ties.
    scores = np.array(draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n)), float)
    return y, scores


@settings(max_examples=100, deadline=None)
@given(scored(), st.sampled_from([0.0, -1.5, 2.0]))
def test_values_are_those_of_scikit_learn(data, threshold):
    y, scores = data
    called = (scores > threshold).astype(int)
    balanced = reference.balanced_accuracy_score(y, called)
    metrics = binary_metrics(y, scores, threshold=threshold, n_resamples=2)
    fpr, tpr, _ = reference.roc_curve(y, scores, drop_intermediate=False)
    expected = {
        "accuracy": reference.accuracy_score(y, called),
        "recall": reference.recall_score(y, called),
        "f1": reference.f1_score(y, called),
        "balanced_accuracy": balanced,
        "roc_auc": reference.roc_auc_score(y, scores),
        "average_precision": reference.average_precision_score(y, scores),
        "fpr_at_95_tpr": fpr[np.argmax(tpr >= 0.95)],
        "false_positive_rate": called[y == 0].mean(),
        "calibration_gap": np.max((tpr - fpr + 1) / 2)
        - reference.balanced_accuracy_score(y, called),
    }
    if called.any():
        expected["precision"] = reference.precision_score(y, called)
    else:
        assert np.isnan(metrics["precision"].value)
    for name, value in expected.items():
        assert_allclose(metrics[name].value, value, atol=1e-12, err_msg=name)


def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    held = 0
    scores = random.normal(size=200_000) + np.repeat([0, 1], 100_000)
    truth = reference.average_precision_score(np.repeat([0, 1], 100_000), scores)
    for _ in range(100):
        y = np.repeat([0, 1], 80)
        metrics = binary_metrics(y, random.normal(size=160) + y, n_resamples=200)
        interval = metrics["average_precision"]
        assert interval.low <= interval.value <= interval.high
        held += interval.low <= truth <= interval.high
    assert 87 <= held <= 100


def test_one_class_gives_nan_where_both_are_needed():
    metrics = binary_metrics([1, 1, 1], [1.0, -1.0, 2.0])
    assert metrics["recall"].value == pytest.approx(2 / 3)
    assert np.isnan(metrics["roc_auc"].value)
    assert np.isnan(metrics["false_positive_rate"].value)


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([0, 2], [0.0, 1.0], "0 for real"),
        ([0, 1], [0.0, np.nan], "must be finite"),
        ([0, 1], [0.0], "inconsistent"),
    ],
)
def test_senseless_input_is_an_error(y, scores, message):
    with pytest.raises(ValueError, match=message):
        binary_metrics(y, scores)
