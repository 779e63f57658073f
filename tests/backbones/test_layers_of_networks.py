"""Features of layers, exact arithmetic, few bits, and heads that refer to a backbone's file."""

import json
import pickle

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from detectorkit import (
    BackboneDetector,
    BackboneNotFoundError,
    ModelFileError,
    OnnxDetector,
    load_detector,
)
from detectorkit.backbones import find_backbone, write_backbone
from detectorkit.backbones.embedding import cache_name
from detectorkit.backbones.store import take_layers
from detectorkit.cli import main
from detectorkit.graph.builder import expose_tensors
from detectorkit.graph.compact import PackedMatrix, pack_weights, round_to_nearest
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.exact import make_exact
from detectorkit.graph.gradients import gradient_graph
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.layers import select_layers
from detectorkit.graph.sessions import make_session
from detectorkit.saliency import GradientSaliency
from detectorkit.saliency._score import content_of

WIDTH, DEPTH = 32, 3  # of `vit`
SETTINGS = {"bottleneck": 4, "max_epochs": 20, "learning_rate": 0.02, "random_state": 0}


def run(model, images):
    session = make_session(model.SerializeToString(), "test")
    return session.run(None, {session.get_inputs()[0].name: images})[0]


@pytest.fixture
def scaled():
    return np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def dataset():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 60)
    X = random.integers(0, 190, (60, 8, 8, 3))
    X[..., 2] += 64 * y[:, np.newaxis, np.newaxis]
    return X.astype(np.uint8), y


@pytest.mark.parametrize("layers", [[1], [2, 3], [-1, 1]])
@pytest.mark.parametrize("pool", [None, "cls", "mean", "cls+mean"])
def test_layers_are_those_of_the_stream(vit, vit_stream, taken, scaled, layers, pool):
    stream = vit_stream(scaled)
    take = {"cls": lambda x: x[:, 0], "mean": lambda x: x[:, 1:].mean(axis=1)}
    parts = (pool or "cls").split("+")
    expected = [take[part](stream[one - (one > 0)]) for one in layers for part in parts]
    found, resolved = select_layers(model := copy_of(vit), layers, pool, taken)
    assert (found, resolved) == (tuple(one % (DEPTH + 1) for one in layers), pool or "cls")
    assert_allclose(run(model, scaled), np.concatenate(expected, axis=1), atol=2e-5)
    names = {name for node in model.graph.node for name in node.output}
    assert "output" not in names
    assert ("block3" in names) == (3 in found)


def copy_of(model):
    return onnx.load_model_from_string(model.SerializeToString())


def make_stages():
    """Convolutions of 4, 6 and 8 maps at 8, 4 and 2 pixels, the second after a padding."""
    draw = np.random.default_rng(0).normal
    shapes = {"first": (4, 3, 3, 3), "second": (6, 4, 3, 3), "third": (8, 6, 2, 2)}
    nodes = [
        helper.make_node("Conv", ["images", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["stage1"]),
        helper.make_node("Pad", ["stage1", "sides"], ["padded"]),
        helper.make_node("Conv", ["padded", "second"], ["stage2"], strides=[2, 2]),
        helper.make_node("Conv", ["stage2", "third"], ["b"], strides=[2, 2]),
        helper.make_node("Relu", ["b"], ["stage3"]),
        helper.make_node("GlobalAveragePool", ["stage3"], ["means"]),
        helper.make_node("Flatten", ["means"], ["features"]),
    ]
    constants = [
        numpy_helper.from_array(draw(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1, 1]), "sides"))
    return make_model(nodes, constants, 8)


def make_model(nodes, constants, n_features):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [value("images", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [value("features", TensorProto.FLOAT, ["n", n_features])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_stages_of_a_convolutional_network_are_its_resolutions(taken, scaled):
    inside = make_stages()
    del inside.graph.output[:]
    names = ["stage1", "stage2", "stage3"]
    inside.graph.output.extend(map(helper.make_empty_tensor_value_info, names))
    session = make_session(inside.SerializeToString(), "test")
    means = [one.mean(axis=(2, 3)) for one in session.run(None, {"images": scaled})]
    model = make_stages()
    assert select_layers(model, [-1, 1, 2], None, taken) == ((3, 1, 2), "mean")
    assert_allclose(run(model, scaled), np.concatenate([means[2], *means[:2]], axis=1), atol=1e-5)
    with pytest.raises(ModelFileError, match=r"stages without class tokens.*pool='cls'"):
        select_layers(make_stages(), [1], "cls", taken)


def test_what_cannot_be_found_is_said(vit, vit_without_token, tiny, taken):
    for layers in ([4], [0], [-4, 1], []):
        with pytest.raises(ModelFileError, match=r"has 3 blocks, so layers=.* from 1 to 3"):
            select_layers(copy_of(vit), layers, None, taken)
    with pytest.raises(ModelFileError, match=r"no layers that are recognised.*Flatten, MatMul, Ta"):
        select_layers(copy_of(tiny), [1], None, taken)
    with pytest.raises(ModelFileError, match=r"4 tokens, of which 4 are patches.*pool='cls'"):
        select_layers(copy_of(vit_without_token), [1], "cls", taken)
    assert select_layers(copy_of(vit_without_token), [-2], None, taken) == ((2,), "mean")


def make_dense():
    """Conv, MatMul and Gemm, as `quantize_dynamic` knows them."""
    draw = np.random.default_rng(0).normal
    shapes = {"maps": (4, 3, 3, 3), "gemm": (20, 144), "bias": (20,), "matrix": (20, 6)}
    nodes = [
        helper.make_node("Conv", ["images", "maps"], ["a"], "conv"),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "gemm", "bias"], ["c"], "gemm", transB=1),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "matrix"], ["features"], "matmul"),
    ]
    constants = [
        numpy_helper.from_array(draw(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    return make_model(nodes, constants, 6)


@pytest.fixture(params=[False, True], ids=["per tensor", "per channel"])
def dynamic(request, tmp_path):
    onnx.save(make_dense(), tmp_path / "dense.onnx")
    quantize_dynamic(
        tmp_path / "dense.onnx",
        tmp_path / "dynamic.onnx",
        per_channel=request.param,
        weight_type=QuantType.QInt8 if request.param else QuantType.QUInt8,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
    )
    return onnx.load(tmp_path / "dynamic.onnx")


def test_dynamic_arithmetic_becomes_exact(dynamic, scaled):
    exact = make_exact(dynamic)
    assert is_dynamic(dynamic.SerializeToString())
    assert not is_dynamic(exact.SerializeToString())
    kinds = [node.op_type for node in exact.graph.node]
    assert kinds.count("DequantizeLinear") == 3
    close = run(make_dense(), scaled)
    found = run(exact, scaled)
    assert np.abs(found - close).max() < 0.05 * np.abs(close).max()
    assert_array_equal(found[:1], run(exact, scaled[:1]))
    # The sum of both rounds no input: it is the product with the stored weights.
    assert_allclose(run(exact, scaled * 1.0001), found, atol=2e-3)


def test_a_dynamic_backbone_is_read_as_an_exact_one(dynamic, taken, tmp_path, dataset):
    write_backbone(dynamic, "dense", taken, licence="MIT", source="", checksum="", run_size=1)
    backbone = find_backbone("dense")
    assert (backbone.run_size, is_dynamic(backbone.content)) == (None, False)
    detector = BackboneDetector("dense", **SETTINGS).fit(*dataset)
    detector.save(tmp_path / "head.onnx", with_backbone=False)
    found = load_detector(tmp_path / "head.onnx").decision_function(dataset[0])
    assert_allclose(found, detector.decision_function(dataset[0]), atol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_matrices_are_multiplied_exactly(vit, scaled, bits):
    packed = pack_weights(vit, bits=bits, block_size=16)
    plain = copy_of(vit)
    values = {tensor.name: tensor for tensor in plain.graph.initializer}
    n_changed = 0
    for node in plain.graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            tensor = values[node.input[1]]
            weights = numpy_helper.to_array(tensor)
            if weights.size < 1024:
                continue
            rounded = round_to_nearest(weights, bits, 16).unpack()
            step = np.abs(weights).reshape(-1, 16 if bits == 4 else len(weights), weights.shape[1])
            assert np.abs(rounded - weights).max() <= step.max() / 2 ** (bits - 1) * 1.01
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
            n_changed += 1
    assert n_changed == 6 * DEPTH
    assert_allclose(run(packed, scaled), run(plain, scaled), atol=0.01)  # the patches are halves
    assert len(packed.SerializeToString()) < 0.7 * len(vit.SerializeToString())


def test_matrices_may_be_rounded_elsewhere(vit, scaled):
    random = np.random.default_rng(0)
    levels = random.integers(0, 16, (WIDTH, WIDTH)).astype(np.uint8)
    scales = random.uniform(0.01, 0.02, (2, WIDTH)).astype(np.float16)
    zeros = random.integers(0, 16, (2, WIDTH)).astype(np.uint8)
    matrix = PackedMatrix(levels, scales, zeros)
    blocks = levels.reshape(2, 16, WIDTH).astype(np.float32) - zeros[:, np.newaxis]
    expected = (blocks * scales[:, np.newaxis].astype(np.float32)).reshape(WIDTH, WIDTH)
    assert_allclose(matrix.unpack(), expected)
    plain = copy_of(vit)
    values = {tensor.name: tensor for tensor in plain.graph.initializer}
    (node,) = (node for node in plain.graph.node if node.name == "value1")
    values[node.input[1]].CopyFrom(numpy_helper.from_array(expected, node.input[1]))
    rest = {
        node.name: round_to_nearest(numpy_helper.to_array(values[node.input[1]]), 8)
        for node in plain.graph.node
        if node.op_type == "MatMul" and node.input[1] in values and node.name != "output"
    }
    packed = pack_weights(vit, rest | {"value1": matrix})
    close = run(pack_weights(plain, rest), scaled)
    assert np.abs(run(packed, scaled) - close).max() < 0.02 * np.abs(close).max()
    with pytest.raises(ValueError, match=r"names \['nothing'\], which are not MatMul nodes"):
        pack_weights(vit, {"nothing": matrix})
    with pytest.raises(ValueError, match=r"'wide1'\] has the shape \(32, 32\).* have \(32, 64\)"):
        pack_weights(vit, {"wide1": matrix})


@pytest.fixture(params=["plain", "compact"])
def backbone(request, vit, taken):
    """A backbone, as it was exported or with its layers and few bits."""
    model, form = copy_of(vit), {}
    if request.param == "compact":
        layers, pool = select_layers(model, [1, 2, 3], "cls+mean", taken)
        model, form = pack_weights(model, block_size=16), {"layers": layers, "pool": pool}
    write_backbone(model, "vit", taken, licence="MIT", source="", checksum="ab", **form)
    return "vit"


@pytest.mark.parametrize(("layers", "pool"), [(None, None), ((3, 1), "mean"), ([2], "cls+mean")])
def test_a_head_finds_its_backbone(backbone, home, dataset, tmp_path, layers, pool):
    X, y = dataset
    detector = BackboneDetector(backbone, layers=layers, pool=pool, **SETTINGS).fit(X, y)
    scores = detector.decision_function(X)
    detector.threshold_ = 0.25
    path = tmp_path / "head.onnx"
    detector.save(path, with_backbone=False)
    detector.save(tmp_path / "whole.onnx")
    assert path.stat().st_size < 8000
    loaded = load_detector(path)
    assert_allclose(loaded.decision_function(X), scores, atol=1e-5)
    assert loaded.threshold_ == 0.25
    reference = loaded.record_.backbone
    assert (reference.name, reference.pool) == ("vit", pool)
    assert reference.layers == (None if layers is None else tuple(layers))
    (home / "backbones" / "vit.onnx").rename(tmp_path / "vit.onnx")  # beside the head
    again = pickle.loads(pickle.dumps(load_detector(path)))
    assert_allclose(again.decision_function(X), scores, atol=1e-5)
    whole = OnnxDetector(again.to_onnx().SerializeToString()).fit(X)
    assert whole.record_.backbone is None
    assert_allclose(whole.decision_function(X), scores, atol=1e-5)
    again.save(tmp_path / "second.onnx", with_backbone=False)
    assert load_detector(tmp_path / "second.onnx").record_ == again.record_
    (tmp_path / "vit.onnx").write_bytes((tmp_path / "vit.onnx").read_bytes() + b" ")
    with pytest.raises(BackboneNotFoundError, match=r"sha256 .* is another version.*beside"):
        load_detector(path)
    (tmp_path / "vit.onnx").unlink()
    with pytest.raises(BackboneNotFoundError, match=r"detectorkit backbones add vit"):
        load_detector(path)
    assert_allclose(load_detector(tmp_path / "whole.onnx").decision_function(X), scores, atol=1e-5)


def test_a_compact_file_is_written(vit, taken, dataset, tmp_path, capsys):
    write_backbone(vit, "vit", taken, licence="MIT", source="here", checksum="ab")
    path = tmp_path / "small.onnx"
    options = ["--layers", "1", "-1", "--pool", "cls+mean", "--block-size", "16"]
    assert main(["backbones", "compact", "vit", "-o", str(path), *options]) == 0
    assert f"Wrote {path}: 0.0 MB" in capsys.readouterr().out
    detector = BackboneDetector(path, layers=[3], pool="mean", **SETTINGS).fit(*dataset)
    detector.save(tmp_path / "head.onnx", with_backbone=False)
    found = load_detector(tmp_path / "head.onnx")
    assert_allclose(found.predict_proba(dataset[0]), detector.predict_proba(dataset[0]), atol=1e-5)
    assert found.record_.backbone.name == "small"
    assert found.training_summary_["backbone_licence"] == "MIT"


def test_no_neighbour_and_no_thread_changes_a_score(backbone, dataset, tmp_path):
    X, y = dataset
    detector = BackboneDetector(backbone, layers=[-1, 2], **SETTINGS).fit(X, y)
    detector.save(tmp_path / "head.onnx", with_backbone=False)
    for one in (detector, load_detector(tmp_path / "head.onnx")):
        together = one.decision_function(X)
        alone = [one.decision_function(X[i : i + 1])[0] for i in range(6)]
        assert_allclose(together[:6], alone, atol=1e-5)
        one.n_jobs = 2
        assert_allclose(one.decision_function(X), together, atol=1e-5)
        # Pixels between the levels are not rounded.
        assert_allclose(one.decision_function(X / 255), together, atol=1e-4)


def test_the_gradient_of_a_head_goes_to_the_pixels(backbone, dataset, tmp_path):
    X, y = dataset
    detector = BackboneDetector(backbone, layers=[1, 3], bottleneck=None, random_state=0).fit(X, y)
    detector.save(tmp_path / "head.onnx", with_backbone=False)
    loaded = load_detector(tmp_path / "head.onnx")
    session = make_session(gradient_graph(content_of(loaded)).SerializeToString(), "gradient")
    pixels = np.clip(X[:4], 10, 245).astype(np.float32)
    gradient = session.run(["gradient"], {"pixels": pixels})[0]
    step = 0.1 * np.random.default_rng(0).normal(size=pixels.shape)
    whole = make_session(expose_tensors(loaded.to_onnx(), ["score"]).SerializeToString(), "score")
    moved = [
        whole.run(None, {"pixels": (pixels + k * step).astype(np.float32)})[0] for k in (1, -1)
    ]
    expected = (moved[0] - moved[1]) / 2
    assert_allclose((gradient * step).sum(axis=(1, 2, 3)), expected, rtol=0.05, atol=1e-4)
    assert [one.shape for one in GradientSaliency(loaded).fit().transform(X[:2])] == [(8, 8)] * 2


def test_a_quantised_network_has_no_head_of_its_own(backbone, dataset, tmp_path):
    detector = BackboneDetector(backbone, quantize="float16", **SETTINGS).fit(*dataset)
    with pytest.raises(ValueError, match=r"with_backbone=False needs .* fixed backbone"):
        detector.save(tmp_path / "head.onnx", with_backbone=False)


def test_layers_have_a_cache_of_their_own_or_share_that_of_a_file_with_all(backbone, taken):
    found = find_backbone(backbone)
    names = {
        cache_name(take_layers(found, *one)) for one in (([1], "cls"), ([2], "cls"), ([1], "mean"))
    }
    assert len(names | {cache_name(found)}) == (4 if found.layers is None else 1)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"layers": []}, "layers=.*sequence of whole numbers"),
        ({"layers": [1.5]}, "layers=.*sequence of whole numbers"),
        ({"layers": 3}, "layers=.*sequence of whole numbers"),
        ({"pool": "cls"}, "pool=.*None without `layers`"),
        ({"layers": [1], "pool": "max"}, "pool=.*'max'"),
        ({"layers": [1], "fine_tune": True}, "layers=.*None with fine_tune=True"),
        ({"layers": [5]}, "has 3 blocks"),
    ],
)
def test_wrong_parameters_are_named(backbone, dataset, parameters, match):
    with pytest.raises(ValueError, match=match):
        BackboneDetector(backbone, **parameters).fit(*dataset)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"layers": [7], "pool": "cls"}, "has 3 blocks"),
        ({"layers": [1], "pool": "cls+mean"}, "takes 32 features, but its backbone computes 64"),
        ({"name": "../vit"}, "a name without a folder"),
        ({"sha256": 3}, "sha256 is 3"),
        ({"layers": "x"}, "layers is 'x'"),
        (None, "backbone is an object, but the graph takes pixels"),
    ],
)
def test_a_damaged_reference_is_named(backbone, dataset, tmp_path, change, match):
    detector = BackboneDetector(backbone, layers=[1], **SETTINGS).fit(*dataset)
    detector.save(tmp_path / "head.onnx", with_backbone=False)
    model = onnx.load(tmp_path / "head.onnx")
    record = json.loads(model.metadata_props[0].value)
    if change is None:
        model = detector.to_onnx()
    else:
        record["backbone"] |= change
    helper.set_model_props(model, {"detectorkit": json.dumps(record)})
    onnx.save(model, tmp_path / "head.onnx")
    with pytest.raises(ModelFileError, match=match):
        load_detector(tmp_path / "head.onnx")


@pytest.mark.parametrize("kind", ["DeiT", "CLIPVision"])
def test_layers_are_the_hidden_states_of_torch(kind, fast_export):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    transformers = pytest.importorskip("transformers")
    from detectorkit.training.to_onnx import export_network

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "image_size": 32, "patch_size": 8}
    config = getattr(transformers, f"{kind}Config")(
        num_hidden_layers=3, num_attention_heads=2, **sizes
    )
    model = getattr(transformers, f"{kind}Model")(config).eval()

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, images):
            return self.model(pixel_values=images).last_hidden_state[:, 0]

    exported = export_network(Last(), (3, 32, 32))
    found, pool = select_layers(exported, [1, -2], "cls+mean", NetworkInput((32, 32)))
    assert (found, pool) == ((1, 2), "cls+mean")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        states = model(pixel_values=images, output_hidden_states=True).hidden_states
    expected = [x for k in (1, 2) for x in (states[k][:, 0], states[k][:, -16:].mean(dim=1))]
    assert_allclose(run(exported, images.numpy()), np.concatenate(expected, axis=1), atol=2e-5)
    assert "DequantizeLinear" in {n.op_type for n in pack_weights(exported, bits=8).graph.node}
