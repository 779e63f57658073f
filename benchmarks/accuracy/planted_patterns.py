"""Fingerprints of planted patterns, whose detection is known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectorkit.fingerprint import FingerprintEstimator, detection_probability
from detectorkit.metrics.estimates import Estimate

SIDE = 64
NOISE = 3.0  # standard deviation in grey levels, before rounding
AMPLITUDES = (0.35, 0.5)  # standard deviation of the pattern, in grey levels
N_IMAGES = (1, 2, 4, 8, 16, 32)
N_RUNS, N_REAL, N_TESTS = 16, 200, 50
RATE = 0.05


def measure_planted(seed: int = 0) -> dict[str, Any]:
    """Measure how often planted patterns are detected, and what the formula says."""
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {"side": SIDE, "noise": NOISE, "false_alarm_rate": RATE}
    found |= {"n_runs": N_RUNS, "n_real": N_REAL, "n_tests": N_TESTS, "rows": []}
    for amplitude in AMPLITUDES:
        for n in N_IMAGES:
            runs = np.array([_run(amplitude, n, random) for _ in range(N_RUNS)])
            row = {"amplitude": amplitude, "n": n, "strength": runs[:, 2].mean()}
            row |= {"theory": runs[:, 3].mean(), "measured": _mean(runs[:, 0])}
            row["false_alarms"] = _mean(runs[:, 1])
            print(row, flush=True)
            found["rows"].append(row)
    return found


def _run(amplitude: float, n: int, random: np.random.Generator) -> tuple[float, ...]:
    """Plant a new pattern of 8 x 8 pixels that repeats itself, and look for it in new images."""
    pattern = np.tile(random.normal(0, 1, (8, 8)), (SIDE // 8, SIDE // 8))
    X = np.concatenate([_images(amplitude * pattern, n, random), _images(0, N_REAL, random)])
    y = np.repeat(["planted", "real"], [n, N_REAL])
    estimator = FingerprintEstimator(crop_size=(SIDE, SIDE), false_alarm_rate=RATE).fit(X, y)
    tests = [_images(p, N_TESTS, random) for p in (amplitude * pattern, 0)]
    rates = [float(np.mean(estimator.predict(t) == "planted")) for t in tests]
    strength, n_values = _known(pattern, amplitude, n)
    theory = detection_probability(strength, n, n_values, false_alarm_rate=RATE)
    return *rates, strength, theory


def _images(pattern: Any, n: int, random: np.random.Generator) -> np.ndarray:
    noisy = random.normal(128, NOISE, (n, SIDE, SIDE)) + pattern
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def _known(pattern: np.ndarray, amplitude: float, n: int) -> tuple[float, float]:
    """Return the strength behind the high-pass, and the number of independent values there.

    Its response is 1 - cos^2(u/2) cos^2(v/2); rounding adds a variance of 1/12.
    """
    cosines = np.cos(np.pi * np.fft.fftfreq(SIDE)) ** 2
    response = (1 - np.outer(cosines, cosines)) ** 2
    noise = response / response.mean()
    power = np.abs(np.fft.fft2(pattern)) ** 2 / pattern.size * response
    signal = amplitude**2 * power.mean()
    strength = signal / (signal + (NOISE**2 + 1 / 12) * response.mean())
    spectrum = strength * power / power.mean() + (1 - strength) / n * noise
    return float(strength), SIDE**2 * spectrum.mean() / np.mean(noise * spectrum)


def _mean(values: np.ndarray) -> Estimate:
    """Return the mean over runs with its interval of 95 %."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))
