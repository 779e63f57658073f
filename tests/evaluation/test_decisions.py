import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.base import clone

from detectorkit.evaluation import (
    ConformalAbstention,
    abstention_metrics,
    balanced_threshold,
    binary_metrics,
    fpr_threshold,
)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(19, 400), fpr=st.sampled_from([0.05, 0.1, 0.25]), seed=st.integers(0, 99))
def test_the_threshold_is_the_lowest_that_keeps_the_mean_rate(n, fpr, seed):
    scores = np.random.default_rng(seed).normal(size=n)
    result = fpr_threshold(scores, fpr)
    rank = int((scores >= result.threshold).sum())
    assert rank / (n + 1) <= fpr * (1 + 1e-9) < (rank + 1) / (n + 1) * (1 + 1e-9)
    assert result.rate.value == pytest.approx(rank / (n + 1))
    assert result.rate.low < result.rate.value < result.rate.high


def test_the_rate_to_come_lies_in_the_interval_as_often_as_it_says():
    random = np.random.default_rng(0)
    rates, held = [], 0
    for _ in range(400):
        scores = random.uniform(size=199)
        result = fpr_threshold(scores, 0.05)
        true_rate = 1 - result.threshold  # of uniform scores
        rates.append(true_rate)
        held += result.rate.low <= true_rate <= result.rate.high
    assert np.mean(rates) == pytest.approx(0.05, abs=0.003)
    assert 0.92 <= held / 400 <= 0.98


def test_the_guarantee_keeps_the_rate_in_all_but_the_stated_share_of_cases():
    random = np.random.default_rng(0)
    kept = [
        1 - fpr_threshold(random.uniform(size=300), 0.05, guarantee=True).threshold <= 0.05
        for _ in range(400)
    ]
    assert 0.92 <= np.mean(kept) <= 0.99


def test_a_worked_example():
    result = fpr_threshold(np.arange(1, 100), 0.05)
    assert result.threshold == 95  # the 5th largest of 99
    assert result.rate.value == 0.05
    assert result.rate.high == pytest.approx(beta.ppf(0.975, 5, 95))


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (98, {"fpr": 0.01}, "98 photographs are too few.*Pass the scores of at least 99"),
        (58, {"fpr": 0.05, "guarantee": True}, r"guarantee\. Pass the scores of at least 59"),
        (10, {"fpr": 0.0}, "fpr=0.0 must be a number above 0 and below 1"),
    ],
)
def test_too_few_photographs_are_an_error_that_says_how_many(n, options, message):
    with pytest.raises(ValueError, match=message):
        fpr_threshold(np.arange(n), **options)


def test_the_number_that_an_error_names_is_enough():
    assert fpr_threshold(np.arange(99), 0.01).threshold == 98
    assert fpr_threshold(np.arange(59), 0.05, guarantee=True).threshold == 58


def test_ties_only_lower_the_rate():
    scores = np.repeat([0.0, 1.0], [90, 109])
    assert np.mean(scores > fpr_threshold(scores, 0.05).threshold) == 0


@pytest.mark.parametrize("distance", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(("fpr", "fnr"), [(0.05, 0.05), (0.02, 0.2)])
def test_both_kinds_of_error_stay_within_their_rates(distance, fpr, fnr):
    random = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        y = np.arange(400) % 2
        scores = random.normal(size=400) + distance * y
        verdicts = ConformalAbstention(fpr=fpr, fnr=fnr).fit(scores[:200], y[:200])
        said, y = verdicts.predict(scores[200:]), y[200:]
        errors.append([np.mean(said[y == 0] == 1), np.mean(said[y == 1] == 0)])
    assert (np.mean(errors, axis=0) <= np.array([fpr, fnr]) + 0.005).all()


def test_a_better_detector_decides_more_often():
    random = np.random.default_rng(0)
    y = np.arange(1000) % 2
    shares = []
    for distance in (0.0, 1.0, 2.0, 4.0):
        scores = random.normal(size=1000) + distance * y
        said = ConformalAbstention().fit(scores, y).predict(scores)
        shares.append(np.mean(said >= 0))
    assert shares[:3] == sorted(shares[:3])
    assert shares[0] < 0.15
    assert shares[3] > 0.9


def test_a_score_unlike_both_classes_gets_no_verdict():
    y = np.repeat([0, 1], 100)
    scores = np.random.default_rng(0).normal(size=200) * 0.1 + 10 * y
    assert ConformalAbstention().fit(scores, y).predict([0.0, 5.0, 10.0]).tolist() == [0, -1, 1]


def test_p_values_are_those_of_the_definition():
    abstention = ConformalAbstention(fpr=0.3, fnr=0.3).fit([1, 2, 3, 11, 12, 13], [0] * 3 + [1] * 3)
    p_values = abstention.p_values([2.0, 12.0])
    assert p_values[0].tolist() == [3 / 4, 1 / 4]  # two of three are as high, and itself
    assert p_values[1].tolist() == [1 / 4, 3 / 4]


def test_it_is_an_estimator_and_says_what_is_missing():
    assert clone(ConformalAbstention(fpr=0.1)).fpr == 0.1
    with pytest.raises(ValueError, match=r"fpr=0.01 needs at least 99 real images, got 5"):
        ConformalAbstention(fpr=0.01).fit(np.arange(10), np.arange(10) % 2)
    with pytest.raises(ValueError, match="fnr=2 must be"):
        ConformalAbstention(fnr=2, fpr=0.5).fit(np.arange(10), np.arange(10) % 2)


def test_abstention_is_measured_by_counting():
    metrics = abstention_metrics([0, 0, 0, 0, 1, 1], [0, 1, -1, -1, 1, 0])
    values = {name: estimate.value for name, estimate in metrics.items()}
    assert values == pytest.approx(
        {
            "decided": 4 / 6,
            "decided_real": 0.5,
            "decided_generated": 1.0,
            "accuracy_where_decided": 0.5,
            "false_positive_rate": 0.25,
            "false_negative_rate": 0.5,
            "false_positive_rate_where_decided": 0.5,
        }
    )
    assert np.isnan(abstention_metrics([0], [-1])["accuracy_where_decided"].value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=4, max_size=40))
def test_no_threshold_is_better_than_the_balanced_one(scores):
    y = np.arange(len(scores)) % 2
    threshold = balanced_threshold(scores, y)
    metrics = binary_metrics(y, scores, threshold=threshold, n_resamples=2)
    assert metrics["calibration_gap"].value == pytest.approx(0, abs=1e-12)


def test_of_equal_thresholds_the_middle_one_is_taken():
    assert balanced_threshold([0, 10, 1, 2, 3, 11], [0, 1, 0, 0, 0, 1]) == 6.5
    with pytest.raises(ValueError, match="there are no real images"):
        balanced_threshold([1.0, 2.0], [1, 1])
