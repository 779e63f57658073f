"""Graphs that are not those of a detector, or fail: refused with the file's name."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from detectorkit import ForensicDetector, ModelFileError, OnnxDetector
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.cli import main
from detectorkit.graph.builder import GraphBuilder
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.graph.runner import GraphRunner
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images

X = np.random.default_rng(0).integers(0, 256, (5, 8, 6), np.uint8)


def make_model(*, spoil=None, run_size=None):
    """A detector whose score is the mean level; `spoil` adds nodes and names what replaces it."""
    graph = GraphBuilder()
    floats = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    score = graph.add("ReduceMean", floats, axes=[1, 2], keepdims=0)
    if spoil is not None:
        score = spoil(graph, score)
    graph.add("Identity", score, name="score")
    calibration = SigmoidCalibration(1.0)
    graph.calibrate("score", calibration)
    record = ModelRecord(
        "Test", Preprocessing((8, 6), "gray"), [], [0, 1], 0.0, calibration, run_size=run_size
    )
    return graph.to_model(record)


def load(model):
    return GraphRunner(model.SerializeToString(), "strange.onnx")


def test_the_model_is_right_as_it_is():
    np.testing.assert_allclose(load(make_model()).score(check_images(X)), X.mean(axis=(1, 2)))


def rename(model, what, old, new):
    for one in getattr(model.graph, what):
        if one.name == old:
            one.name = new
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [new if name == old else name for name in field]


@pytest.mark.parametrize("name", ["score", "probability"])
def test_a_missing_output_is_named(name):
    model = make_model()
    rename(model, "output", name, "other")
    with pytest.raises(ModelFileError, match=rf"^strange\.onnx gives .*'{name}' was expected"):
        load(model)


def test_another_input_is_refused():
    model = make_model()
    rename(model, "input", "pixels", "images")
    with pytest.raises(ModelFileError, match=r"^strange\.onnx takes .*images.*'pixels' of uint8"):
        load(model)
    model = make_model()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n"]))
    with pytest.raises(ModelFileError, match=r"^strange\.onnx takes .*mask.*one input was"):
        load(model)
    model = make_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    with pytest.raises(ModelFileError, match=r"^strange\.onnx takes .*int32"):
        load(model)


def test_a_graph_without_inputs_is_refused():
    value = helper.make_node("Constant", [], ["score"], value_floats=[1.0])
    nodes = [value, helper.make_node("Identity", ["score"], ["probability"])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        for name in ("score", "probability")
    ]
    graph = helper.make_graph(nodes, "constant", [], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {RECORD_KEY: make_model().metadata_props[0].value})
    with pytest.raises(ModelFileError, match=r"^strange\.onnx takes \[\]"):
        load(model)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": [9, 6]},
        {"image_size": [6, 8]},
        {"color_space": "rgb"},
    ],
)
def test_a_record_that_does_not_fit_the_graph_is_refused(change):
    model = make_model()
    content = json.loads(model.metadata_props[0].value)
    content["preprocessing"] |= change
    helper.set_model_props(model, {RECORD_KEY: json.dumps(content)})
    with pytest.raises(ModelFileError, match=r"^strange\.onnx takes pixels of shape .*8, 6\]"):
        load(model)


def test_a_graph_of_other_batches_is_refused():
    model = make_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(ModelFileError, match="any number at a time"):
        load(model)


def test_a_score_of_another_shape_is_refused():
    model = make_model()
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    model.graph.node[-1].input[0] = "score"
    with pytest.raises(ModelFileError, match=r"^strange\.onnx "):
        load(model).score(check_images(X))


def add_nan(graph, score):
    return graph.add("Sqrt", graph.add("Sub", score, graph.constant(np.float32(1000))))


def add_infinity(graph, score):
    return graph.add("Div", score, graph.constant(np.float32(0)))


def add_failure(graph, score):
    """Reshape to a number of images that there never are."""
    graph.add("Reshape", score, graph.constant(np.array([7, 11])), name="wrong")
    return graph.add("ReduceMean", "wrong", axes=[1], keepdims=0)


def merge(graph, score):
    return graph.add("ReduceMean", score, axes=[0], keepdims=1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (add_nan, "gives a score of nan for image 0;"),
        (add_infinity, "gives a score of inf for image 0;"),
        (add_failure, "cannot be run: "),
        (merge, r"gives scores of shape \(1,\) for 4 images"),
    ],
)
def test_a_graph_that_gives_no_scores_is_an_error(spoil, message):
    model = make_model(spoil=spoil)
    with pytest.raises(ModelFileError, match=rf"^strange\.onnx {message}"):
        load(model).score(check_images(X))
    detector = OnnxDetector(model.SerializeToString()).fit(X)
    for method in (detector.predict, detector.predict_proba, detector.decision_function):
        with pytest.raises(ModelFileError, match=message):
            method(X)


def test_predict_says_which_image_has_no_score_and_prints_no_nan(tmp_path, capsys):
    import cv2

    onnx.save(make_model(spoil=add_nan), tmp_path / "nan.onnx")
    cv2.imwrite(str(tmp_path / "a.png"), X[0])
    for options in ([], ["--json"]):
        arguments = ["predict", "-m", str(tmp_path / "nan.onnx"), *options]
        assert main([*arguments, str(tmp_path / "a.png")]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "nan.onnx gives a score of nan for image 0, " in said.err
        assert "a.png" in said.err


def test_a_threshold_that_is_no_number_is_an_error():
    detector = OnnxDetector(make_model().SerializeToString()).fit(X)
    detector.threshold_ = float("nan")
    with pytest.raises(ValueError, match="threshold_=nan is not a number"):
        detector.predict(X)
    with pytest.raises(ModelFileError, match="threshold is nan"):
        detector.to_onnx()


@pytest.mark.parametrize(
    "features",
    [
        [],
        [{"name": "nonsense"}],
        [{"name": "block_dct", "nonsense": 1}],
        [{"name": "block_dct", "image_size": "x"}],
        [{"name": "hog", "orientations": "9"}],
        [{"name": "hog", "pixels_per_cell": None}],
        [{"name": "lbp", "codes": []}],
    ],
)
def test_features_that_cannot_be_computed_are_refused(features, upsampled):
    detector = ForensicDetector(feature_set=["block_dct"], random_state=0)
    model = detector.fit(upsampled.data[:40], upsampled.target[:40]).to_onnx()
    content = json.loads(model.metadata_props[0].value) | {"features": features}
    helper.set_model_props(model, {RECORD_KEY: json.dumps(content)})
    with pytest.raises(ModelFileError, match=r"^strange\.onnx: the record is damaged: features"):
        load(model)


def test_features_of_another_number_than_the_graph_takes_are_an_error(upsampled):
    detector = ForensicDetector(feature_set=["block_dct"], random_state=0)
    model = detector.fit(upsampled.data[:40], upsampled.target[:40]).to_onnx()
    content = json.loads(model.metadata_props[0].value)
    content["features"] = [{"name": "lbp"}]
    helper.set_model_props(model, {RECORD_KEY: json.dumps(content)})
    with pytest.raises(ModelFileError, match=r"^strange\.onnx cannot be run: .* features"):
        load(model).score(check_images(upsampled.data[:2]))
