"""Combination of log-odds of several detectors, on plain arrays."""

import numpy as np
import pytest
from scipy.special import expit, logit

from detectorkit.heads.combination import LIMIT, fit_combination, weigh_origins

Y = np.arange(600) % 2


@pytest.fixture(scope="module")
def log_odds():
    """A good member, the same again, and one that knows nothing and is very sure of it."""
    random = np.random.default_rng(0)
    good = random.normal(size=600) + 3 * (Y - 0.5)
    return np.column_stack([good, good, random.normal(size=600) * 6])


@pytest.mark.parametrize("kind", ["log_odds", "stacking"])
def test_useless_member_gets_no_weight_and_equal_ones_equal_weights(log_odds, kind):
    found = fit_combination(log_odds, Y, kind=kind)
    assert found.weights[0] == pytest.approx(found.weights[1], rel=0.01)
    assert abs(found.weights[2]) < 0.05
    # The log-odds of two normal distributions 3 apart are 3 times the first column.
    assert sum(found.weights[:2]) == pytest.approx(3, rel=0.3)


def test_log_odds_never_turns_a_member_round(log_odds):
    noisy = np.column_stack([log_odds[:, 0] + log_odds[:, 2], log_odds[:, 2]])
    assert fit_combination(noisy, Y).weights[1] == 0
    first, second = fit_combination(noisy, Y, kind="stacking").weights
    assert second == pytest.approx(-first, rel=0.1)  # takes the noise away again


def test_few_images_lead_to_equal_weights(log_odds):
    weights = fit_combination(np.where(Y[:4], 9.0, -9.0)[:, np.newaxis] * [1, 1.01, 0.99], Y[:4])
    np.testing.assert_allclose(weights.weights, np.mean(weights.weights), rtol=0.05)


def test_soft_is_the_mean_probability(log_odds):
    found = fit_combination(log_odds, Y, kind="soft", weights=[1, 1, 2])
    mean = expit(log_odds) @ [0.25, 0.25, 0.5]
    assert abs(log_odds).max() > LIMIT
    np.testing.assert_allclose(expit(found.score(log_odds)), mean, atol=1e-5)
    assert found.score(np.array([[50.0, 50, 50]])) == pytest.approx(LIMIT)
    assert logit(0.5) == found.score(np.zeros((1, 3)))


def test_weights_are_relative(log_odds):
    once, twice = (fit_combination(log_odds, Y, weights=[a, 0, 0]) for a in (1, 2))
    assert once == twice
    assert once.weights[1:] == (0, 0)


def test_each_origin_and_class_counts_alike():
    y, origin = np.array([0, 0, 0, 1]), ["a", "a", "b", "g"]
    np.testing.assert_allclose(weigh_origins(y, origin), [0.5, 0.5, 1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "vote"}, "kind='vote'"),
        ({"kind": "stacking", "weights": [1, 1, 1]}, "must be None with 'stacking'"),
        ({"weights": [1, -1, 1]}, "none negative"),
        ({"weights": [1, 1]}, "must be 3 numbers"),
    ],
)
def test_wrong_arguments(log_odds, options, message):
    with pytest.raises(ValueError, match=message):
        fit_combination(log_odds, Y, **options)


def test_nan_is_refused(log_odds):
    with pytest.raises(ValueError, match="log_odds has NaN"):
        fit_combination(np.where(log_odds > 3, np.nan, log_odds), Y)
