import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from detectorkit.evaluation import binary_metrics, roc_auc_estimate


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=60))
def test_the_area_is_that_of_scikit_learn_and_lies_in_its_interval(images):
    y, scores = np.array([(0, -5), (1, 5), *images], float).T
    area = roc_auc_estimate(y, scores)
    assert area.value == pytest.approx(roc_auc_score(y, scores))
    assert 0 <= area.low <= area.value + 1e-12
    assert area.value - 1e-12 <= area.high <= 1


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(("n_real", "n_generated"), [(40, 40), (300, 60)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(distance, n_real, n_generated):
    random = np.random.default_rng(0)
    truth = norm.cdf(distance / np.sqrt(2))
    y = np.repeat([0, 1], [n_real, n_generated])
    held = 0
    for _ in range(400):
        interval = roc_auc_estimate(y, random.normal(size=len(y)) + distance * y)
        held += interval.low <= truth <= interval.high
    assert 0.91 <= held / 400 <= 0.99


def test_the_interval_is_about_that_of_the_bootstrap():
    random = np.random.default_rng(0)
    y = np.arange(400) % 2
    scores = random.normal(size=400) + y
    wins = scores[y == 1] > scores[y == 0, None]
    assert wins.mean() == pytest.approx(roc_auc_score(y, scores))
    areas = [wins[np.ix_(*random.integers(0, 200, (2, 200)))].mean() for _ in range(1000)]
    interval = roc_auc_estimate(y, scores)
    assert (interval.low, interval.high) == pytest.approx(
        np.quantile(areas, [0.025, 0.975]), abs=0.01
    )


def test_perfect_separation_of_few_images_is_not_certain():
    y = np.repeat([0, 1], [50, 10])
    area = roc_auc_estimate(y, y)
    low, high = binomtest(10, 10).proportion_ci(method="wilson")
    assert area == pytest.approx((1, low, high))
    assert roc_auc_estimate(y, -y).low == 0
    assert roc_auc_estimate([0, 1], [0.0, 0.0]).value == 0.5  # and no warning


def test_one_class_has_no_area():
    assert np.isnan(roc_auc_estimate([1, 1], [0.0, 1.0])).all()


def test_binary_metrics_gives_the_same():
    random = np.random.default_rng(0)
    y, scores = np.arange(50) % 2, random.normal(size=50)
    assert binary_metrics(y, scores, n_resamples=2)["roc_auc"] == roc_auc_estimate(y, scores)
