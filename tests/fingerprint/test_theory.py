"""A pattern of known strength in noise is detected as often as the formula says."""

import numpy as np
import pytest
from scipy.stats import norm

from detectorkit.fingerprint import FingerprintEstimator, detection_probability, noise_residuals
from detectorkit.fingerprint.theory import expected_correlation, reliability

SIDE = 64


def test_closed_forms():
    assert expected_correlation(0.04, 1) == pytest.approx(0.04)
    assert expected_correlation(0.04, 1e9) == pytest.approx(0.2)
    assert reliability(0.25, 2) == pytest.approx(0.4)
    for rate in (0.01, 0.2):
        p = detection_probability(1e-12, 1, 4096, false_alarm_rate=rate)
        assert p == pytest.approx(rate, rel=1e-3)
    # with very many images, a matched filter for a known pattern
    expected = norm.sf(norm.isf(0.01) - np.sqrt(4096 * 0.001))
    assert detection_probability(0.001, 1e9, 4096) == pytest.approx(expected, abs=0.01)
    with pytest.raises(ValueError, match="strength=0 must be a number above 0"):
        detection_probability(0, 10, 100)


def test_a_planted_pattern_is_detected_as_the_formula_says(make):
    """Fingerprints are drawn anew, as the formula is an average over them too."""
    amplitude, n_images, n_runs, n_tests, rate = 0.35, 12, 20, 40, 0.05
    make("a", 1)
    strength, n_values = known_strength(make.patterns["a"], amplitude, n_images)
    expected = detection_probability(strength, n_images, n_values, false_alarm_rate=rate)
    assert 0.3 < expected < 0.9  # where the curve is steep
    found = []
    for _ in range(n_runs):
        X, y = make.several({"a": n_images, "real": 200}, amplitude)
        estimator = FingerprintEstimator(crop_size=(SIDE, SIDE), false_alarm_rate=rate).fit(X, y)
        found.append(np.mean(estimator.predict(make("a", n_tests, amplitude)) == "a"))
    margin = 3 * np.std(found, ddof=1) / np.sqrt(n_runs)
    assert margin < 0.1
    assert np.mean(found) == pytest.approx(expected, abs=margin)


def known_strength(pattern, amplitude, n_images):
    """Return the strength after the filter, and the number of independent values of a residual.

    Rounding adds a variance of 1/12 to the noise of deviation 3, and the filter's response is
    1 - cos^2(u/2) cos^2(v/2).
    """
    cosines = np.cos(np.pi * np.fft.fftfreq(SIDE)) ** 2
    response = (1 - np.outer(cosines, cosines)) ** 2
    noise = response / response.mean()
    power = np.abs(np.fft.fft2(pattern - pattern.mean())) ** 2 / pattern.size
    signal = amplitude**2 * np.mean(power * response)
    strength = signal / (signal + (9 + 1 / 12) * response.mean())
    of_pattern = power * response / np.mean(power * response)
    spectrum = strength * of_pattern + (1 - strength) / n_images * noise
    return strength, SIDE**2 / (np.mean(noise * spectrum) / np.mean(spectrum))


def test_the_known_strength_is_what_the_residuals_have(make):
    X = make("a", 200, 0.5)
    residuals = noise_residuals(X).reshape(200, -1)
    total = residuals.sum(axis=0, dtype=float)
    measured = (total @ total / SIDE**2 - 200) / (200 * 199)
    assert measured == pytest.approx(known_strength(make.patterns["a"], 0.5, 1)[0], rel=0.03)
