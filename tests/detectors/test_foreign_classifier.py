"""Binary classifiers from elsewhere, made here of a few nodes, as OnnxDetector takes them."""

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper

from detectorkit import ModelFileError, OnnxDetector, load_detector
from detectorkit.graph.inputs import NetworkInput

SIZE = (6, 8)
INPUT = NetworkInput(SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
GRAY = NetworkInput(SIZE, mean=(0.3,), std=(0.5,), color_space="gray")
ELEMENTS = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}


@pytest.fixture(name="X")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (9, *SIZE, 3), dtype=np.uint8)


def weights_of(width, network_input=INPUT):
    n_pixels = network_input.n_channels * SIZE[0] * SIZE[1]
    return np.random.default_rng(1).normal(size=(n_pixels, width)).astype(np.float32) / 5


def make_classifier(
    width, *ends, network_input=INPUT, last=False, batch="n", shape=None, kind=np.float32
):
    """A dense layer and what comes behind it; `last` puts the channels there."""
    channels = network_input.n_channels
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["out0"]),
    ]
    constants = [numpy_helper.from_array(weights_of(width, network_input).astype(kind), "weights")]
    for number, (operator, *more) in enumerate(ends):
        names = [f"out{number}"]
        for value in more:
            names.append(f"constant{len(constants)}")
            constants.append(numpy_helper.from_array(np.array(value), names[-1]))
        nodes.append(helper.make_node(operator, names, [f"out{number + 1}"]))
    sizes = [batch, *((*SIZE, channels) if last else (channels, *SIZE))]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("images", ELEMENTS[kind], sizes)],
        [helper.make_tensor_value_info(f"out{len(ends)}", ELEMENTS[kind], shape or [batch, width])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def load(model, network_input=INPUT, **parameters):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return OnnxDetector(content, network_input=network_input, **parameters).fit([np.zeros((9, 9))])


def logits_of(X, width, network_input=INPUT, *, last=False):
    scaled = network_input.scale(X)
    rows = (scaled.transpose(0, 2, 3, 1) if last else scaled).reshape(len(X), -1)
    return rows @ weights_of(width, network_input)


def expected_scores(X, width, **options):
    logits = logits_of(X, width, **options)
    return logits[:, 0] if width == 1 else logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize(
    ("width", "end"), [(1, None), (2, None), (1, "Sigmoid"), (2, "Sigmoid"), (2, "Softmax")]
)
def test_scores_are_logits_whatever_the_end(X, width, end, last):
    model = make_classifier(width, *([(end,)] if end else []), last=last)
    detector = load(model)
    scores = detector.decision_function(X)
    assert_allclose(scores, expected_scores(X, width, last=last), rtol=1e-4, atol=1e-5)
    assert_array_equal(detector.classes_, [0, 1])
    assert_allclose(detector.predict_proba(X)[:, 1], 1 / (1 + np.exp(-scores)), atol=1e-6)
    flipped = load(model, generated_index=0)
    assert_allclose(flipped.decision_function(X), -scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("width", "ends", "shape", "parameters"),
    [
        (1, [("Squeeze", [1])], ["n"], {}),
        (1, [("Sigmoid",)], None, {"output": "probability"}),
        (1, [("Sigmoid",), ("Squeeze", [1])], ["n"], {}),
        (1, [("Sigmoid",), ("Reshape", [-1])], ["n"], {}),
        (1, [("Sigmoid",), ("Reshape", [-1, 1, 1])], ["n", 1, 1], {"output": "probability"}),
        (2, [("Softmax",)], None, {"output": "probabilities"}),
        (2, [("Softmax",), ("Identity",)], None, {}),
        (2, [("LogSoftmax",)], None, {}),
        (2, [("LogSoftmax",)], None, {"output": "logits"}),
    ],
)
def test_probabilities_become_logits(X, width, ends, shape, parameters):
    detector = load(make_classifier(width, *ends, shape=shape), **parameters)
    assert_allclose(detector.decision_function(X), expected_scores(X, width), rtol=1e-3, atol=1e-3)


def test_sure_probabilities_give_finite_scores(X):
    model = make_classifier(1, ("Mul", np.float32(1000)), ("Sigmoid",))
    scores = load(model, output="probability").decision_function(X)
    assert np.isfinite(scores).all()
    assert_array_equal(scores > 0, expected_scores(X, 1) > 0)


def test_gray_images_have_one_channel(X):
    gray = X[..., 0]
    expected = expected_scores(gray, 1, network_input=GRAY)
    for last in (False, True):
        detector = load(make_classifier(1, network_input=GRAY, last=last), GRAY)
        assert_allclose(detector.decision_function(gray), expected, rtol=1e-4, atol=1e-5)


def test_half_precision(X):
    detector = load(make_classifier(2, ("Softmax",), kind=np.float16))
    assert_allclose(detector.decision_function(X), expected_scores(X, 2), atol=0.05)


def test_a_graph_of_one_image_is_run_so_often(X):
    detector = load(make_classifier(2, batch=1))
    assert detector.record_.run_size == 1
    assert_allclose(detector.decision_function(X), expected_scores(X, 2), rtol=1e-4, atol=1e-5)


def test_crops_are_averaged(X):
    large = np.concatenate([X, X[::-1]], axis=1)
    detector = load(make_classifier(1), NetworkInput(SIZE, INPUT.mean, INPUT.std, n_crops=4))
    corners = [expected_scores(part, 1) for part in (large[:, :6], large[:, 6:])]
    assert_allclose(detector.decision_function(large), np.mean(corners, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", ["n", 1])
def test_saved_again_it_is_a_detector(X, tmp_path, batch):
    detector = load(make_classifier(2, ("Softmax",), batch=batch))
    detector.threshold_ = 0.5
    detector.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    assert_array_equal(loaded.decision_function(X), detector.decision_function(X))
    assert_array_equal(loaded.predict(X), detector.predict(X))
    assert loaded.record_.detector == "OnnxDetector"


@pytest.fixture
def split_file(tmp_path):
    """A file with its weights beside it, in a folder of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(
        make_classifier(1),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return folder / "model.onnx"


def from_file(path):
    return OnnxDetector.from_file(path, network_input=INPUT)


def test_weights_may_lie_beside_the_file(X, split_file):
    scores = from_file(split_file).decision_function(X)
    assert_allclose(scores, expected_scores(X, 1), rtol=1e-4, atol=1e-5)


def test_weights_outside_the_folder_are_refused(split_file):
    weights = split_file.with_name("weights.bin")
    outside = split_file.parents[1] / "weights.bin"
    weights.rename(outside)
    with pytest.raises(ModelFileError, match=r"model\.onnx: its weights cannot be read"):
        from_file(split_file)
    weights.symlink_to(outside)
    with pytest.raises(ModelFileError, match=r"'weights\.bin', outside its own folder"):
        from_file(split_file)
    for place in ("../weights.bin", str(outside)):
        model = onnx.load(split_file, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = place
        split_file.write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError, match="outside its own folder"):
            from_file(split_file)
    with pytest.raises(ModelFileError, match="outside its own folder"):
        load(split_file.read_bytes())


def test_weights_of_a_node_must_not_lie_outside_either(split_file):
    model = onnx.load(split_file, load_external_data=False)
    (tensor,) = model.graph.initializer
    tensor.external_data[0].value = "../weights.bin"
    node = helper.make_node("Constant", [], ["weights"], value=tensor)
    model.graph.node.insert(0, node)
    del model.graph.initializer[:]
    split_file.write_bytes(model.SerializeToString())
    split_file.with_name("weights.bin").rename(split_file.parents[1] / "weights.bin")
    with pytest.raises(ModelFileError, match="outside its own folder"):
        from_file(split_file)


def change(model, field, index, value):
    getattr(model.graph, field)[0].type.tensor_type.shape.dim[index].dim_value = value
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (make_classifier(1, batch=4), "takes exactly 4 images at a time"),
        (change(make_classifier(1), "input", 2, 7), r"shape \(3, 7, 8\), but .* makes \(3, 6, 8\)"),
        (make_classifier(1, network_input=GRAY), r"shape \(1, 6, 8\), but .* makes \(3, 6, 8\)"),
        (make_classifier(3), r"output of shape \[0, 3\]; .* BackboneDetector"),
        (make_classifier(1, ("Sqrt",), ("Mul", np.float32(-1)), ("Sqrt",)), "finite scores were"),
        (make_classifier(2, ("Reshape", [1, -1])), "fails on 3 images"),
        (make_classifier(1, ("Nonsense",)), "is not a valid ONNX model.*Nonsense"),
    ],
    ids=["batch of four", "size", "channels", "classes", "NaN", "one row", "operator"],
)
def test_what_is_no_classifier_of_such_images_is_refused(model, message):
    with pytest.raises(ModelFileError, match=message):
        load(model)


@pytest.mark.parametrize("text", [b"MatMul", b"flat", b"images", b"weights", b"out1"])
def test_text_that_is_not_utf8_is_refused(text):
    content = make_classifier(1, ("Sigmoid",)).SerializeToString()
    with pytest.raises(ModelFileError, match=r"^model is not a valid ONNX model"):
        load(content.replace(text, b"\xff" * len(text)))


def test_inputs_of_another_form_are_refused():
    flat = make_classifier(1)
    del flat.graph.input[0].type.tensor_type.shape.dim[3]
    with pytest.raises(ModelFileError, match="an input of 3 dimensions; 4 were expected"):
        load(flat)
    whole = make_classifier(1)
    whole.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(ModelFileError, match="not floats"):
        load(whole)
    two = make_classifier(1)
    two.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n"]))
    with pytest.raises(ModelFileError, match="has 2 inputs; one was expected"):
        load(two)
    none = make_classifier(1)
    del none.graph.input[:]
    with pytest.raises(ModelFileError, match="has 0 inputs; one was expected"):
        load(none)


def test_old_models_are_converted(X):
    model = make_classifier(1, ("Sigmoid",))
    model.opset_import[0].version = 11
    assert_allclose(load(model).decision_function(X), expected_scores(X, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("output", "score"), ("generated_index", 2), ("generated_index", -1)]
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"OnnxDetector: {name}={value!r} must be one of"):
        load(make_classifier(1), **{name: value})


def test_no_model_is_no_classifier():
    with pytest.raises(ModelFileError, match="model is not an ONNX model"):
        load(b"no model")
