import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit.saliency.metrics.sensitivity import max_sensitivity


class Explainer:
    """What makes maps, of a function of one image."""

    def __init__(self, function):
        self.function = function

    def transform(self, X):
        return [self.function(X[index].astype(np.float32)[..., 0]) for index in range(len(X))]


class OfGray(Explainer):
    def transform(self, X):
        return [self.function(np.asarray(image, np.float32)) for image in X]


def brightness(image):
    return image


def textures(n, shape=(16, 16)):
    return np.random.default_rng(2).integers(0, 256, (n, *shape), np.uint8)


def test_a_constant_map_is_not_sensitive():
    constant = OfGray(np.ones_like)
    assert_array_equal(max_sensitivity(constant, textures(3)), 0)


def test_sensitivity_of_the_image_itself_is_that_of_the_noise():
    X = np.full((2, 16, 16), 0.5, np.float32)
    found = max_sensitivity(OfGray(brightness), X, radius=0.1, n_samples=5)
    # Uniform noise from -0.1 to 0.1 has a standard deviation of 0.0577, and the image is 0.5.
    assert_allclose(found, 0.0577 / 0.5, rtol=0.15)
    twice = max_sensitivity(OfGray(brightness), X, radius=0.2, n_samples=5)
    assert_allclose(twice, 2 * found, rtol=1e-4)


def test_noise_depends_on_the_position_and_the_seed_only():
    X, explainer = textures(3), OfGray(brightness)
    whole = max_sensitivity(explainer, X)
    assert_array_equal(max_sensitivity(explainer, list(X[:2])), whole[:2])
    assert (max_sensitivity(explainer, X, random_state=1) != whole).all()


def test_the_largest_change_counts():
    X, explainer = textures(3), OfGray(brightness)
    few, many = (max_sensitivity(explainer, X, n_samples=n) for n in (1, 20))
    assert (few <= many).all()


def test_a_map_of_nothing_has_no_sensitivity():
    assert np.isnan(max_sensitivity(OfGray(np.zeros_like), textures(1))).all()


@pytest.mark.parametrize(
    ("name", "value"), [("radius", 0), ("radius", 1), ("n_samples", 0), ("random_state", -1)]
)
def test_wrong_arguments_of_sensitivity_are_named(name, value):
    with pytest.raises(ValueError, match=f"max_sensitivity: {name}={value} must be"):
        max_sensitivity(OfGray(brightness), textures(1), **{name: value})
