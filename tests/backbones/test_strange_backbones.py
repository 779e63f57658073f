"""Backbones that give no features, and records that do not fit them: errors that name them."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from detectorkit import ModelFileError
from detectorkit.backbones import embed_images, read_backbone, write_backbone
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.graph.networks import head_graph
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.reference import BACKBONE_KEY
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.sequence import check_images

X = check_images(np.random.default_rng(0).integers(0, 256, (3, 9, 8, 3), np.uint8))
value = helper.make_tensor_value_info


def no_outputs(graph):
    del graph.output[:]


def no_inputs(graph):
    constant = np.zeros((3, 3, 8, 8), np.float32)
    graph.initializer.append(numpy_helper.from_array(constant, "images"))
    del graph.input[:]


def second_input(graph):
    graph.input.append(value("other", TensorProto.FLOAT, ["n"]))


def one_number(graph):
    graph.node.append(helper.make_node("ReduceMax", ["features"], ["one"], keepdims=0))
    graph.output[0].CopyFrom(value("one", TensorProto.FLOAT, []))


def sequence(graph):
    graph.node.append(helper.make_node("SequenceConstruct", ["features"], ["list"]))
    graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)
    )


def words(graph):
    graph.node.append(helper.make_node("Cast", ["features"], ["words"], to=TensorProto.STRING))
    graph.output[0].CopyFrom(value("words", TensorProto.STRING, ["n", 6]))


@pytest.fixture
def make_pair(tmp_path, tiny, taken):
    """A function that writes a backbone and a head on two of its three layers."""

    def make(spoil=None, layers=(1, 2, 3)):
        if spoil is not None:
            spoil(tiny.graph)
        path = write_backbone(
            tiny, "b", taken, licence="", source="", checksum="", layers=layers, pool="cls"
        )
        reference = replace(read_backbone(path).reference, layers=(1, 3), pool="cls")
        record = ModelRecord(
            "Head",
            taken.preprocessing,
            [],
            [0, 1],
            0.0,
            SigmoidCalibration(1.0),
            backbone=reference,
        )
        head = head_graph([(np.ones((4, 1)), np.zeros(1))], record)
        (tmp_path / "head.onnx").write_bytes(head.SerializeToString())
        return path, tmp_path / "head.onnx"

    return make


def test_the_pair_is_right_as_it_is(make_pair):
    path, head = make_pair()
    features = embed_images(read_backbone(path), X)[:, [0, 1, 4, 5]]
    np.testing.assert_allclose(GraphRunner.from_file(head).score(X), features.sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    "spoil",
    [no_outputs, no_inputs, second_input, one_number, sequence, words],
    ids=lambda spoil: spoil.__name__,
)
def test_a_graph_that_gives_no_features_is_an_error(spoil, make_pair):
    path, head = make_pair(spoil)
    with pytest.raises(ModelFileError, match=r"computes 0|b gives|b takes|b cannot be run|' comp"):
        embed_images(read_backbone(path), X)
    with pytest.raises(ModelFileError, match=r"computes 0|b gives|b takes|b cannot be run|' comp"):
        GraphRunner.from_file(head).score(X)


def test_layers_that_do_not_fit_the_features_are_an_error(make_pair):
    _, head = make_pair(layers=(1, 2, 3, 4))
    with pytest.raises(ModelFileError, match=r"'b' computes 6 features, .* \[1, 2, 3, 4\]"):
        GraphRunner.from_file(head)


def test_crops_that_would_fill_the_memory_are_refused(make_pair):
    path, _ = make_pair()
    model = onnx.load(path)
    record = json.loads(model.metadata_props[0].value)
    record["network_input"]["n_crops"] = 10**10
    helper.set_model_props(model, {BACKBONE_KEY: json.dumps(record)})
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="n_crops is 10000000000"):
        read_backbone(path)
