import numpy as np
import pytest

from detectorkit.fingerprint import FingerprintEstimator, noise_residuals
from detectorkit.fingerprint.theory import reliability


def small(**parameters):
    return FingerprintEstimator(crop_size=(64, 64), random_state=0, **parameters)


def test_strength_is_the_mean_correlation_of_two_images(make):
    X = make("a", 16)
    residuals = noise_residuals(X).reshape(16, -1)
    pairs = np.corrcoef(residuals)[np.triu_indices(16, 1)]
    found = small().stability(X, np.repeat("a", 16))["a"]
    assert found.strength.value == pytest.approx(pairs.mean(), rel=1e-4)
    assert found.strength.low < found.strength.value < found.strength.high
    halves = np.mean(
        [
            np.corrcoef(residuals[order[:8]].mean(axis=0), residuals[order[8:]].mean(axis=0))[0, 1]
            for order in (np.random.default_rng(i).permutation(16) for i in range(50))
        ]
    )
    assert found.split_half.value == pytest.approx(halves, abs=0.01)


def test_curve_follows_spearman_and_brown(make):
    found = small().stability(make("a", 320), np.repeat("a", 320))["a"]
    assert list(found.curve) == [20, 40, 80, 160]
    for n, value in found.curve.items():
        assert value == pytest.approx(reliability(found.strength.value, n), abs=0.02)
    needed = found.n_images_needed(0.9)
    assert reliability(found.strength.value, needed.value) == pytest.approx(0.9)
    assert needed.low < needed.value < needed.high


def test_photographs_have_nothing_in_common(make):
    X, y = make.several({"a": 60, "real": 60})
    found = small().stability(X, y)
    assert found["real"].strength.low < 0 < found["real"].strength.high
    assert found["real"].n_images_needed().high == np.inf
    assert found["a"].strength.low > 0.005
    with pytest.raises(ValueError, match="'a' has 3 images; at least 4"):
        small().stability(X[:3], y[:3])
