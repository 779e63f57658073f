import json
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.svm import LinearSVC

from detectorkit.calibration import Band
from detectorkit.evaluation import (
    Estimate,
    OriginMetrics,
    abstention_metrics,
    evaluate,
    macro_balanced_accuracy,
)


@pytest.fixture(scope="module")
def measured(upsampled, fitted):
    origin = np.where(upsampled.target == 1, upsampled.generator, upsampled.source)
    return evaluate(fitted, upsampled.data, upsampled.target, origin=origin, n_resamples=200)


def test_figures_are_those_of_scikit_learn(measured, upsampled, fitted):
    y, scores = upsampled.target, fitted.decision_function(upsampled.data)
    assert (measured.scores == scores).all()
    assert measured.metrics["roc_auc"].value == pytest.approx(roc_auc_score(y, scores))
    accuracy = accuracy_score(y, fitted.predict(upsampled.data))
    assert measured.metrics["accuracy"].value == pytest.approx(accuracy)
    assert measured.accuracy_at_one_half.value == pytest.approx(accuracy)


def test_every_origin_is_measured_alone(measured, upsampled):
    rows = {row.name: row for row in measured.origins}
    kinds = [row.is_generator for row in measured.origins]
    assert kinds == sorted(kinds)  # photographs first
    assert sum(row.n for row in rows.values()) == 120
    mine = upsampled.generator == "nearest"
    row = rows["nearest"]
    called = int((measured.scores[mine] > 0).sum())
    expected = binomtest(called, int(mine.sum())).proportion_ci(method="wilson")
    assert row.called_generated == pytest.approx((called / mine.sum(), *expected))
    both = mine | (upsampled.target == 0)
    area = roc_auc_score(upsampled.target[both], measured.scores[both])
    assert row.roc_auc.value == pytest.approx(area)


def test_verdicts_of_a_band_are_counted(measured, upsampled, fitted):
    assert (measured.band, measured.verdict_metrics) == (None, {})
    assert (measured.verdicts == (measured.scores > 0)).all()
    detector = deepcopy(fitted)
    detector.band_ = Band(*np.quantile(measured.scores, [0.25, 0.75]).tolist())
    banded = evaluate(detector, upsampled.data, upsampled.target, n_resamples=20)
    said = abstention_metrics(banded.y_true, banded.verdicts)
    found = {name: estimate.value for name, estimate in banded.verdict_metrics.items()}
    assert np.sum(banded.verdicts == -1) == 60
    assert found["undecided_photographs"] == pytest.approx(1 - said["decided_real"].value)
    assert found["undecided_generated"] == pytest.approx(1 - said["decided_generated"].value)
    assert found["wrong_photographs"] == said["false_positive_rate"].value
    assert found["wrong_generated"] == said["false_negative_rate"].value
    assert found["wrong_where_decided"] == pytest.approx(1 - said["accuracy_where_decided"].value)
    assert "undecided photographs" in banded.to_text()
    content = banded.to_dict()
    assert content["band"]["high"] == detector.band_.high
    assert set(content["verdict_metrics"]) == set(found)
    assert banded.at(0.0).band is None
    assert evaluate(detector, upsampled.data, upsampled.target, threshold=0.0).band is None


def test_an_area_below_one_half_is_flagged_as_inverted():
    half = Estimate(0.5, 0.4, 0.6)
    row = OriginMetrics("sdxl", True, 50, half, Estimate(0.3, 0.2, 0.4))  # noqa: FBT003
    assert row.is_inverted
    assert row.to_dict()["inverted"] is True
    nan = Estimate(*[float("nan")] * 3)
    photographs = OriginMetrics("lfw", False, 50, half, nan)  # noqa: FBT003
    assert not photographs.is_inverted
    assert "inverted" not in photographs.to_dict()


def test_inversion_is_said_in_the_text(upsampled, fitted):
    """Labels the wrong way round: what was a good ranking is the worst."""
    wrong = evaluate(fitted, upsampled.data, 1 - upsampled.target, n_resamples=20)
    assert "inverted" in wrong.to_text()
    assert wrong.mean_roc_auc < 0.5


def test_another_threshold_changes_verdicts_and_no_ranking(measured):
    strict = measured.at(1.0)
    assert strict.metrics["recall"].value < measured.metrics["recall"].value
    assert strict.metrics["roc_auc"].value == measured.metrics["roc_auc"].value
    assert strict.origins[0].called_generated.value <= measured.origins[0].called_generated.value


def counted(name, called, n, *, generator):
    low, high = binomtest(called, n).proportion_ci(method="wilson")
    nan = Estimate(*[float("nan")] * 3)
    return OriginMetrics(name, generator, n, Estimate(called / n, low, high), nan)


def test_macro_balanced_accuracy_weighs_every_origin_alike():
    rows = [
        counted("lfw", 5, 100, generator=False),
        counted("celeba", 900, 1000, generator=False),
        counted("sdxl", 30, 50, generator=True),
    ]
    expected = ((0.95 + 0.1) / 2 + 0.6) / 2
    assert macro_balanced_accuracy(rows).value == pytest.approx(expected)
    assert np.isnan(macro_balanced_accuracy(rows[:2]).value)


def test_the_interval_of_the_macro_figure_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    rates = [("a", 0.02, 40), ("b", 0.4, 90), ("x", 0.9, 48), ("y", 0, 60)]  # x, y: generators
    truth = ((0.98 + 0.6) / 2 + 0.45) / 2
    held = 0
    for _ in range(500):
        rows = [
            counted(name, random.binomial(n, p), n, generator=name in "xy") for name, p, n in rates
        ]
        interval = macro_balanced_accuracy(rows)
        held += interval.low <= truth <= interval.high
    assert 0.93 <= held / 500 <= 0.995


def test_one_origin_has_a_plain_wilson_interval_halved():
    rows = [counted("a", 0, 10, generator=False), counted("x", 10, 10, generator=True)]
    interval = macro_balanced_accuracy(rows)
    low = binomtest(0, 10).proportion_ci(method="wilson")[1]
    assert interval.value == interval.high == 1
    assert_allclose(interval.low, 1 - np.sqrt(2) * low / 2)


def test_the_text_has_the_macro_figure_only_where_it_is_another_one(upsampled, fitted):
    X, y = upsampled.data, upsampled.target
    alone = evaluate(fitted, X, y, n_resamples=20)
    assert alone.macro_balanced_accuracy.value == alone.metrics["balanced_accuracy"].value
    assert "macro balanced accuracy" not in alone.to_text()
    by_origin = evaluate(fitted, X, y, origin=upsampled.generator, n_resamples=20)
    assert "macro balanced accuracy" in by_origin.to_text()


def test_photographs_alone_have_a_false_positive_rate_and_nothing_else(upsampled, fitted):
    real = upsampled.target == 0
    result = evaluate(fitted, upsampled.data[real], upsampled.target[real], n_resamples=20)
    assert [row.name for row in result.origins] == ["photographs"]
    assert np.isnan(result.macro_balanced_accuracy.value)
    assert np.isnan(result.precision_at(0.1).value)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["metrics"]["roc_auc"]["value"] is None
    assert "photographs" in result.to_text()


def test_precision_falls_with_the_share_of_generated_images(measured):
    shares = [measured.precision_at(p).value for p in (0.5, 0.1, 0.01)]
    assert shares == sorted(shares, reverse=True)


def test_any_classifier_of_scikit_learn_can_be_measured():
    X = np.random.default_rng(0).normal(size=(100, 2))
    y = (X[:, 0] > 0).astype(int)
    with_both = LogisticRegression().fit(X, y)
    with_probabilities = evaluate(with_both, X, y, n_resamples=20)
    assert with_probabilities.threshold == 0
    assert_allclose(with_probabilities.scores, with_both.decision_function(X))
    assert with_probabilities.probability_metrics["brier_score"].value < 0.1
    without = evaluate(LinearSVC().fit(X, y), X, y, n_resamples=20)
    assert without.threshold == 0
    assert without.probability_metrics == {}
    assert without.reliability == []
    assert without.to_dict()["accuracy_at_one_half"]["value"] is None


def test_words_as_labels_are_understood_and_others_refused(upsampled):
    from detectorkit import HoGSVMDetector

    words = np.array(["photograph", "ai"])[upsampled.target]
    detector = HoGSVMDetector(random_state=0).fit(upsampled.data, upsampled.target)
    detector.classes_ = np.array(["photograph", "ai"])  # as a record of older times may have it
    assert evaluate(detector, upsampled.data, words).metrics["accuracy"].value > 0.5
    with pytest.raises(ValueError, match=r"y has the labels \[0, 1\], but the detector knows"):
        evaluate(detector, upsampled.data, upsampled.target)
