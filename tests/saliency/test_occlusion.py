from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from detectorkit import HoGSVMDetector
from detectorkit.exceptions import ImageReadError
from detectorkit.features import HoGTransformer
from detectorkit.images import Preprocessing, Treatment, resize_image
from detectorkit.images.sequence import check_images
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency._seen import explained_shape, read_as_given
from detectorkit.saliency.occlusion import OcclusionSaliency
from detectorkit.saliency.replacements import REPLACEMENTS, make_replacement

PATCH = np.s_[8:16, 12:20]


class Patch(ClassifierMixin, BaseEstimator):
    """The brighter a known place is, the more generated the image."""

    def __init__(self, sign=1):
        self.sign = sign

    def fit(self, *_):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X):
        return self.sign * X[:, *PATCH].reshape(len(X), -1).mean(axis=1, dtype=np.float64)


class Probable(ClassifierMixin, BaseEstimator):
    """The same, as a probability only."""

    def fit(self, *_):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        generated = Patch().decision_function(X) / 255
        return np.column_stack([1 - generated, generated])


class Mute(ClassifierMixin, BaseEstimator):
    def fit(self, *_):
        self.classes_ = np.array([0, 1])
        return self


class ThreeClasses(Mute):
    def decision_function(self, X):
        return np.zeros((len(X), 3))


def bright_patch(shape=(32, 40), *, channels=()):
    image = np.full((*shape, *channels), 50, np.uint8)
    image[PATCH] = 250
    return image


def explain(X, detector=None, **parameters):
    parameters = {"window_shape": (4, 4), "replacement": "mean"} | parameters
    return OcclusionSaliency(detector or Patch().fit(X), **parameters).transform(X)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_map_shows_what_the_score_depends_on_and_nothing_else(channels):
    (found,) = explain([bright_patch(channels=channels)], strides=(4, 4))
    assert found.dtype == np.float32
    assert found[PATCH].min() > 0
    assert np.count_nonzero(found) == 64


def test_without_overlap_the_map_of_a_mean_adds_up_to_the_difference_of_the_scores():
    image = np.random.default_rng(0).integers(0, 256, (32, 40), np.uint8)
    (found,) = explain([image], strides=(4, 4), replacement="blur")
    both = np.stack([image, make_replacement(image, "blur")])
    scores = Patch().decision_function(both)
    assert_allclose(found.sum() / 16, scores[0] - scores[1], rtol=1e-4)


def test_a_map_is_signed():
    X = [bright_patch()]
    assert_allclose(explain(X, Patch(sign=-1).fit(X)), -explain(X))


def test_a_pixel_gets_the_mean_over_the_windows_that_cover_it():
    image = np.array([[10, 20, 30, 40]], np.uint8)

    class Weighted(Mute):
        def decision_function(self, X):
            return X[:, 0] @ np.array([1.0, 10, 100, 1000])

    found = explain([image], Weighted().fit(None), window_shape=(1, 2), strides=(1, 1))
    # The mean is 25: windows change the score by -65, 450 and 15500.
    windows = np.array([-15 - 50, -50 + 500, 500 + 15000])
    expected = [windows[0], windows[:2].mean(), windows[1:].mean(), windows[2]]
    assert_allclose(found, [[expected]])


@pytest.mark.parametrize(
    ("window_shape", "strides"),
    [((5, 7), None), ((32, 40), (1, 1)), ((6, 9), (6, 9)), ((1, 1), None)],
)
def test_every_pixel_is_covered(window_shape, strides):
    class Sum(Mute):
        def decision_function(self, X):
            return X.sum(axis=(1, 2), dtype=np.float64)

    image = np.zeros((32, 40), np.uint8)
    image[::2] = 255  # of mean 127.5, which becomes 128: every window changes the sum
    parameters = {"window_shape": window_shape, "strides": strides}
    assert explain([image], Sum().fit(None), **parameters).all()


def test_batches_do_not_matter():
    X = [bright_patch()]
    assert_array_equal(explain(X, batch_size=1), explain(X, batch_size=1000))


def test_sizes_may_differ():
    X = [bright_patch(), bright_patch((33, 21)), bright_patch((20, 20))]
    maps = explain(X)
    assert [one.shape for one in maps] == [(32, 40), (33, 21), (20, 20)]
    assert_array_equal(maps[2], explain(X[2:])[0])


def test_probabilities_are_explained_on_the_scale_of_logits():
    X = [bright_patch()]
    (found,) = explain(X, Probable().fit(X), window_shape=(32, 40))
    other = make_replacement(X[0], "mean")
    before, after = Probable().predict_proba(np.stack([X[0], other]))[:, 1]
    expected = np.log(before / (1 - before)) - np.log(after / (1 - after))
    assert_allclose(found, np.full((32, 40), expected), rtol=1e-5)
    white = np.full((32, 40), 255, np.uint8)  # of which the probability is 1
    assert np.isfinite(explain([white], Probable().fit(X))).all()


def test_a_pipeline_of_scikit_learn_gets_what_it_was_fitted_on():
    random = np.random.default_rng(0)
    X = random.random((20, 8, 8)).astype(np.float32)
    y = np.arange(20) % 2
    X[y == 1, 2:4, 2:4] = 1
    flat = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    detector = make_pipeline(flat, LogisticRegression(C=100)).fit(X, y)
    maps = explain(X, detector, window_shape=(1, 1))
    (rest,) = detector[-1].coef_.reshape(1, 8, 8)
    # Pixels are rounded to 8 bits in the replacement only.
    mean = np.rint(X.mean(axis=(1, 2), keepdims=True) * 255) / 255
    assert_allclose(maps, rest * (X - mean), atol=0.02 * np.abs(rest).max())


def test_any_detector_of_the_library(tmp_path):
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (8, 24, 32, 3), np.uint8)
    detector = HoGSVMDetector(image_size=(16, 16)).fit(X, [0, 1] * 4)
    maps = explain(X[:2], detector, window_shape=(8, 8))
    assert maps.shape == (2, 24, 32)
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), X[0, ..., ::-1])
    assert_array_equal(explain([path], detector, window_shape=(8, 8))[0], maps[0])


def test_a_pipeline_of_features():
    X = np.random.default_rng(0).integers(0, 256, (8, 24, 32), np.uint8)
    detector = make_pipeline(HoGTransformer(image_size=(16, 16)), LogisticRegression())
    detector.fit(X, [0, 1] * 4)
    assert explain(X[:1], detector, window_shape=(8, 8)).any()


def test_it_can_be_cloned():
    copy = clone(OcclusionSaliency(Patch().fit(None), strides=(3, 2), replacement="jpeg"))
    assert copy.strides == (3, 2)
    assert copy.replacement == "jpeg"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window_shape": (33, 4)}, r"window_shape=\(33, 4\) .* image 0 has the shape \(32, 40\)"),
        ({"window_shape": 4}, "window_shape=4 must be a pair"),
        ({"strides": (5, 4)}, r"strides=\(5, 4\) must be no larger than window_shape=\(4, 4\)"),
        ({"strides": (0, 4)}, r"strides=\(0, 4\) must be a pair"),
        ({"replacement": "noise"}, "replacement='noise' must be one of 'blur', 'patch'"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match="OcclusionSaliency: " + message):
        explain([bright_patch()], **parameters)


def test_what_gives_no_score_is_refused():
    X = [bright_patch()]
    with pytest.raises(TypeError, match="Mute has neither decision_function nor predict_proba"):
        explain(X, Mute().fit(X))
    with pytest.raises(ValueError, match=r"ThreeClasses: .* Pass a binary classifier"):
        explain(X, ThreeClasses().fit(X))


@pytest.mark.parametrize("X", [["a", "b"], np.array(["a", "b"])])
def test_words_are_names_of_files(X):
    with pytest.raises(ImageReadError, match="Cannot read image 0, a"):
        explain(X, Patch().fit([bright_patch()]))


@pytest.mark.parametrize("replacement", sorted(REPLACEMENTS))
@pytest.mark.parametrize("shape", [(33, 20), (33, 20, 3), (1, 1), (2, 5, 3)])
def test_replacements_have_the_form_of_the_image(replacement, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = image.copy()
    other = REPLACEMENTS[replacement](image)
    assert other.shape == shape
    assert other.dtype == np.uint8
    assert_array_equal(image, before)
    assert_array_equal(REPLACEMENTS[replacement](image), other)
    floats = image.astype(np.float32) / 255
    assert_array_equal(make_replacement(floats, replacement), other.astype(np.float32) / 255)


@pytest.mark.parametrize("replacement", sorted(REPLACEMENTS))
def test_replacements_leave_a_plain_image_as_it_is(replacement):
    image = np.full((40, 30), 128, np.uint8)
    assert_array_equal(REPLACEMENTS[replacement](image), image)


def test_replacements_differ_in_the_texture_that_they_leave():
    image = np.random.default_rng(0).integers(60, 196, (64, 64, 3), np.uint8)
    contrast = {name: make(image).std(axis=(0, 1)).mean() for name, make in REPLACEMENTS.items()}
    texture = {name: value / image.std() for name, value in contrast.items()}
    assert texture["mean"] == 0
    assert texture["blur"] < 0.1
    assert 0.1 < texture["jpeg"] < 0.8
    assert 0.9 < texture["patch"] < 1.1


def test_a_moved_copy_has_no_edge_where_borders_meet():
    image = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (32, 1))  # dark left, bright right
    moved = REPLACEMENTS["patch"](image).astype(int)
    assert np.abs(np.diff(moved, axis=1)).max() < 50
    assert_array_equal(moved[:, :64], image[:, 64:])


@pytest.mark.parametrize(
    ("image", "shape", "dtype"),
    [
        (np.zeros((4, 5, 1), np.uint8), (4, 5), np.uint8),
        (np.zeros((4, 5, 4), np.uint8), (4, 5, 3), np.uint8),
        (np.zeros((4, 5, 3)), (4, 5, 3), np.float32),
    ],
)
def test_images_are_read_as_they_came(image, shape, dtype):
    found = read_as_given(check_images([image]), 0)
    assert found.shape == shape
    assert found.dtype == dtype


# Treatment and large images


@pytest.mark.parametrize("kind", ["aligned", "crop"])
def test_windows_are_replaced_in_the_treated_image(upsampled, kind):
    """The map is that of the treated copy, at its place in the image."""
    X, y = upsampled.data[:40], upsampled.target[:40]
    treatment = Treatment(kind, 32, 90)
    treating = HoGSVMDetector(image_size=(32, 32), treatment=treatment).fit(X, y)
    plain = deepcopy(treating)
    plain._fitted["treatment"] = None
    image = cv2.resize(X[0], (60, 40))
    found = explain([image], treating)[0]
    window = treatment.window((40, 60))
    expected = explain([treatment.apply(image, "gray")], plain)[0]
    side = 40 if kind == "aligned" else 32
    assert_allclose(found[window], cv2.resize(expected, (side, side)), rtol=1e-4, atol=1e-6)
    found[window] = 0
    assert not found.any()
    gradient = GradientSaliency(treating).transform([image])[0]
    assert gradient[window].any()
    gradient[window] = 0
    assert not gradient.any()


def test_a_large_image_is_shrunk_to_what_the_detector_takes(fitted, upsampled):
    image = cv2.resize(upsampled.data[0], (700, 600), interpolation=cv2.INTER_CUBIC)
    found = explain([image], fitted, window_shape=None)[0]
    assert found.shape == (600, 700)
    expected = explain([resize_image(image, (128, 128))], fitted, window_shape=None)[0]
    assert_array_equal(found, cv2.resize(expected, (700, 600)))
    record = replace(fitted.record_, preprocessing=Preprocessing(None, "rgb"), features=[])
    assert explained_shape(record, (512, 512)) == (512, 512)
    height, width = explained_shape(record, (3000, 4000))
    assert 0.99 * 2**18 < height * width <= 2**18
    one_size = replace(record, features=[{"name": "hog"}])  # images of no other size have a score
    assert explained_shape(one_size, (3000, 4000)) == (3000, 4000)
