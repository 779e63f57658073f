import pickle
import sys
import tracemalloc

import cv2
import numpy as np
import pytest
from scipy.stats import betabinom
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from detectorkit import ForensicDetector
from detectorkit.features import BlockDCTTransformer
from detectorkit.fingerprint import FingerprintEstimator, noise_residuals

COUNTS = {"a": 40, "b": 40, "real": 120}


def small(**parameters):
    return FingerprintEstimator(crop_size=(64, 64), **parameters)


def test_fingerprint_is_the_average_of_residuals(make):
    X, y = make.several(COUNTS)
    estimator = small().fit(X, y)
    residuals = noise_residuals(X)
    for index, name in enumerate("ab"):
        mean = residuals[y == name].mean(axis=0, dtype=float)
        np.testing.assert_allclose(estimator.fingerprints_[index], mean, atol=1e-6)
        power = np.abs(np.fft.fft2(residuals[y == name])) ** 2 / 64**2
        expected = np.fft.fftshift(power.mean(axis=0))
        np.testing.assert_allclose(estimator.spectra_[index], expected, atol=2e-4)
    assert estimator.classes_.tolist() == ["a", "b"]
    assert estimator.n_images_.tolist() == [40, 40]
    assert estimator.n_real_ == 120
    np.testing.assert_allclose(estimator.spectra_.mean(axis=(1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(estimator.autocorrelations_[:, 32, 32], 1)
    assert estimator.real_spectrum_.mean() == pytest.approx(1, abs=1e-4)


def test_spectrum_peaks_at_the_frequency_of_a_planted_wave(make):
    X = make("real", 60).astype(float) + 1.5 * np.cos(2 * np.pi * np.arange(64) * 16 / 64)
    images = X.clip(0, 255).astype(np.uint8)
    estimator = small(false_alarm_rate=None).fit(images, np.repeat("wave", 60))
    row, column = np.unravel_index(estimator.spectra_[0].argmax(), (64, 64))
    assert (row - 32, abs(column - 32)) == (0, 16)


def test_predicts_the_generator_or_unknown(make):
    estimator = small(false_alarm_rate=0.05).fit(*make.several(COUNTS, amplitude=1))
    X, y = make.several({"a": 20, "b": 20, "c": 20, "real": 20}, amplitude=1)
    predicted = estimator.predict(X)
    assert (predicted[:40] == y[:40]).all()
    assert np.mean(predicted[40:] == "unknown") > 0.9
    assert estimator.score(X, y) == np.mean(
        np.r_[predicted[:40] == y[:40], predicted[40:] == "unknown"]
    )
    scores = estimator.score_samples(X)
    features = estimator.transform(X[:1])
    assert features[0, 0] == pytest.approx(64 * scores[0, 0], rel=1e-4)
    truth = np.corrcoef(noise_residuals(X[:1]).ravel(), estimator.fingerprints_[0].ravel())[0, 1]
    assert scores[0, 0] == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("statistic", ["correlation", "pce"])
def test_false_alarm_rate_is_held(make, statistic):
    """On new photographs, and on an unknown generator with a pattern of its own."""
    make.patterns["d"] = make.random.normal(0, 1, (64, 64))
    estimator = small(false_alarm_rate=0.05, statistic=statistic)
    estimator.fit(*make.several({"a": 100, "b": 100, "c": 100, "real": 300}))
    assert estimator.false_alarm_rate_ == 0.05
    # How many of 400 exceed the 15th highest of 300: the rate is 0.05 on average.
    limit = betabinom(400, 15, 286).ppf(0.999)
    alarms = [np.sum(estimator.predict(make(name, 400)) != "unknown") for name in ("real", "d")]
    assert max(alarms) <= limit
    assert max(alarms) > 0  # and not by never answering


def test_too_few_images_for_a_rate_are_said(make):
    X, y = make.several({"a": 10, "real": 20})
    estimator = small(false_alarm_rate=0.01).fit(X, y)
    assert estimator.false_alarm_rate_ == pytest.approx(1 / 21)
    with pytest.warns(UserWarning, match=r"false_alarm_rate=0.01 is not held.*0.048 is"):
        estimator.predict(X)
    estimator.transform(X)  # does not depend on thresholds


@pytest.mark.parametrize("real", [0, 0.0, "photograph", "photographs"])
def test_photographs_are_not_taken_for_a_generator(make, real):
    X, y = make.several({"a": 40, "real": 120})
    y = np.array([real if name == "real" else type(real)(1) for name in y])  # "1" is a name, too
    with pytest.raises(ValueError, match=rf"no real_label='real', .* Pass real_label={real!r}"):
        small().fit(X, y)
    estimator = small(real_label=real).fit(X, y)
    assert estimator.classes_.tolist() == [y[0]]
    assert estimator.n_real_ == 120
    streamed = small().partial_fit(X, y)
    with pytest.raises(ValueError, match=rf"Pass real_label={real!r}"):
        streamed.fit_thresholds(X, y)
    closed = small(false_alarm_rate=None)
    if isinstance(real, str):
        with pytest.raises(ValueError, match=rf"Pass real_label={real!r}"):
            closed.fit(X, y)
    else:  # two generators, one of which is always the answer
        assert closed.fit(X, y).classes_.tolist() == [real, 1]


def test_peak_to_energy_finds_a_shifted_pattern(make):
    pattern = make.random.normal(0, 1.5, (64, 64))
    X = (make.random.normal(128, 3, (60, 64, 64)) + pattern).clip(0, 255).astype(np.uint8)
    y = np.repeat("sensor", 60)
    estimator = small(false_alarm_rate=None).fit(X[:40], y[:40])
    shifted = np.roll(X[40:], (5, 9), axis=(1, 2))
    as_it_is, moved = estimator.transform(X[40:]), estimator.transform(shifted)
    noise = estimator.transform(make("real", 20))
    assert abs(moved[:, 0]).max() < as_it_is[:, 0].min()
    assert moved[:, 1].min() > noise[:, 1].max()


def test_streaming_is_the_same_as_fit(make):
    X, y = make.several(COUNTS)
    order = np.random.default_rng(0).permutation(len(X))
    whole, parts = small().fit(X[order], y[order]), small()
    for part in np.array_split(order, 7):
        parts.partial_fit(X[part], y[part])
    np.testing.assert_allclose(parts.fingerprints_, whole.fingerprints_, atol=1e-12)
    np.testing.assert_allclose(parts.spectra_, whole.spectra_, atol=1e-5)
    with pytest.raises(NotFittedError, match="Call `fit_thresholds`"):
        parts.predict(X)
    parts.fit_thresholds(X[order], y[order])
    np.testing.assert_allclose(parts.thresholds_, whole.thresholds_, rtol=1e-6)
    parts.partial_fit(make("new", 5), np.repeat("new", 5))
    assert parts.classes_.tolist() == ["a", "b", "new"]
    np.testing.assert_allclose(parts.fingerprints_[:2], whole.fingerprints_, atol=1e-12)


def test_memory_does_not_grow_with_the_number_of_images(make):
    files = [cv2.imencode(".png", image)[1].tobytes() for image in make("a", 40)]

    def peak(times):
        X = files * times
        tracemalloc.start()
        small(false_alarm_rate=None).fit(X, np.repeat("a", len(X)))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(1)
    assert peak(16) < 1.5 * peak(2)


def test_fit_transform_leaves_each_image_out(make):
    X, y = make.several({"a": 12, "b": 9, "real": 12})
    features = small(false_alarm_rate=0.1).fit_transform(X, y)
    for index in (0, 15, 25):
        rest = np.delete(np.arange(len(X)), index)
        expected = small(false_alarm_rate=0.1).fit(X[rest], y[rest]).transform(X[index : index + 1])
        np.testing.assert_allclose(features[index], expected[0], atol=1e-4)
    alone = small(false_alarm_rate=None).fit_transform(X[:1], y[:1])
    assert not alone.any()


def test_one_more_family_of_features_in_a_pipeline(make):
    X, y = make.several({"a": 40, "b": 40, "real": 80}, amplitude=1)
    is_generated = (y != "real").astype(int)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)  # both generators in each
    for estimator in (small(real_label=0), small(false_alarm_rate=None)):
        alone = make_pipeline(estimator, LogisticRegression())
        joined = make_pipeline(
            make_union(estimator, BlockDCTTransformer()), StandardScaler(), LogisticRegression()
        )
        for model in (alone, joined):
            assert cross_val_score(model, X, is_generated, cv=folds).mean() > 0.9


def test_forensic_detector_refuses_a_family_that_is_fitted(make):
    X, y = make.several({"a": 4, "real": 4})
    with pytest.raises(ValueError, match=r"transformers of detectorkit\.features"):
        ForensicDetector([small()]).fit(X, y != "real")


def test_grid_search_over_residuals(make):
    X, y = make.several({"a": 20, "b": 20, "real": 60})
    grid = {"residual": ["highpass", "median"], "false_alarm_rate": [0.1]}
    search = GridSearchCV(small(random_state=0), grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_pickle_clone_and_threads_agree_to_the_last_bit(make):
    X, y = make.several(COUNTS)
    one, two = (clone(small(n_jobs=n)).fit(X, y) for n in (1, 2))
    assert (one.fingerprints_ == two.fingerprints_).all()
    assert (one.spectra_ == two.spectra_).all()
    assert (one.thresholds_ == two.thresholds_).all()
    again = pickle.loads(pickle.dumps(one))
    assert (again.decision_function(X) == two.decision_function(X)).all()
    again.partial_fit(X, y)
    assert again.n_images_.tolist() == [80, 80]


def test_one_generator_gives_one_score(make):
    X, y = make.several({"a": 40, "real": 120}, amplitude=1)
    estimator = small().fit(X, y)
    scores = estimator.decision_function(X)
    assert scores.shape == (160,)
    assert ((scores > 0) == (estimator.predict(X) == "a")).all()
    assert estimator.get_feature_names_out().tolist() == [
        "fingerprint_correlation_a",
        "fingerprint_log_pce_a",
    ]


def test_whole_images_in_colour(make):
    X, y = make.several({"a": 20, "b": 20, "c": 20}, amplitude=1)
    colour = np.repeat(X[..., np.newaxis], 3, axis=3)
    estimator = FingerprintEstimator(crop_size=None, color_space="rgb", false_alarm_rate=None)
    margins = estimator.fit(colour, y).decision_function(colour)
    assert estimator.fingerprints_.shape == (3, 64, 64, 3)
    assert margins.shape == (60, 3)
    assert (estimator.classes_[margins.argmax(axis=1)] == y).all()
    assert (estimator.predict(colour) == y).all()


def test_crops_may_be_as_small_as_the_neighbourhood_of_a_peak(make):
    X, y = make.several({"a": 40, "b": 40}, amplitude=2)
    estimator = FingerprintEstimator(crop_size=(8, 64), false_alarm_rate=None).fit(X, y)
    assert estimator.score(X, y) > 0.9
    assert np.isfinite(estimator.transform(X)).all()


def test_thresholds_are_set_on_a_sample_of_very_many(make, monkeypatch):
    monkeypatch.setattr(sys.modules[FingerprintEstimator.__module__], "_MAX_NEGATIVES", 60)
    X, y = make.several({"a": 10, "real": 150})
    one, two = (small(random_state=0).fit(X, y) for _ in range(2))
    assert one.false_alarm_rate_ == pytest.approx(1 / 61)
    assert (one.thresholds_ == two.thresholds_).all()


def test_numbers_as_labels_have_the_number_for_unknown(make):
    X, y = make.several({"a": 40, "b": 40, "real": 80})
    codes = np.searchsorted(["a", "b", "real"], y)
    estimator = small(real_label=2, false_alarm_rate=0.05).fit(X, codes)
    assert estimator.classes_.tolist() == [0, 1]
    assert set(estimator.predict(X).tolist()) == {0, 1, -1}
    closed = small(real_label=2, false_alarm_rate=None).fit(X, codes)
    assert set(closed.predict(X).tolist()) == {0, 1}


def test_crops_begin_at_multiples_of_16(make):
    X, y = make.several({"a": 30}, amplitude=1)
    estimator = small(false_alarm_rate=None).fit(X, y)
    around = np.pad(X, ((0, 0), (16, 31), (16, 29)), mode="edge")
    np.testing.assert_allclose(
        estimator.score_samples(around), estimator.score_samples(X), atol=0.03
    )


def test_treatment_comes_first(make):
    X, y = make.several({"a": 10, "b": 10})
    estimator = FingerprintEstimator(false_alarm_rate=None, treatment="aligned").fit(X, y)
    assert estimator.fingerprints_.shape == (2, 128, 128)


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({"residual": "srm"}, None, "residual='srm' must be one of 'highpass'"),
        ({"statistic": "x"}, None, "statistic='x' must be one of"),
        ({"false_alarm_rate": 1.0}, None, r"false_alarm_rate=1.0 must be a number"),
        ({"crop_size": (65, 64)}, None, "smaller than the size of 65 x 64.*`crop_size`"),
        ({}, ["real"] * 8, "photographs, which have no fingerprint"),
        ({}, ["a"] * 8, "Pass photographs with the label 'real'"),
        ({}, ["unknown"] * 4 + ["real"] * 4, "Rename it"),
        ({"treatment": "x"}, None, "treatment='x'"),
    ],
)
def test_errors_name_the_cure(make, parameters, labels, message):
    X, y = make.several({"a": 4, "real": 4})
    estimator = small().set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, y if labels is None else labels)


def test_names_of_generators_are_needed(make):
    with pytest.raises(ValueError, match=r"requires y to be passed.*name of the generator"):
        small().fit(make("a", 4), None)


def test_changed_parameters_are_refused(make):
    X, y = make.several({"a": 4, "b": 4})
    estimator = small(false_alarm_rate=None).fit(X, y).set_params(residual="median")
    with pytest.raises(ValueError, match="residual='median' was 'highpass' in `fit`"):
        estimator.transform(X)
