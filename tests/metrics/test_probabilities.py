import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binom
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from detectorkit.evaluation import wilson_interval
from detectorkit.metrics.probabilities import (
    precision_at_prevalence,
    probability_metrics,
    reliability_table,
)


@st.composite
def predicted(draw):
    n = draw(st.integers(1, 60))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    # Few distinct values, so that there are many ties; 0 and 1 too, right and wrong.
    some = st.sampled_from([0.0, 0.1, 0.1 + 1e-17, 0.25, 1 / 3, 0.5, 0.9, 1.0])
    value = draw(st.sampled_from([some, st.floats(0, 1)]))
    return y, np.array(draw(st.lists(value, min_size=n, max_size=n)))


@settings(max_examples=150, deadline=None)
@given(predicted())
def test_scores_are_those_of_scikit_learn(data):
    y, p = data
    metrics = probability_metrics(y, p, n_resamples=2)
    assert_allclose(metrics["brier_score"].value, brier_score_loss(y, p, labels=[0, 1]), atol=1e-12)
    expected = log_loss(y, np.column_stack([1 - p, p]), labels=[0, 1])
    assert_allclose(metrics["log_loss"].value, expected, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(predicted(), st.integers(1, 12))
def test_the_table_is_the_calibration_curve_of_scikit_learn(data, n_bins):
    y, p = data
    rows = reliability_table(y, p, n_bins)
    shares, means = calibration_curve(y, p, n_bins=n_bins, strategy="quantile", pos_label=1)
    assert_allclose([row.generated.value for row in rows], shares, atol=1e-12)
    assert_allclose([row.mean_probability for row in rows], means, atol=1e-12)
    assert sum(row.n for row in rows) == len(y)
    for row in rows:
        assert row.generated[1:] == wilson_interval(round(row.generated.value * row.n), row.n)
    gaps = [row.n / len(y) * abs(row.mean_probability - row.generated.value) for row in rows]
    ece = probability_metrics(y, p, n_bins=n_bins, n_resamples=2)["ece"]
    assert ece.value == pytest.approx(sum(gaps), abs=1e-12)


def test_a_hand_made_example():
    # Two bins of four: said .1 and .6 on average, half and three quarters were generated.
    p = [0.1, 0.1, 0.1, 0.1, 0.5, 0.6, 0.6, 0.7]
    y = [0, 1, 0, 1, 1, 1, 0, 1]
    ece = probability_metrics(y, p, n_bins=2)["ece"]
    assert ece.value == pytest.approx((0.4 + 0.15) / 2)
    assert [row.n for row in reliability_table(y, p, 2)] == [4, 4]


def test_bins_hold_equally_many_images():
    p = np.random.default_rng(0).beta(0.2, 0.2, 1000)  # sure of itself
    assert {row.n for row in reliability_table(p > 0.5, p)} == {100}
    means = [row.mean_probability for row in reliability_table(p > 0.5, p)]
    assert means == sorted(means)


def make_predictions(random, n, slope):
    """Labels, half and half, and probabilities that are right for a slope of 1."""
    y = np.repeat([0, 1], n // 2)
    return y, 1 / (1 + np.exp(-slope * (2 * random.normal(size=n) + 2 * (2 * y - 1))))


@pytest.mark.parametrize("slope", [1.0, 2.0, 0.3])
def test_intervals_hold_the_truth_about_as_often_as_they_say(slope):
    random = np.random.default_rng(0)
    y, p = make_predictions(random, 400_000, slope)
    truth = probability_metrics(y, p, n_resamples=2)
    held = dict.fromkeys(truth, 0)
    for _ in range(100):
        y, p = make_predictions(random, 400, slope)
        for name, estimate in probability_metrics(y, p, n_resamples=200).items():
            held[name] += estimate.low <= truth[name].value <= estimate.high
            assert estimate.low <= estimate.value <= estimate.high
    assert held["brier_score"] >= 89
    assert held["log_loss"] >= 89
    # No interval from these bins can hold it always where the truth is 0.
    assert held["ece"] >= (87 if slope != 1 else 40)


def test_a_seed_repeats_the_intervals():
    y, p = make_predictions(np.random.default_rng(0), 100, 1)
    one, same, other = (
        probability_metrics(y, p, n_resamples=50, random_state=seed) for seed in (3, 3, 4)
    )
    assert one == same != other


def test_one_class_alone_can_be_measured():
    metrics = probability_metrics([1, 1, 1], [0.5, 0.9, 1.0])
    assert metrics["ece"].value == pytest.approx(0.2)
    assert metrics["brier_score"].value == pytest.approx(0.26 / 3)


@pytest.mark.parametrize(
    ("y", "p", "n_bins", "message"),
    [
        ([0, 2], [0.0, 1.0], 10, "0 for real"),
        ([0, 1], [0.0, np.nan], 10, "y_prob must be finite"),
        ([0, 1], [0.0, 1.5], 10, "y_prob has values from 0 to 1.5"),
        ([0, 1], [[0.1, 0.9], [0.9, 0.1]], 10, "y_prob of shape"),
        ([0, 1], [0.0], 10, "inconsistent"),
        ([], [], 10, "holds no label"),
        ([0, 1], [0.0, 1.0], 0, "n_bins=0"),
    ],
)
def test_senseless_probabilities_are_an_error(y, p, n_bins, message):
    with pytest.raises(ValueError, match=message):
        probability_metrics(y, p, n_bins=n_bins)
    with pytest.raises(ValueError, match=message):
        reliability_table(y, p, n_bins)


def test_precision_is_that_of_a_published_example():
    """The 70-gene signature, the second example of Mercaldo et al.; figures of CIfinder for R."""
    assert_allclose(
        precision_at_prevalence(31, 34, 12, 44, 0.07), [0.2010444, 0.1331384, 0.2919216], atol=1e-7
    )


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200), st.floats(0, 1), st.floats(0, 1)),
    st.floats(0.001, 0.999),
    st.sampled_from([0.05, 0.5, 0.95, 0.999]),
)
@example((50, 50, 0.0, 0.5), 0.01, 0.95)
@example((50, 50, 1.0, 1.0), 0.01, 0.95)
def test_precision_is_always_within_a_finite_interval(counts, prevalence, confidence):
    n_generated, n_real, found, false = counts
    tp, fp = round(found * n_generated), round(false * n_real)
    value, low, high = precision_at_prevalence(
        tp, n_generated, fp, n_real, prevalence, confidence=confidence
    )
    if tp == fp == 0:
        assert np.isnan(value)
        assert (low, high) == (0, 1)
    else:
        t, f = tp / n_generated, fp / n_real
        assert value == pytest.approx(t * prevalence / (t * prevalence + f * (1 - prevalence)))
        assert 0 <= low <= value <= high <= 1


def test_precision_at_the_prevalence_of_the_test_set_is_the_precision_there():
    assert precision_at_prevalence(80, 100, 30, 300, 0.25).value == pytest.approx(80 / 110)


def test_no_false_alarm_is_no_proof_and_more_photographs_say_more():
    few, many = (precision_at_prevalence(90, 100, 0, n, 0.01) for n in (100, 10_000))
    assert few.value == many.value == few.high == many.high == 1
    assert few.low < 0.2
    assert many.low > 0.9
    nothing_found = precision_at_prevalence(0, 100, 5, 100, 0.01)
    assert nothing_found.value == nothing_found.low == 0
    assert 0 < nothing_found.high < 0.1


@pytest.mark.parametrize(
    ("n_generated", "n_real", "recall", "fpr", "minimum"),
    [
        (200, 200, 0.5, 0.005, 0.95),  # where the adjusted interval of the paper holds it in 70 %
        (100, 200, 0.9, 0.05, 0.94),
        (100, 100, 0.99, 0.2, 0.94),
        (30, 300, 0.1, 0.01, 0.94),
        (50, 50, 0.8, 0.002, 0.90),  # a tenth of a false positive is to be expected
    ],
)
def test_its_interval_holds_the_truth_as_often_as_it_says(
    n_generated, n_real, recall, fpr, minimum
):
    """Over every outcome, weighed by how likely it is."""
    truth = 0.02 * recall / (0.02 * recall + 0.98 * fpr)
    found, false = (
        [(k, binom.pmf(k, n, rate)) for k in range(n + 1) if binom.pmf(k, n, rate) > 1e-5]
        for n, rate in ((n_generated, recall), (n_real, fpr))
    )
    held = 0.0
    for tp, likely_tp in found:
        for fp, likely_fp in false:
            estimate = precision_at_prevalence(tp, n_generated, fp, n_real, 0.02)
            held += likely_tp * likely_fp * (estimate.low <= truth <= estimate.high)
    assert held >= minimum


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 10, 1, 10, 0.0), "prevalence=0.0 must be"),
        ((1, 10, 1, 10, 1), "prevalence=1 must be"),
        ((1, 10, 1, 10, float("nan")), "prevalence=nan must be"),
        ((11, 10, 1, 10, 0.1), "true_positives=11 and n_generated=10"),
        ((1, 10, -1, 10, 0.1), "false_positives=-1 and n_real=10"),
        ((0, 0, 1, 10, 0.1), "true_positives=0 and n_generated=0"),
    ],
)
def test_senseless_counts_are_an_error(counts, message):
    with pytest.raises(ValueError, match=message):
        precision_at_prevalence(*counts)
