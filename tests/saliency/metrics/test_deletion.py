import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin

from detectorkit import HoGSVMDetector
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency.metrics.deletion import deletion_insertion

RANDOM = np.random.default_rng(0)


PATCH = np.s_[4:8, 6:10]


class Patch(ClassifierMixin, BaseEstimator):
    """Generated, where a known place is brighter than mid-grey."""

    def fit(self, *_):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X):
        levels = X[:, *PATCH].reshape(len(X), -1).mean(axis=1, dtype=np.float64)
        return (levels - 127.5) / 20


def with_patch(level, rest=127, shape=(16, 16)):
    image = np.full(shape, rest, np.uint8)
    image[PATCH] = level
    return image


def right_map(shape=(16, 16)):
    found = np.zeros(shape, np.float32)
    found[PATCH] = 1
    return found


def textures(n, shape=(16, 16)):
    return np.random.default_rng(2).integers(0, 256, (n, *shape), np.uint8)


@pytest.mark.parametrize("level", [250, 10])
@pytest.mark.parametrize("replacement", ["blur", "patch", "jpeg", "mean"])
def test_a_right_map_is_more_faithful_than_a_random_one(level, replacement):
    X = [with_patch(level)]
    detector = Patch().fit(X)
    wrong = RANDOM.random((16, 16)).astype(np.float32)
    right = deletion_insertion(detector, X, [right_map()], replacement=replacement)
    other = deletion_insertion(detector, X, [wrong], replacement=replacement)
    # A blurred or a compressed patch is still bright, so these take less of the evidence.
    margin = 0.05 if replacement in {"mean", "patch"} else 0
    assert right.deletion < other.deletion - margin
    assert right.insertion > other.insertion + margin


def test_curves_lead_from_the_image_to_its_replacement_and_back():
    X = [with_patch(250), with_patch(10, shape=(20, 18))]
    detector = Patch().fit(X)
    maps = [right_map(), right_map((20, 18))]
    found = deletion_insertion(detector, X, maps, replacement="mean", n_steps=16, batch_size=3)
    assert found.deletion_curves.shape == (2, 17)
    assert_allclose(found.deletion_curves[:, 0], found.insertion_curves[:, -1])
    assert_allclose(found.deletion_curves[:, -1], found.insertion_curves[:, 0])
    assert found.deletion_curves[:, 0].min() > 0.99  # the verdicts, generated and real, are sure
    # A sixteenth of the first image is the patch, so one step takes it away.
    assert_allclose(found.deletion_curves[0, 1:], found.deletion_curves[0, -1])
    assert_allclose(found.deletion, np.trapezoid(found.deletion_curves, dx=1 / 16))


def test_of_a_signed_map_evidence_for_the_verdict_goes_first():
    X = [with_patch(250), with_patch(10)]
    signed = np.stack([right_map(), -right_map()])
    reverse = -signed
    detector = Patch().fit(X)
    right, wrong = (
        deletion_insertion(detector, X, maps, replacement="mean") for maps in (signed, reverse)
    )
    assert (right.deletion < wrong.deletion - 0.2).all()
    assert (right.insertion > wrong.insertion + 0.2).all()


def test_the_threshold_of_the_detector_gives_the_verdict():
    X = [with_patch(150)]
    detector = Patch().fit(X)
    signed = [right_map() - 0.5]
    generated = deletion_insertion(detector, X, signed)
    detector.threshold_ = 10.0
    real = deletion_insertion(detector, X, signed)
    assert_allclose(real.deletion_curves[0, 0], 1 - generated.deletion_curves[0, 0])
    assert_array_equal(real.deletion_curves[0, 1:10], real.deletion_curves[0, 0])


def test_probabilities_are_those_of_the_detector():
    X = textures(8)
    detector = HoGSVMDetector(image_size=(16, 16)).fit(X, [0, 1] * 4)
    maps = GradientSaliency(detector).transform(X)
    found = deletion_insertion(detector, X, maps, n_steps=2)
    generated = detector.predict_proba(X)[:, 1]
    expected = np.where(detector.predict(X) == 1, generated, 1 - generated)
    assert_allclose(found.deletion_curves[:, 0], expected)


@pytest.mark.parametrize(
    ("maps", "parameters", "message"),
    [
        ([], {}, "there are 0 maps for 1 images"),
        ([right_map((8, 16))], {}, r"map 0 has shape \(8, 16\), its image \(16, 16\)"),
        ([right_map() * np.nan], {}, "map 0 has values that are not finite"),
        ([right_map() * 1j], {}, "map 0 has values that are not finite"),
        ([right_map().astype(str)], {}, "map 0 has values that are not finite"),
        (
            np.ma.masked_array([right_map()], mask=True),
            {},
            "map 0 has values that are not finite",
        ),
        ([right_map()], {"n_steps": 0}, "n_steps=0 must be a whole number of at least 1"),
        ([right_map()], {"batch_size": 1.5}, "batch_size=1.5 must be a whole number"),
        ([right_map()], {"replacement": "grey"}, "replacement='grey' must be one of 'blur'"),
    ],
)
def test_wrong_arguments_of_deletion_are_named(maps, parameters, message):
    X = [with_patch(250)]
    with pytest.raises(ValueError, match="deletion_insertion: " + message):
        deletion_insertion(Patch().fit(X), X, maps, **parameters)
