import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binomtest

from detectorkit.evaluation import Estimate, wilson_interval
from detectorkit.metrics.estimates import proportion, weighted_sum


@pytest.mark.parametrize(("k", "n"), [(0, 10), (9, 10), (50, 220), (220, 220)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_is_that_of_scipy(k, n, confidence):
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert_allclose(wilson_interval(k, n, confidence=confidence), expected, atol=1e-12)


def test_a_share_of_nothing_is_nan():
    assert np.isnan(proportion(0, 0)).all()
    assert proportion(0, 0).to_dict() == {"value": None, "low": None, "high": None}
    assert str(proportion(1, 4)) == "0.250 [0.046, 0.699]"


def test_the_difference_of_two_shares_has_the_interval_of_newcombe():
    """His method 10 is the sum with weights 1 and -1; the example is from his paper of 1998."""
    difference = weighted_sum([proportion(56, 70), proportion(48, 80)], [1, -1])
    assert_allclose(difference, (0.2, 0.0524, 0.3339), atol=5e-5)


def test_one_share_keeps_its_interval_and_a_negative_weight_turns_it_around():
    one = proportion(3, 20)
    assert weighted_sum([one], [1]) == pytest.approx(one)
    turned = weighted_sum([one], [-1], constant=1)
    assert turned == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low))


@pytest.mark.parametrize("rates", [(0.02, 0.4, 0.95), (0.5, 0.5, 0.5), (0.0, 1.0, 0.3)])
def test_the_interval_of_a_sum_holds_the_truth_about_as_often_as_it_says(rates):
    random, sizes, weights = np.random.default_rng(0), (40, 90, 48), (0.5, -0.2, 0.3)
    truth = np.dot(rates, weights)
    held = 0
    for _ in range(1000):
        counts = random.binomial(sizes, rates)
        total = weighted_sum(
            [proportion(k, n) for k, n in zip(counts, sizes, strict=True)], weights
        )
        held += total.low <= truth <= total.high
    assert 0.93 <= held / 1000 <= 1


def test_nan_stays_nan():
    assert np.isnan(weighted_sum([proportion(1, 2), proportion(0, 0)], [1, 1])).all()
    assert isinstance(weighted_sum([proportion(1, 2)], [1]), Estimate)
