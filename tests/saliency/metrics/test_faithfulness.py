import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import numpy_helper
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from detectorkit import HoGSVMDetector, ModelFileError, OnnxDetector
from detectorkit.features import HoGTransformer
from detectorkit.graph.inputs import NetworkInput
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency.metrics.deletion import deletion_insertion
from detectorkit.saliency.metrics.pointing_game import pointing_game
from detectorkit.saliency.metrics.randomization import randomization_check
from detectorkit.saliency.metrics.sensitivity import max_sensitivity
from detectorkit.saliency.occlusion import OcclusionSaliency

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


def with_patch(level, rest=127, shape=(16, 16)):
    image = np.full(shape, rest, np.uint8)
    image[PATCH] = level
    return image


def right_map(shape=(16, 16)):
    found = np.zeros(shape, np.float32)
    found[PATCH] = 1
    return found


@pytest.fixture
def network():
    """A tiny network, of one convolution and two matrices."""
    graph = onnx.parser.parse_graph("""
        network (float[n, 1, 16, 16] images) => (float[n, 1] logit) {
            filtered = Conv <pads = [1, 1, 1, 1]> (images, kernels)
            positive = Relu (filtered)
            pooled = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (positive)
            flat = Flatten (pooled)
            hidden = MatMul (flat, hidden_weights)
            active = Relu (hidden)
            logit = MatMul (active, last_weights)
        }""")
    random = np.random.default_rng(1)
    shapes = {"kernels": (8, 1, 3, 3), "hidden_weights": (128, 72), "last_weights": (72, 1)}
    for name, shape in shapes.items():
        value = random.normal(size=shape, scale=shape[0] ** -0.5).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(value, name))
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    prepared = NetworkInput((16, 16), mean=(0.5,), std=(0.25,), color_space="gray")
    return OnnxDetector(model.SerializeToString(), preprocessing=prepared).fit(textures(1))


def textures(n, shape=(16, 16)):
    return np.random.default_rng(2).integers(0, 256, (n, *shape), np.uint8)


# Deletion and insertion


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
        ([], {}, "there are 0 maps of 1 images"),
        ([right_map((8, 16))], {}, r"map 0 has the shape \(8, 16\), its image \(16, 16\)"),
        ([right_map()], {"n_steps": 0}, "n_steps=0 must be a whole number of at least 1"),
        ([right_map()], {"batch_size": 1.5}, "batch_size=1.5 must be a whole number"),
        ([right_map()], {"replacement": "grey"}, "replacement='grey' must be one of 'blur'"),
    ],
)
def test_wrong_arguments_of_deletion_are_named(maps, parameters, message):
    X = [with_patch(250)]
    with pytest.raises(ValueError, match="deletion_insertion: " + message):
        deletion_insertion(Patch().fit(X), X, maps, **parameters)


# Sensitivity


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


# Randomisation


def test_a_gradient_depends_on_the_weights(network):
    found = randomization_check(network, GradientSaliency, textures(3))
    assert_array_equal(found.n_tensors, [1, 2, 3])
    assert found.correlation.shape == (3, 3)
    assert np.abs(found.correlation[-1]).max() < 0.5
    assert (found.correlation < 0.95).all()


def test_what_shows_the_image_only_does_not(network):
    found = randomization_check(network, lambda _: OfGray(brightness), textures(2))
    assert_allclose(found.correlation, 1)


def test_weights_are_permuted_from_the_last_to_the_first(network):
    seen = []

    def make_explainer(detector):
        model = onnx.load_model_from_string(detector.onnx_model_)
        seen.append({t.name: numpy_helper.to_array(t) for t in model.graph.initializer})
        return OfGray(brightness)

    randomization_check(network, make_explainer, textures(1))
    original, *stages = seen
    changed = [
        {name for name in original if not np.array_equal(original[name], stage[name])}
        for stage in stages
    ]
    assert [len(names) for names in changed] == [1, 2, 3]
    assert {name[-12:] for name in changed[0]} == {"last_weights"}
    assert changed[0] < changed[1] < changed[2]
    for name in changed[2]:
        assert_array_equal(np.sort(original[name], axis=None), np.sort(stages[2][name], axis=None))


def test_a_detector_keeps_its_record(network):
    network.threshold_ = 0.25
    records = []

    def make_explainer(detector):
        records.append(detector.record_.preprocessing)
        return OfGray(brightness)

    randomization_check(network, make_explainer, textures(1))
    assert set(records) == {network.record_.preprocessing}


def test_a_linear_machine_has_one_stage():
    X = textures(8, (32, 32))
    detector = HoGSVMDetector(image_size=(32, 32)).fit(X, [0, 1] * 4)

    def make_explainer(detector):
        return OcclusionSaliency(detector, window_shape=(8, 8))

    found = randomization_check(detector, make_explainer, X[:2])
    assert found.correlation.shape == (1, 2)
    assert found.correlation.max() < 0.9


def test_maps_that_rank_nothing_correlate_with_nothing(network):
    found = randomization_check(network, lambda _: OfGray(np.ones_like), textures(1))
    assert_array_equal(found.correlation, 0)


def test_what_has_no_weights_is_refused():
    X = textures(4, (32, 32))
    pipeline = make_pipeline(HoGTransformer(), LogisticRegression()).fit(X, [0, 1] * 2)
    with pytest.raises(ModelFileError, match="Pipeline is no graph"):
        randomization_check(pipeline, OcclusionSaliency, X)
    small = HoGSVMDetector(image_size=(16, 16)).fit(X, [0, 1] * 2)  # of 36 weights
    with pytest.raises(ModelFileError, match="HoGSVMDetector has no floating-point weights"):
        randomization_check(small, GradientSaliency, X)
    with pytest.raises(ValueError, match="random_state=None must be"):
        randomization_check(small, GradientSaliency, X, random_state=None)


# Splices

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
    with pytest.raises(ValueError, match=r"12 real and 11 generated images\. Pass as many of each"):
        pointing_game(Explainer(brightness), DARK, BRIGHT[:11])
    with pytest.raises(ValueError, match=r"pointing_game: random_state=0\.5 must be"):
        pointing_game(Explainer(brightness), DARK, BRIGHT, random_state=0.5)
