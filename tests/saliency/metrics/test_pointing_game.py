import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit import HoGSVMDetector
from detectorkit.saliency.metrics.pointing_game import pointing_game
from detectorkit.saliency.occlusion import OcclusionSaliency


class Explainer:
    """What makes maps, of a function of one image."""

    def __init__(self, function):
        self.function = function

    def transform(self, X):
        return [self.function(X[index].astype(np.float32)[..., 0]) for index in range(len(X))]


def brightness(image):
    return image


DARK, BRIGHT = np.full((12, 20, 20, 3), 20, np.uint8), np.full((12, 20, 20, 3), 220, np.uint8)


def test_a_perfect_explainer_always_points_to_the_generated_half():
    found = pointing_game(Explainer(lambda image: image - 120), DARK, BRIGHT)
    assert found.hit_rate.value == 1
    assert found.hit_rate.low < 0.8
    assert found.hit_rate.high == 1
    assert found.mass_share > 0.99
    assert found.n == 12


def test_a_wrong_one_never_does():
    found = pointing_game(Explainer(lambda image: 120 - image), DARK, BRIGHT)
    assert found.hit_rate.value == 0
    assert found.mass_share < 0.01


def test_an_unsigned_map_of_nothing_gets_half_of_the_mass():
    assert pointing_game(Explainer(np.ones_like), DARK, BRIGHT).mass_share == 0.5
    assert pointing_game(Explainer(np.zeros_like), DARK, BRIGHT).mass_share == 0.5


def splices(X_real, X_generated, **parameters):
    seen = []

    class Recorder:
        def transform(self, X):
            seen.extend(X)
            return [np.ones(X[0].shape[:2], np.float32)]

    pointing_game(Recorder(), X_real, X_generated, **parameters)
    return seen


def test_halves_lie_on_all_sides_and_fade_into_each_other():
    seen = splices(np.repeat(DARK, 3, axis=0), np.repeat(BRIGHT, 3, axis=0))
    where = {tuple((one[..., 0] > 120)[[1, 1, -2, -2], [1, -2, 1, -2]].tolist()) for one in seen}
    assert len(where) == 4
    for one in seen:
        assert one.dtype == np.uint8
        assert (one > 120).mean() == 0.5
        steps = max(np.abs(np.diff(one[..., 0].astype(int), axis=axis)).max() for axis in (0, 1))
        assert steps <= 51


def test_the_seed_draws_the_sides():
    first, again, other = (splices(DARK, BRIGHT, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_splice_has_the_size_and_the_kind_of_the_real_image():
    real = [np.zeros((20, 30), np.float32), np.zeros((20, 31), np.uint8)]
    generated = [np.full((40, 50, 3), 255, np.uint8), np.ones((9, 9))]
    first, second = splices(real, generated)
    assert (first.shape, first.dtype) == ((20, 30, 3), np.float32)
    assert (second.shape, second.dtype) == ((20, 31), np.uint8)
    assert (first.min(), first.max()) == (0, 1)
    assert (second.min(), second.max()) == (0, 255)


def test_a_detector_of_a_texture_finds_it():
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (10, 32, 32), np.uint8)
    generated = np.repeat(random.integers(0, 256, (10, 32, 8), np.uint8), 4, axis=2)
    X, y = np.concatenate([real, generated]), np.repeat([0, 1], 10)
    detector = HoGSVMDetector(image_size=(32, 32)).fit(X, y)
    explainer = OcclusionSaliency(detector, window_shape=(8, 8), replacement="mean")
    found = pointing_game(explainer, real, generated)
    assert found.hit_rate.value >= 0.8
    assert found.mass_share > 0.6


def test_images_come_in_pairs():
    with pytest.raises(ValueError, match=r"12 real and 11 generated images\. Pass equally many"):
        pointing_game(Explainer(brightness), DARK, BRIGHT[:11])
    with pytest.raises(ValueError, match=r"pointing_game: random_state=0\.5 must be"):
        pointing_game(Explainer(brightness), DARK, BRIGHT, random_state=0.5)
