import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper

from detectorkit import HoGSVMDetector, OnnxDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.networks import adopt_classifier
from detectorkit.saliency import AttentionRollout, GradCAM

SIZE = (16, 16)


def write(path, nodes, constants):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [value("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [value("logit", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    taken = NetworkInput(SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    content = adopt_classifier(model.SerializeToString(), taken, output="logit", generated_index=1)
    path.write_bytes(content)
    return OnnxDetector.from_file(path)


@pytest.fixture
def by_colour(tmp_path):
    """The score is the mean of red less that of green, of pixels or of a map of 4 x 4."""
    node = helper.make_node
    nodes = [
        node("AveragePool", ["images"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Relu", ["small"], ["layer"]),
        node("GlobalAveragePool", ["layer"], ["means"]),
        node("Flatten", ["means"], ["flat"]),
        node("MatMul", ["flat", "weights"], ["logit"]),
    ]
    weights = np.array([[1], [-1], [0]], np.float32)
    return write(tmp_path / "colour.onnx", nodes, {"weights": weights})


@pytest.fixture
def picture():
    """Red above left, green below right."""
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, :8, :8, 0] = 255
    image[0, 24:, 24:, 1] = 255
    return image


def test_the_map_lies_where_the_channels_are_that_speak_for_it(by_colour, picture):
    explainer = GradCAM(by_colour)
    assert explainer.layers()["network/layer"] == (3, 4, 4)
    found = explainer.transform(picture)[0]
    assert found.shape == (32, 32)
    assert found[:4, :4].min() > 0.9 * found.max() > 0
    assert not found[24:, 24:].any()
    signed = GradCAM(by_colour, layer="network/small", signed=True).transform(picture)[0]
    assert signed[28:, 28:].max() < 0
    assert_allclose(signed[:4, :4], -signed[28:, 28:], atol=1e-6)


def test_unknown_layers_are_answered_by_those_that_there_are(by_colour, picture):
    with pytest.raises(ValueError, match=r"layer='nothing'.*'network/layer'"):
        GradCAM(by_colour, layer="nothing").transform(picture)
    with pytest.raises(ValueError, match="has no attention"):
        AttentionRollout(by_colour).transform(picture)


def test_a_layer_of_hog_can_be_asked_for(picture):
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32), np.uint8)
    detector = HoGSVMDetector(image_size=(32, 32), pixels_per_cell=(8, 8)).fit(X, [0, 1] * 4)
    explainer = GradCAM(detector)
    cells = [name for name, shape in explainer.layers().items() if shape == (9, 4, 4)]
    assert GradCAM(detector, layer=cells[-1]).transform(picture).shape == (1, 32, 32)


def test_attention_is_followed_to_the_patch_that_it_looks_at(tmp_path, picture):
    node = helper.make_node
    n_tokens = 17  # one for the class, and 4 x 4 patches
    weights = np.full((n_tokens, n_tokens), -9, np.float32)
    weights[np.arange(n_tokens), np.arange(n_tokens)] = 0
    weights[0, 1 + 5] = 9  # the class token looks at the second patch of the second row
    nodes = [
        node("AveragePool", ["images"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["small", "patches"], ["rows"]),
        node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        node("Pad", ["tokens", "pads"], ["all"]),
        node("ReduceSum", ["all", "last"], ["sums"], keepdims=1),
        node("Mul", ["sums", "zero"], ["nothing"]),
        node("Unsqueeze", ["nothing", "heads"], ["head"]),
        node("Add", ["head", "weights"], ["logits"]),
        node("Softmax", ["logits"], ["attention"]),
        node("ReduceMean", ["attention"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "all"], ["mixed"]),
        node("ReduceMean", ["mixed"], ["logit"], axes=[1, 2], keepdims=0),
        node("Reshape", ["logit", "column"], ["score"]),
    ]
    nodes[-1].output[0] = "logit"
    nodes[-2].output[0] = "flat"
    nodes[-1].input[0] = "flat"
    constants = {
        "patches": np.array([0, 3, 16]),
        "pads": np.array([0, 1, 0, 0, 0, 0]),
        "last": np.array([2]),
        "zero": np.float32(0),
        "heads": np.array([1]),
        "weights": weights[np.newaxis, np.newaxis],
        "column": np.array([-1, 1]),
    }
    detector = write(tmp_path / "transformer.onnx", nodes, constants)
    found = AttentionRollout(detector).transform(picture)[0]
    assert np.unravel_index(found.argmax(), found.shape) in [
        (row, column) for row in range(8, 16) for column in range(8, 16)
    ]
    assert_allclose(found[12, 12], 0.5, atol=0.15)
    with pytest.raises(ValueError, match="Use AttentionRollout, or name a layer"):
        GradCAM(detector).transform(picture)
