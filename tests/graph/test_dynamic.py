"""Graphs that are quantised dynamically: what they say of an image is said of it alone."""

import json

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper, numpy_helper

from detectorkit import OnnxDetector, load_detector
from detectorkit.backbones import embed_images
from detectorkit.backbones.store import read_backbone
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.sequence import check_images

SIZE = (6, 8)
INPUT = NetworkInput(SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def make_network(width, *, dynamic=True):
    """A dense layer in 8 bits, as onnxruntime's `quantize_dynamic` writes it; or in floats."""
    weights = np.random.default_rng(1).integers(-60, 60, (3 * SIZE[0] * SIZE[1], width))
    kind = np.int8 if dynamic else np.float32
    constants = [numpy_helper.from_array(weights.astype(kind), "weights")]
    nodes = [helper.make_node("Flatten", ["images"], ["flat"])]
    if dynamic:
        constants.append(numpy_helper.from_array(np.float32(0.01), "step"))
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["flat"], ["rows", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["rows", "weights", "zero"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["scale", "step"], ["unit"]),
            helper.make_node("Mul", ["floats", "unit"], ["out"]),
        ]
    else:
        nodes.append(helper.make_node("MatMul", ["flat", "weights"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *SIZE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", width])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(name="X")
def pixels():
    """Images whose ranges differ, so that a common range rounds otherwise."""
    random = np.random.default_rng(0)
    high = [20, 255, 90, 140, 60, 255, 10, 200, 120]
    return np.stack([random.integers(0, top, (*SIZE, 3)) for top in high]).astype(np.uint8)


def test_dynamic_operators_are_found_in_the_bytes():
    assert is_dynamic(make_network(1).SerializeToString())
    plain = make_network(1, dynamic=False)
    assert not is_dynamic(plain.SerializeToString())
    plain.graph.node[0].name = plain.graph.doc_string = "DynamicQuantizeLinear"
    assert not is_dynamic(plain.SerializeToString())


def test_dynamic_operators_are_found_in_branches():
    inner = make_network(1).graph
    flag = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.bool_(1)))
    branch = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([flag, branch], "outer", [], [value])
    assert is_dynamic(helper.make_model(graph).SerializeToString())


def test_dynamic_operators_are_found_in_functions():
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"])
    opsets = [helper.make_opsetid("", 17)]
    model = make_network(1, dynamic=False)
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [node], opsets))
    assert is_dynamic(model.SerializeToString())


def assert_neighbours_do_not_matter(detector, X):
    together = detector.decision_function(X)
    alone = [detector.decision_function(X[i : i + 1])[0] for i in range(len(X))]
    assert_array_equal(together, alone)
    detector.n_jobs = 2
    assert_array_equal(detector.decision_function(X[::-1]), together[::-1])


def test_a_score_of_a_classifier_from_elsewhere_does_not_depend_on_its_neighbours(X, tmp_path):
    content = make_network(1).SerializeToString()
    detector = OnnxDetector(content, network_input=INPUT, output="logit").fit(X)
    assert detector.record_.run_size == 1
    assert_neighbours_do_not_matter(detector, X)
    detector.save(tmp_path / "model.onnx")
    assert_neighbours_do_not_matter(load_detector(tmp_path / "model.onnx"), X)


def test_a_file_that_was_saved_without_run_size_is_run_one_by_one_too(X, tmp_path):
    content = make_network(1).SerializeToString()
    detector = OnnxDetector(content, network_input=INPUT, output="logit").fit(X)
    model = detector.to_onnx()
    record = json.loads(model.metadata_props[0].value) | {"run_size": None}
    helper.set_model_props(model, {"detectorkit": json.dumps(record)})
    onnx.save(model, tmp_path / "old.onnx")
    loaded = load_detector(tmp_path / "old.onnx")
    assert_neighbours_do_not_matter(loaded, X)
    assert loaded.record_.run_size == 1


def test_other_classifiers_are_still_run_together(X):
    content = make_network(1, dynamic=False).SerializeToString()
    assert OnnxDetector(content, network_input=INPUT).fit(X).record_.run_size is None


def test_features_of_a_backbone_do_not_depend_on_their_neighbours(X, tmp_path):
    onnx.save(make_network(6), tmp_path / "backbone.onnx")
    backbone = read_backbone(tmp_path / "backbone.onnx", INPUT)
    assert backbone.run_size is None  # it computes with floats
    together = embed_images(backbone, check_images(X))
    alone = [embed_images(backbone, check_images(X[i : i + 1]))[0] for i in range(len(X))]
    assert_array_equal(together, alone)
