"""Small backbones, made without torch, and an empty place for them."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from detectorkit.graph.builder import GraphBuilder
from detectorkit.graph.inputs import NetworkInput

SIZE = (8, 8)
N_FEATURES = 6


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    place = tmp_path / "home"
    monkeypatch.setenv("DETECTORKIT_HOME", str(place))
    return place


@pytest.fixture
def taken():
    return NetworkInput(SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


@pytest.fixture
def tiny():
    """A dense layer and tanh, from scaled pixels to features."""
    return make_backbone()


@pytest.fixture
def mixing():
    """Features that depend on the other images of a run, as those of dynamic quantisation do."""
    return make_backbone(mixes=True)


def make_backbone(*, mixes=False):
    n_pixels = 3 * SIZE[0] * SIZE[1]
    weights = np.random.default_rng(0).normal(size=(n_pixels, N_FEATURES)) / 10
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
        helper.make_node("Tanh", ["product"], ["features"]),
    ]
    if mixes:
        nodes[2:] = [
            helper.make_node("Abs", ["product"], ["sizes"]),
            helper.make_node("ReduceMax", ["sizes"], ["largest"], keepdims=0),
            helper.make_node("Div", ["product", "largest"], ["features"]),
        ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [value("features", TensorProto.FLOAT, ["n", N_FEATURES])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test"
    )


WIDTH, DEPTH, PATCH = 32, 3, 4


@pytest.fixture(scope="session")
def vit():
    """A vision transformer of three blocks with a class token and, at its end, a projection."""
    return make_vit()


@pytest.fixture(scope="session")
def vit_stream():
    """The tokens of `vit` after each block, from scaled images, in numpy."""
    return compute_stream


@pytest.fixture(scope="session")
def vit_without_token():
    return make_vit(has_token=False)


def vit_weights():
    random = np.random.default_rng(0)

    def draw(*shape):
        return (random.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    blocks = [
        {
            **{name: draw(WIDTH, WIDTH) for name in ("query", "key", "value", "out")},
            "wide": draw(WIDTH, 2 * WIDTH),
            "narrow": draw(2 * WIDTH, WIDTH),
        }
        for _ in range(DEPTH)
    ]
    return {
        "patch": draw(WIDTH, 3, PATCH, PATCH),
        "token": draw(1, 1, WIDTH),
        "position": draw(1, 5, WIDTH),
        "projection": draw(WIDTH, N_FEATURES),
        "blocks": blocks,
    }


def make_vit(*, has_token=True):
    weights, graph = vit_weights(), GraphBuilder()
    ones, zeros = (graph.constant(np.full(WIDTH, one, np.float32)) for one in (1, 0))

    def multiply(tensor, matrix, name):
        return graph.add("MatMul", tensor, graph.constant(matrix), name=name)

    def add(tensor, value):
        return graph.add("Add", tensor, graph.constant(np.float32(value)))

    patches = graph.add("Conv", "images", graph.constant(weights["patch"]), strides=[PATCH, PATCH])
    shape = graph.constant(np.array([0, WIDTH, -1]))
    x = graph.add("Transpose", graph.add("Reshape", patches, shape), perm=[0, 2, 1])
    if has_token:
        n = graph.add(
            "Slice", graph.add("Shape", x), *(graph.constant(np.array([k])) for k in (0, 1))
        )
        copies = graph.add("Concat", n, graph.constant(np.array([1, 1])), axis=0)
        token = graph.add("Expand", graph.constant(weights["token"]), copies)
        x = graph.add("Concat", token, x, axis=1)
    x = graph.add("Add", x, graph.constant(weights["position"][:, int(not has_token) :]))
    for number, block in enumerate(weights["blocks"], 1):
        y = graph.add("LayerNormalization", x, ones, zeros)
        q, k, v = (
            multiply(y, block[name], f"{name}{number}") for name in ("query", "key", "value")
        )
        product = graph.add("MatMul", q, graph.add("Transpose", k, perm=[0, 2, 1]))
        attention = graph.add("Softmax", product, axis=-1)
        y = multiply(graph.add("MatMul", attention, v), block["out"], f"out{number}")
        x = graph.add("Add", x, add(y, 0.1))  # a bias is not a block
        y = multiply(
            graph.add("LayerNormalization", x, ones, zeros), block["wide"], f"wide{number}"
        )
        y = graph.add("Mul", y, graph.add("Sigmoid", y))
        x = graph.add(
            "Add", multiply(y, block["narrow"], f"narrow{number}"), x, name=f"block{number}"
        )
    first = graph.add("Gather", x, graph.constant(np.array(0)), axis=1)
    multiply(first, weights["projection"], "output")
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes,
        "vit",
        [value("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [value("output", TensorProto.FLOAT, ["n", N_FEATURES])],
        graph.constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compute_stream(images):
    weights = vit_weights()

    def normalize(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    tiles = images.reshape(len(images), 3, 2, PATCH, 2, PATCH).transpose(0, 2, 4, 1, 3, 5)
    x = tiles.reshape(len(images), 4, -1) @ weights["patch"].reshape(WIDTH, -1).T
    token = np.repeat(weights["token"], len(images), axis=0)
    x = np.concatenate([token, x], axis=1) + weights["position"]
    found = []
    for block in weights["blocks"]:
        q, k, v = (normalize(x) @ block[name] for name in ("query", "key", "value"))
        attention = np.exp(q @ k.transpose(0, 2, 1))
        x = x + (attention / attention.sum(-1, keepdims=True)) @ v @ block["out"] + np.float32(0.1)
        y = normalize(x) @ block["wide"]
        x = x + (y / (1 + np.exp(-y))) @ block["narrow"]
        found.append(x)
    return found
