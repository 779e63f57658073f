import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression

from detectorkit import HoGSVMDetector, ModelFileError, OnnxDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.networks import adopt_classifier
from detectorkit.saliency import (
    DeepFeatureFactorization,
    GradCAM,
    GradientSaliency,
    IntegratedGradients,
    OcclusionSaliency,
    SmoothGrad,
)

SIZE = (12, 16)
CLASSES = [GradientSaliency, IntegratedGradients, SmoothGrad]


def write_detector(path, weights, *, squared=False, n_crops=None):
    """A detector whose score is a weighted sum of the pixels, or of their squares."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Mul", ["images", "images" if squared else "one"], ["terms"]),
        helper.make_node("Mul", ["terms", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["logit"], keepdims=0),
    ]
    constants = {
        "weights": weights.transpose(2, 0, 1).astype(np.float32),
        "one": np.float32(1),
        "axes": np.array([1, 2, 3]),
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [value("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [value("logit", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    taken = NetworkInput(SIZE, mean=(0, 0, 0), std=(1, 1, 1), n_crops=n_crops)
    content = adopt_classifier(model.SerializeToString(), taken, output="logit", generated_index=1)
    path.write_bytes(content)
    return OnnxDetector.from_file(path)


def write_network(path, dtype, batch):
    """A network of one convolution, in some precision, for one image at a time or many."""
    random = np.random.default_rng(0)
    value = helper.make_tensor_value_info
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Conv", ["images", "kernels"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"]),
        helper.make_node("Reshape", ["means", "shape"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["logit"]),
    ]
    constants = {
        "kernels": random.normal(size=(4, 3, 3, 3)).astype(dtype),
        "weights": random.normal(size=(4, 1)).astype(dtype),
        "shape": np.array([batch if isinstance(batch, int) else -1, 4]),
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [value("images", kind, [batch, 3, *SIZE])],
        [value("logit", kind, [batch, 1])],
        [numpy_helper.from_array(one, name) for name, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return OnnxDetector.from_file(path, network_input=NetworkInput(SIZE), output="logit")


OTHERS = [GradientSaliency, IntegratedGradients, SmoothGrad, GradCAM]


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize(("dtype", "batch"), [(np.float16, "n"), (np.float32, 1), (np.float16, 1)])
def test_networks_that_are_scored_are_explained(make, dtype, batch, tmp_path, pictures):
    usual = write_network(tmp_path / "usual.onnx", np.float32, "n")
    other = write_network(tmp_path / "other.onnx", dtype, batch)
    score = usual.decision_function(pictures)
    assert_allclose(other.decision_function(pictures), score, atol=0.01)
    expected, found = (make(detector).transform(pictures) for detector in (usual, other))
    assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_layers_of_half_precision_are_factorized_in_single_precision(tmp_path, pictures):
    detector = write_network(tmp_path / "half.onnx", np.float16, 1)
    factorization = DeepFeatureFactorization(detector, n_concepts=2, random_state=0)
    maps = factorization.fit(pictures).transform(pictures)
    assert np.asarray(maps).dtype == np.float32
    assert np.isfinite(maps).all()


@pytest.fixture
def weights():
    return np.random.default_rng(0).normal(size=(*SIZE, 3))


@pytest.fixture
def linear(weights, tmp_path):
    return write_detector(tmp_path / "linear.onnx", weights)


@pytest.fixture
def pictures():
    return np.random.default_rng(1).integers(0, 256, (3, *SIZE, 3), np.uint8)


@pytest.mark.parametrize("method", [GradientSaliency, OcclusionSaliency])
def test_a_map_decodes_its_file_once(linear, tmp_path, monkeypatch, method):
    path, decoded, decode = str(tmp_path / "a.jpg"), [], cv2.imdecode
    cv2.imwrite(path, np.zeros((40, 60, 3), np.uint8))

    def count(*arguments):
        decoded.append(path)
        return decode(*arguments)

    monkeypatch.setattr(cv2, "imdecode", count)
    assert method(linear).transform([path]).shape == (1, 40, 60)
    assert decoded == [path]


def test_the_gradient_of_a_weighted_sum_is_its_weights(linear, weights, pictures):
    explainer = GradientSaliency(linear)
    found = explainer.gradient(pictures)
    assert found.dtype == np.float32
    assert_allclose(found, [weights] * 3, rtol=1e-4, atol=1e-5)
    assert_allclose(explainer.transform(pictures), [np.abs(weights).max(axis=2)] * 3, rtol=1e-4)
    signed = GradientSaliency(linear, times_input=True).fit().transform(pictures)
    assert_allclose(signed.sum(axis=(1, 2)), linear.decision_function(pictures), rtol=1e-3)


def test_the_gradient_of_the_loss_is_that_of_the_score_times_the_error(linear, pictures):
    explainer = GradientSaliency(linear)
    scores = linear.decision_function(pictures)
    y = np.array([0, 1, 0])
    error = 1 / (1 + np.exp(-scores)) - y
    expected = explainer.gradient(pictures) * error[:, None, None, None]
    assert_allclose(explainer.gradient(pictures, y, of="loss"), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="needs the labels y"):
        explainer.gradient(pictures, of="loss")
    with pytest.raises(ValueError, match=r"y has the labels \[2\]"):
        explainer.gradient(pictures, [0, 1, 2], of="loss")
    with pytest.raises(ValueError, match="of='logit' must be"):
        explainer.gradient(pictures, of="logit")


@pytest.mark.parametrize("baseline", ["blur", "black", "mean"])
def test_integrated_gradients_add_up_to_the_score(tmp_path, weights, pictures, baseline):
    detector = write_detector(tmp_path / "squares.onnx", weights, squared=True)
    explainer = IntegratedGradients(detector, baseline=baseline, n_steps=4)
    assert explainer.completeness_error(pictures).max() < 1e-3
    if baseline == "black":
        found = explainer.transform(pictures).sum(axis=(1, 2))
        assert_allclose(found, detector.decision_function(pictures), rtol=1e-3, atol=1e-3)


def test_too_few_steps_are_told(pictures):
    detector = HoGSVMDetector(image_size=(16, 16), pixels_per_cell=(4, 4))
    detector.fit(np.random.default_rng(0).integers(0, 256, (8, 16, 16), np.uint8), [0, 1] * 4)
    with pytest.warns(ConvergenceWarning, match="Use more than n_steps=1"):
        IntegratedGradients(detector, n_steps=1).transform(pictures[:1])


def test_noise_is_averaged_out_and_repeatable(linear, weights, pictures, tmp_path):
    found = SmoothGrad(linear, n_samples=3).transform(pictures)
    assert_allclose(found, [np.abs(weights).max(axis=2)] * 3, rtol=1e-4)
    detector = write_detector(tmp_path / "squares.onnx", weights, squared=True)
    plain = GradientSaliency(detector).transform(pictures)
    few, many = (
        np.abs(SmoothGrad(detector, n_samples=n).transform(pictures) - plain).mean()
        for n in (2, 60)
    )
    assert many < few
    again = SmoothGrad(detector, n_samples=2)
    assert_array_equal(again.transform(pictures), again.transform(pictures))
    assert_array_equal(again.transform(pictures)[:1], again.transform(pictures[:1]))
    other = SmoothGrad(detector, n_samples=2, random_state=1).transform(pictures)
    assert not np.array_equal(other, again.transform(pictures))


@pytest.mark.parametrize("kind", CLASSES)
def test_maps_have_the_shapes_of_the_images(kind, linear, tmp_path):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in [(30, 20), (7, 9)]]
    maps = kind(linear).transform(images)
    assert isinstance(maps, list)
    assert [one.shape for one in maps] == [(30, 20), (7, 9)]
    assert all(one.dtype == np.float32 and np.isfinite(one).all() for one in maps)

    path = tmp_path / "image.png"
    cv2.imwrite(str(path), images[0][..., ::-1])
    assert_array_equal(kind(linear).transform([path])[0], maps[0])


def test_crops_lie_where_they_were_cut(tmp_path, weights):
    detector = write_detector(tmp_path / "crops.onnx", weights, n_crops=4)
    image = np.random.default_rng(0).integers(0, 256, (1, 2 * SIZE[0], 2 * SIZE[1], 3), np.uint8)
    found = GradientSaliency(detector).transform(image)[0]
    assert_allclose(found, np.tile(np.abs(weights).max(axis=2), (2, 2)), rtol=1e-4)
    overlapping = GradientSaliency(detector).transform(image[:, : SIZE[0] + 4, : SIZE[1] + 4])[0]
    assert overlapping.shape == (SIZE[0] + 4, SIZE[1] + 4)


@pytest.mark.parametrize("kind", CLASSES)
def test_what_cannot_be_explained_is_told(kind, pictures):
    with pytest.raises(NotFittedError):
        kind(HoGSVMDetector()).transform(pictures)
    fitted = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(
        ModelFileError, match=r"LogisticRegression is not a graph.*OcclusionSaliency"
    ):
        kind(fitted).transform(pictures)


@pytest.mark.parametrize(
    ("explainer", "message"),
    [
        (lambda d: SmoothGrad(d, n_samples=0), "n_samples"),
        (lambda d: SmoothGrad(d, noise_level=0), "noise_level"),
        (lambda d: IntegratedGradients(d, n_steps=0), "n_steps"),
        (lambda d: IntegratedGradients(d, baseline="white"), "baseline"),
    ],
)
def test_wrong_parameters_are_named(explainer, message, linear, pictures):
    with pytest.raises(ValueError, match=message):
        explainer(linear).transform(pictures)
