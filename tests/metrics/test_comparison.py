from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binom, multinomial, norm
from sklearn.metrics import accuracy_score, roc_auc_score

from detectorkit.metrics.comparison import compare_detectors


def verdicts(both, only_a, only_b, neither):
    """Labels and scores, at a threshold of 0, of detectors that are right so often."""
    a_right = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b_right = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    y = np.arange(len(a_right)) % 2
    return y, np.where(a_right == y, 1.0, -1.0), np.where(b_right == y, 1.0, -1.0)


@st.composite
def scored(draw):
    n = draw(st.integers(4, 50))
    labels = st.lists(st.integers(0, 1), min_size=n, max_size=n)
    # Few distinct values, so that there are many ties.
    scores = st.lists(st.integers(-3, 3), min_size=n, max_size=n)
    y = np.array(draw(labels))
    y[:4] = 0, 1, 0, 1
    return y, np.array(draw(scores), float), np.array(draw(scores), float)


# The paper's own examples, and one of a textbook (Altman et al. 2000, table 6.2).
@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((18, 12, 2, 18), 0.0562, 0.3290),
        ((53, 0, 0, 1), -0.0729, 0.0729),
        ((0, 30, 0, 0), 0.8395, 1.0),
        ((14, 5, 0, 22), 0.011, 0.226),
    ],
)
def test_the_interval_of_the_verdicts_is_that_of_newcombe(table, low, high):
    estimate = compare_detectors(*verdicts(*table)).accuracy_difference
    assert estimate.value == pytest.approx((table[1] - table[2]) / sum(table))
    assert_allclose(
        [estimate.low, estimate.high], [low, high], atol=1e-4 if high != 0.226 else 5e-4
    )
    other = compare_detectors(*verdicts(table[0], table[2], table[1], table[3]))
    assert_allclose(other.accuracy_difference, [-estimate.value, -estimate.high, -estimate.low])


@pytest.mark.parametrize(
    "shares", [(0.7, 0.1, 0.1, 0.1), (0.6, 0.25, 0.05, 0.1), (0.4, 0.1, 0.1, 0.4)]
)
def test_that_interval_holds_the_truth_as_often_as_it_says(shares):
    """Over every outcome of 16 images, weighed by how likely it is."""
    truth, n, held = shares[1] - shares[2], 16, 0.0
    for both, only_a, only_b in product(range(n + 1), repeat=3):
        table = (both, only_a, only_b, n - both - only_a - only_b)
        likely = multinomial.pmf(table, n, shares) if table[3] >= 0 else 0
        if likely > 1e-5:
            estimate = compare_detectors(*verdicts(*table)).accuracy_difference
            held += likely * (estimate.low <= truth <= estimate.high)
    assert 0.93 <= held <= 0.99


def test_the_p_value_of_the_verdicts_is_that_of_a_fair_coin():
    # 8 heads of 9: twice (1 + 9) / 2 ** 9.
    assert compare_detectors(*verdicts(50, 8, 1, 3)).accuracy_p_value == pytest.approx(20 / 512)
    for only_a, only_b in [(3, 14), (14, 3), (7, 7), (0, 4)]:
        comparison = compare_detectors(*verdicts(20, only_a, only_b, 5))
        fewer = min(only_a, only_b)
        expected = min(1, 2 * binom.cdf(fewer, only_a + only_b, 0.5))
        assert comparison.accuracy_p_value == pytest.approx(expected)
        assert (comparison.only_a_right, comparison.only_b_right) == (only_a, only_b)


@settings(max_examples=60, deadline=None)
@given(scored(), st.sampled_from([0.0, -1.5]), st.sampled_from([0.0, 1.5]))
def test_differences_are_those_of_the_metrics_of_scikit_learn(data, threshold_a, threshold_b):
    y, a, b = data
    comparison = compare_detectors(y, a, b, threshold_a=threshold_a, threshold_b=threshold_b)
    accuracy = accuracy_score(y, a > threshold_a) - accuracy_score(y, b > threshold_b)
    assert comparison.accuracy_difference.value == pytest.approx(accuracy)
    area = roc_auc_score(y, a) - roc_auc_score(y, b)
    assert comparison.auc_difference.value == pytest.approx(area)


def variance_by_definition(y, a, b):
    """Equations 3 to 6 of DeLong et al., over all pairs of images."""

    def components(scores):
        generated, real = scores[y == 1][:, np.newaxis], scores[y == 0]
        wins = (generated > real) + 0.5 * (generated == real)
        return wins.mean(axis=1), wins.mean(axis=0)

    contrast = np.array([1, -1])
    variance = 0.0
    for of_a, of_b in zip(components(a), components(b), strict=True):
        variance += contrast @ np.cov(of_a, of_b) @ contrast / len(of_a)
    return variance


@settings(max_examples=100, deadline=None)
@given(scored(), st.sampled_from([0.8, 0.95]))
def test_the_interval_of_the_scores_is_that_of_delong(data, confidence):
    y, a, b = data
    value, low, high = compare_detectors(y, a, b, confidence=confidence).auc_difference
    variance = variance_by_definition(y, a, b)
    if variance < 1e-12:
        assert np.isnan(low) or low == value == high == 0
        return
    half = norm.ppf((1 + confidence) / 2) * np.sqrt(variance)
    assert_allclose([low, high], np.clip([value - half, value + half], -1, 1), atol=1e-9)
    p_value = compare_detectors(y, a, b).auc_p_value
    assert p_value == pytest.approx(2 * norm.sf(abs(value) / np.sqrt(variance)), abs=1e-9)


@pytest.mark.parametrize("decimals", [0, 8])
def test_that_interval_is_as_wide_as_the_paired_bootstrap_says(decimals):
    """With scores that are all different, and with many that are tied."""
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], [100, 150])
    a = np.round(random.normal(size=250) + y, decimals)
    b = np.round(a + random.normal(size=250), decimals)
    # Of each pair of a photograph and a generated image, how much more right a is about it than b.
    real, generated = y == 0, y == 1
    wins = [(np.sign(s[generated] - s[real, None]) + 1) / 2 for s in (a, b)]
    assert wins[0].mean() == pytest.approx(roc_auc_score(y, a))
    gain = wins[0] - wins[1]
    differences = [
        gain[np.ix_(random.integers(0, 100, 100), random.integers(0, 150, 150))].mean()
        for _ in range(1000)
    ]
    estimate = compare_detectors(y, a, b).auc_difference
    assert (estimate.high - estimate.low) / 3.92 == pytest.approx(np.std(differences), rel=0.08)


def test_equally_good_detectors_are_rarely_told_apart():
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    p_values = []
    for _ in range(400):
        common = random.normal(size=120) + y
        a, b = common + random.normal(size=(2, 120))
        comparison = compare_detectors(y, a, b, threshold_a=0.5, threshold_b=0.5)
        p_values.append([comparison.accuracy_p_value, comparison.auc_p_value])
    by_verdicts, by_scores = np.mean(np.array(p_values) < 0.05, axis=0)
    assert by_verdicts <= 0.05  # the exact test is cautious
    assert 0.03 <= by_scores <= 0.075


@pytest.mark.parametrize("change", [lambda s: s, lambda s: 3 * s, np.arctan])
def test_scores_in_the_same_order_do_not_differ(change):
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 100)
    scores = np.round(random.normal(size=100), 1)
    comparison = compare_detectors(y, scores, change(scores))
    assert comparison.auc_difference == (0, 0, 0)
    assert comparison.auc_p_value == comparison.accuracy_p_value == 1
    assert comparison.accuracy_difference.value == 0
    assert comparison.accuracy_difference.low < 0 < comparison.accuracy_difference.high


def test_where_a_variance_is_missing_nothing_is_claimed():
    turned = compare_detectors([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0], [2.0, 1.0, -1.0, -2.0])
    assert turned.auc_difference.value == 1
    assert np.isnan([*turned.auc_difference[1:], turned.auc_p_value]).all()
    for y in ([1, 1, 1], [0, 1, 1]):
        few = compare_detectors(y, [1.0, 2.0, -3.0], [1.0, -2.0, 3.0])
        assert np.isnan([*few.auc_difference, few.auc_p_value]).all()
        assert 0 <= few.accuracy_p_value <= 1


@pytest.mark.parametrize(
    ("y", "a", "b", "message"),
    [
        ([0, 2], [0.0, 1.0], [0.0, 1.0], "0 for real"),
        ([0, 1], [0.0, np.nan], [0.0, 1.0], "scores_a must be finite"),
        ([0, 1], [0.0, 1.0], [[0.0], [1.0]], "scores_b of shape"),
        ([0, 1], [0.0, 1.0], [0.0], "inconsistent"),
        ([], [], [], "holds no label"),
    ],
)
def test_senseless_input_is_an_error(y, a, b, message):
    with pytest.raises(ValueError, match=message):
        compare_detectors(y, a, b)
