import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from detectorkit import HoGSVMDetector, ModelFileError, OnnxDetector
from detectorkit.features import HoGTransformer
from detectorkit.graph.inputs import NetworkInput
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency.metrics.randomization import randomization_check
from detectorkit.saliency.occlusion import OcclusionSaliency


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
    return OnnxDetector(model.SerializeToString(), network_input=prepared).fit(textures(1))


def textures(n, shape=(16, 16)):
    return np.random.default_rng(2).integers(0, 256, (n, *shape), np.uint8)


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
    with pytest.raises(ModelFileError, match="Pipeline is not a graph"):
        randomization_check(pipeline, OcclusionSaliency, X)
    small = HoGSVMDetector(image_size=(16, 16)).fit(X, [0, 1] * 2)  # of 36 weights
    with pytest.raises(ModelFileError, match="HoGSVMDetector has no floating-point weights"):
        randomization_check(small, GradientSaliency, X)
    with pytest.raises(ValueError, match="random_state=-1 must be"):
        randomization_check(small, GradientSaliency, X, random_state=-1)
