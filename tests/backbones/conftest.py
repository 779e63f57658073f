"""Small backbones, made without torch, and an empty place for them."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

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
