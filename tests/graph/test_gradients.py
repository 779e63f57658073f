import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, load_model_from_string, numpy_helper
from onnx.reference import ReferenceEvaluator
from scipy.special import erf
from scipy.stats import norm

from detectorkit import ForensicDetector, HoGSVMDetector, ModelFileError
from detectorkit.graph.gradients import gradient_graph, tensor_shapes
from detectorkit.graph.runner import make_session

SHAPE = (6, 4, 3)


class Graph:
    """A graph that is written node by node, from "pixels" of a known shape."""

    def __init__(self, shape=SHAPE):
        self.shape, self.nodes, self.constants = shape, [], []
        self.random = np.random.default_rng(0)

    def normal(self, *shape):
        return self.random.normal(size=shape).astype(np.float32)

    def constant(self, value):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator, *inputs, outputs=1, **attributes):
        inputs = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        names = [f"{operator}_{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def images(self):
        """Channels first."""
        return self.add("Transpose", "pixels", perm=[0, 3, 1, 2])

    def content(self, tensor, opset=18):
        """Close it; the score is the sum of t + t² over the entries of a tensor."""
        flat = self.add("Flatten", tensor, axis=1)
        terms = self.add("Add", flat, self.add("Mul", flat, flat))
        score = self.add("ReduceSum", terms, np.array([1]), keepdims=0)
        self.nodes.append(helper.make_node("Identity", [score], ["score"]))
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", *self.shape])],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def gradients(content, pixels, **options):
    session = make_session(gradient_graph(content, **options).SerializeToString(), "test")
    return session.run(["gradient"], {"pixels": pixels.astype(np.float32)})[0]


def differences(content, pixels, step=1e-6, places=None):
    """Central differences in double precision, by the reference implementation of ONNX."""
    model = load_model_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for node in model.graph.node:
        for one in node.attribute:
            if node.op_type == "Cast" and one.i == TensorProto.FLOAT:
                one.i = TensorProto.DOUBLE
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    evaluator = ReferenceEvaluator(model)
    found = np.zeros(pixels.shape)
    for place in places or np.ndindex(pixels.shape[1:]):
        change = np.zeros(pixels.shape)
        change[:, *place] = step
        up, down = (
            evaluator.run(["score"], {"pixels": pixels + sign * change})[0] for sign in (1, -1)
        )
        found[:, *place] = (up - down) / (2 * step)
    return found


def token(graph):
    """One row for each image, as transformers have it."""
    number = graph.add("Slice", graph.add("Shape", "pixels"), np.array([0]), np.array([1]))
    shape = graph.add("Concat", number, np.array([1, 4, 3]), axis=0)
    return graph.add("Expand", graph.normal(1, 1, 4, 3), shape)


OPERATORS = {
    "Reshape": lambda g: g.add("Reshape", "pixels", np.array([0, -1, 2])),
    "Squeeze, Unsqueeze": lambda g: g.add(
        "Squeeze", g.add("Unsqueeze", "pixels", np.array([1])), np.array([1])
    ),
    "Transpose, default": lambda g: g.add(
        "Transpose", g.add("Transpose", g.add("Mul", "pixels", g.normal(4, 3)))
    ),
    "Concat": lambda g: g.add("Concat", "pixels", g.add("Exp", "pixels"), axis=2),
    "Concat with a token": lambda g: g.add("Concat", token(g), "pixels", axis=1),
    "Split": lambda g: g.add(
        "Mul", *g.add("Split", "pixels", np.array([2, 2, 2]), axis=1, outputs=3)[::2]
    ),
    "Slice": lambda g: g.add(
        "Slice", "pixels", np.array([1, -3]), np.array([9, -1]), np.array([1, 2])
    ),
    "Pad": lambda g: g.add("Pad", "pixels", np.array([0, 1, 2, 0, 0, 3, 0, 0])),
    "Gather": lambda g: g.add("Gather", "pixels", np.array(2), axis=1),
    "GatherElements": lambda g: g.add(
        "GatherElements",
        "pixels",
        g.add("ArgMax", "pixels", axis=3, keepdims=1),
        axis=3,
    ),
    "Expand": lambda g: g.add(
        "Expand", g.add("ReduceMean", "pixels", np.array([2])), np.array([1, 1, 5, 1])
    ),
    "Add": lambda g: g.add("Add", g.add("ReduceSum", "pixels", np.array([1])), "pixels"),
    "Add of fewer axes": lambda g: g.add("Add", "pixels", g.normal(4, 1)),
    "Sum": lambda g: g.add("Sum", "pixels", "pixels", g.normal(3)),
    "Sub": lambda g: g.add("Sub", g.normal(3), g.add("Sub", "pixels", g.normal(4, 3))),
    "Mul": lambda g: g.add("Mul", g.add("ReduceSum", "pixels", np.array([2])), "pixels"),
    "Mul with itself": lambda g: g.add("Mul", "pixels", "pixels"),
    "Div": lambda g: g.add("Div", "pixels", g.add("Exp", g.add("Neg", "pixels"))),
    "Pow": lambda g: g.add("Pow", g.add("Exp", "pixels"), np.float32(1.5)),
    "Square": lambda g: g.add("Pow", "pixels", np.float32(2)),
    "Where": lambda g: g.add(
        "Where", g.add("Less", "pixels", np.float32(0.2)), "pixels", g.add("Exp", "pixels")
    ),
    "Min": lambda g: g.add("Min", "pixels", np.float32(0.1)),
    "Max": lambda g: g.add("Max", "pixels", g.add("Neg", "pixels")),
    "Relu": lambda g: g.add("Relu", "pixels"),
    "LeakyRelu": lambda g: g.add("LeakyRelu", "pixels", alpha=0.2),
    "Clip": lambda g: g.add("Clip", "pixels", np.float32(-0.3), np.float32(0.4)),
    "Clip below": lambda g: g.add("Clip", "pixels", np.float32(-0.3)),
    "Abs": lambda g: g.add("Abs", "pixels"),
    "Sqrt": lambda g: g.add("Sqrt", g.add("Exp", "pixels")),
    "Log": lambda g: g.add("Log", g.add("Exp", "pixels")),
    "Reciprocal": lambda g: g.add("Reciprocal", g.add("Exp", "pixels")),
    "Sigmoid": lambda g: g.add("Sigmoid", "pixels"),
    "Tanh": lambda g: g.add("Tanh", "pixels"),
    "HardSigmoid": lambda g: g.add("HardSigmoid", g.add("Mul", "pixels", np.float32(3))),
    "HardSwish": lambda g: g.add("HardSwish", g.add("Mul", "pixels", np.float32(3))),
    "Softmax": lambda g: g.add("Softmax", "pixels", axis=-2),
    "ReduceSum": lambda g: g.add("ReduceSum", "pixels", np.array([-2, 3]), keepdims=0),
    "ReduceMean": lambda g: g.add("ReduceMean", "pixels", np.array([1, 2]), keepdims=0),
    "ReduceSumSquare": lambda g: g.add("ReduceSumSquare", "pixels", np.array([3])),
    "LayerNormalization": lambda g: g.add(
        "LayerNormalization", "pixels", g.normal(4, 3), g.normal(4, 3), axis=2
    ),
    "BatchNormalization": lambda g: g.add(
        "BatchNormalization", g.images(), *(np.exp(g.normal(3)) for _ in range(4))
    ),
    "MatMul by weights": lambda g: g.add("MatMul", "pixels", g.normal(3, 5)),
    "MatMul from the left": lambda g: g.add("MatMul", g.normal(5, 4), "pixels"),
    "MatMul of two": lambda g: g.add(
        "MatMul", "pixels", g.add("Transpose", g.add("Exp", "pixels"), perm=[0, 1, 3, 2])
    ),
    "MatMul with a broadcast": lambda g: g.add(
        "MatMul",
        g.add("ReduceSum", "pixels", np.array([1])),
        g.add("Transpose", "pixels", perm=[0, 1, 3, 2]),
    ),
    "Gemm": lambda g: g.add(
        "Gemm", g.add("Flatten", "pixels"), g.normal(5, 72), g.normal(5), transB=1, alpha=0.5
    ),
    "Conv": lambda g: g.add("Conv", g.images(), g.normal(4, 3, 2, 3), pads=[0, 2, 1, 0]),
    "Conv with strides": lambda g: g.add(
        "Conv", g.images(), g.normal(4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "Conv of groups": lambda g: g.add("Conv", g.images(), g.normal(6, 1, 3, 2), group=3),
    "Conv of groups with strides": lambda g: g.add(
        "Conv", g.images(), g.normal(3, 1, 2, 2), group=3, strides=[2, 1]
    ),
    "Conv of groups with strides and a border": lambda g: g.add(
        "Conv", g.images(), g.normal(6, 1, 3, 3), group=3, strides=[2, 2], pads=[0, 1, 1, 1]
    ),
    "Conv with holes": lambda g: g.add(
        "Conv", g.images(), g.normal(2, 3, 2, 2), dilations=[2, 1], pads=[1, 0, 1, 1]
    ),
    "Conv of its own padding": lambda g: g.add(
        "Conv", g.images(), g.normal(2, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]
    ),
    "Conv beyond its kernel": lambda g: g.add(
        "Conv", g.images(), g.normal(2, 3, 1, 1), pads=[1, 1, 1, 1]
    ),
    "MaxPool": lambda g: g.add("MaxPool", g.images(), kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool of an odd size": lambda g: g.add(
        "MaxPool", g.images(), kernel_shape=[4, 3], strides=[4, 3]
    ),
    "MaxPool that overlaps": lambda g: g.add(
        "MaxPool", g.images(), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "AveragePool": lambda g: g.add("AveragePool", g.images(), kernel_shape=[3, 2], strides=[2, 2]),
    "AveragePool side by side": lambda g: g.add(
        "AveragePool", g.images(), kernel_shape=[4, 3], strides=[4, 3]
    ),
    "GlobalAveragePool": lambda g: g.add("GlobalAveragePool", g.images()),
    "Cast": lambda g: g.add("Cast", "pixels", to=TensorProto.FLOAT),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_are_those_of_finite_differences(operator):
    graph = Graph()
    content = graph.content(OPERATORS[operator](graph))
    pixels = np.random.default_rng(1).normal(size=(3, *SHAPE))
    expected = differences(content, pixels)
    assert_allclose(gradients(content, pixels), expected, rtol=1e-4, atol=1e-4)


def known(x):
    bell = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    share = norm.cdf(x)
    return {
        "Erf": (erf(x), 2 / np.sqrt(np.pi) * np.exp(-(x**2))),
        "Gelu": (x * share, share + x * bell),
    }


@pytest.mark.parametrize("operator", ["Erf", "Gelu"])
def test_gradients_of_bells_are_known(operator):
    graph = Graph()
    content = graph.content(graph.add(operator, "pixels"), opset=20)
    pixels = np.random.default_rng(1).normal(size=(3, *SHAPE))
    value, slope = known(pixels)[operator]
    assert_allclose(gradients(content, pixels), (1 + 2 * value) * slope, rtol=1e-4, atol=1e-5)


def test_rounding_counts_as_the_identity():
    scale, zero = np.float32(0.01), np.uint8(128)
    graph, plain = Graph(), Graph()
    levels = graph.add("QuantizeLinear", "pixels", scale, zero)
    weights = graph.normal(3, 2)
    rounded = graph.add("DequantizeLinear", levels, scale, zero)
    content = graph.content(graph.add("MatMul", rounded, weights))
    expected = plain.content(plain.add("MatMul", "pixels", weights))
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, *SHAPE))
    assert_allclose(gradients(content, pixels), gradients(expected, pixels), atol=0.1)


def test_dynamic_whole_numbers_have_the_gradient_of_their_weights():
    graph, plain = Graph(), Graph()
    weights = graph.random.integers(-60, 60, (3, 2)).astype(np.int8)
    levels, scale, zero = graph.add("DynamicQuantizeLinear", "pixels", outputs=3)
    product = graph.add("MatMulInteger", levels, weights, zero)
    product = graph.add("Mul", graph.add("Cast", product, to=TensorProto.FLOAT), scale)
    content = graph.content(product)
    expected = plain.content(plain.add("MatMul", "pixels", weights.astype(np.float32)))
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, *SHAPE))
    found, wanted = gradients(content, pixels), gradients(expected, pixels)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999


def test_of_equal_entries_the_first_gets_the_gradient_and_a_kink_has_none():
    graph = Graph((2, 2, 1))
    pool = graph.add("MaxPool", graph.images(), kernel_shape=[2, 2], strides=[2, 2])
    content = graph.content(pool)
    assert_allclose(gradients(content, np.ones((1, 2, 2, 1))).ravel(), [3, 0, 0, 0])
    graph = Graph((2, 2, 1))
    content = graph.content(graph.add("Relu", "pixels"))
    assert not gradients(content, np.zeros((1, 2, 2, 1))).any()
    graph = Graph((2, 2, 1))
    content = graph.content(graph.add("Sqrt", graph.add("Mul", "pixels", "pixels")))
    assert not gradients(content, np.zeros((1, 2, 2, 1))).any()


def test_a_gradient_by_a_tensor_between_comes_with_its_values():
    graph = Graph()
    between = graph.add("Mul", "pixels", np.float32(3))
    content = graph.content(graph.add("Exp", between))
    session = make_session(gradient_graph(content, wrt=between).SerializeToString(), "test")
    pixels = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
    names = ["score", "gradient", "activation"]
    _, gradient, activation = session.run(names, {"pixels": pixels})
    assert_allclose(activation, 3 * pixels)
    value = np.exp(3 * pixels)
    assert_allclose(gradient, (1 + 2 * value) * value, rtol=1e-4)
    assert tensor_shapes(content)[between] == SHAPE


def test_older_graphs_are_converted():
    pixels = np.random.default_rng(1).normal(size=(3, *SHAPE))
    found = []
    for opset in (13, 18):
        graph = Graph()
        pool = graph.add("MaxPool", graph.images(), kernel_shape=[3, 3], strides=[2, 2])
        found.append(gradients(graph.content(pool, opset), pixels))
    assert_allclose(*found, rtol=1e-5)


def test_batches_do_not_mix():
    graph = Graph()
    content = graph.content(graph.add("Softmax", "pixels"))
    pixels = np.random.default_rng(1).normal(size=(5, *SHAPE))
    alone = [gradients(content, pixels[k : k + 1])[0] for k in range(5)]
    assert_allclose(gradients(content, pixels), alone, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: g.add("Sin", "pixels"), "the operator Sin has no gradient here. Use Occl"),
        (lambda g: g.normal(2, 3), "'score' does not depend on 'pixels'"),
        (
            lambda g: g.add(
                "Conv", g.images(), g.add("Reshape", "pixels", np.array([-1, 3, 2, 2]))
            ),
            "changes from image to image",
        ),
        (
            lambda g: g.add(
                "Slice", "pixels", np.array([0]), np.array([5]), np.array([1]), np.array([2])
            ),
            "has steps",
        ),
        (lambda g: g.add("Pad", "pixels", np.array([0, 1, 1, 0] * 2), mode="edge"), "its border"),
    ],
)
def test_what_has_no_gradient_is_named(make, message):
    graph = Graph((2, 2, 3))
    content = graph.content(make(graph))
    with pytest.raises(ModelFileError, match=message):
        gradient_graph(content)


def test_unknown_tensors_and_features_are_errors():
    graph = Graph()
    content = graph.content("pixels")
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    forensic = ForensicDetector(feature_set=["block_dct"], image_size=(32, 32), random_state=0)
    forensic.fit(X, [0, 1] * 4)
    with pytest.raises(ModelFileError, match="has no tensor 'nothing'"):
        gradient_graph(content, wrt="nothing")
    with pytest.raises(ModelFileError, match=r"begins with features.*OcclusionSaliency"):
        gradient_graph(forensic.to_onnx().SerializeToString())


@pytest.mark.parametrize("color_space", ["gray", "rgb"])
@pytest.mark.parametrize("block_norm", ["L1", "L1-sqrt", "L2", "L2-Hys"])
def test_hog_has_the_gradient_of_finite_differences_between_the_edges_of_bins(
    color_space, block_norm
):
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (6, 24, 24, 3), np.uint8)
    detector = HoGSVMDetector(
        image_size=(24, 24), color_space=color_space, block_norm=block_norm
    ).fit(X, [0, 1] * 3)
    content = detector.to_onnx().SerializeToString()
    channels = (3,) if color_space == "rgb" else ()
    pixels = random.integers(0, 256, (1, 24, 24, *channels)).astype(np.float64)
    places = [(*random.integers(0, 24, 2), *[1] * len(channels)) for _ in range(60)]
    found = gradients(content, pixels)[0]
    expected = differences(content, pixels, step=1e-4, places=places)[0]
    error = [abs(found[place] - expected[place]) / np.abs(found).max() for place in places]
    # Whole differences of levels lie on the edges of bins now and then; there it jumps.
    assert np.median(error) < 1e-4
    assert np.mean(np.less(error, 1e-3)) > 0.9
