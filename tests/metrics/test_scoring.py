"""Any classifier is scored by one rule, and a score that is not a number is no verdict."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

from detectorkit import HoGSVMDetector, evaluation
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.metrics.scoring import own_threshold, score_images, unbounded_scores
from detectorkit.saliency import OcclusionSaliency
from detectorkit.saliency.metrics.deletion import deletion_insertion

X = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
Y = np.array([0, 1] * 4)


class Scorer(ClassifierMixin, BaseEstimator):
    """Gives all images one score, by one method."""

    def __init__(self, score=0.0):
        self.score = score

    def fit(self, *_):
        self.classes_ = np.array([0, 1])
        return self


class Decides(Scorer):
    def decision_function(self, X):
        return np.full(len(X), self.score)


class Guesses(Scorer):
    def predict_proba(self, X):
        return np.column_stack([np.full(len(X), 1 - self.score), np.full(len(X), self.score)])


@pytest.fixture
def own():
    return HoGSVMDetector(image_size=(32, 32), random_state=0).fit(X, Y)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [Decides, Guesses])
def test_a_score_that_is_not_finite_is_an_error(kind, wrong):
    detector = kind(wrong).fit()
    for call in (
        lambda: evaluation.evaluate(detector, X, Y, n_resamples=2),
        lambda: OcclusionSaliency(detector).fit().transform(X[:1]),
        lambda: deletion_insertion(detector, X[:1], np.zeros((1, 32, 32)), n_steps=2),
    ):
        with pytest.raises(ValueError, match=f"{kind.__name__}: the result of .* must be finite"):
            call()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_the_own_detectors_do_not_say_real_of_nan(own, wrong, monkeypatch):
    monkeypatch.setattr(HoGSVMDetector, "decision_function", lambda _, X: np.full(len(X), wrong))
    for call in (own.predict, own.predict_proba, lambda X: evaluation.evaluate(own, X, Y)):
        with pytest.raises(ValueError, match=r"HoGSVMDetector: .* must be finite, but 8 of 8"):
            call(X)


def test_a_threshold_is_not_nan(own):
    own.threshold_ = np.nan
    with pytest.raises(ValueError, match="threshold_=nan is not a number"):
        own.predict(X)


def test_a_map_of_probabilities_is_not_nan(own):
    own.calibration_ = SigmoidCalibration(np.nan)
    with pytest.raises(ValueError, match="the result of predict_proba must be finite"):
        evaluation.evaluate(own, X, Y)


def test_saliency_and_evaluation_agree_on_score_and_verdict():
    """The probabilities of a support vector machine are not those of its verdicts."""
    rows = np.random.default_rng(1).normal(size=(30, 2)) + np.repeat([[0], [1]], 15, axis=0)
    from sklearn.frozen import FrozenEstimator

    for detector in (
        FrozenEstimator(SVC().fit(rows, np.repeat([0, 1], 15))),
        Decides(0.3).fit(),
        Guesses(0.3).fit(),
    ):
        scores, _ = score_images(detector, rows)
        called = scores > own_threshold(detector)
        assert (unbounded_scores(detector, rows) > 0).tolist() == called.tolist()
        if hasattr(detector, "predict"):
            assert called.astype(int).tolist() == detector.predict(rows).tolist()


def test_maps_of_nan_are_no_maps(own):
    maps = np.full((1, 32, 32), np.nan)
    with pytest.raises(ValueError, match="deletion_insertion: map 0 has values that are not"):
        deletion_insertion(own, X[:1], maps)
