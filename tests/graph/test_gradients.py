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
    "Pow with many exponents": lambda g: g.add(
        "Pow", g.add("Exp", "pixels"), np.array([[0.5], [0], [2], [3]], np.float32)
    ),
    "Pow by its exponent": lambda g: g.add("Pow", np.float32([0.5, 2, 3]), "pixels"),
    "Max of one and the same": lambda g: g.add("Max", "pixels", "pixels"),
    "Min of three, two the same": lambda g: g.add(
        "Min", "pixels", g.add("Neg", "pixels"), g.add("Identity", "pixels")
    ),
    "Mean": lambda g: g.add("Mean", "pixels", g.add("Exp", "pixels"), g.normal(3)),
    "Clip by a tensor": lambda g: g.add(
        "Clip", "pixels", g.add("Reshape", np.float32([-0.3]), np.array([], np.int64))
    ),
    "PRelu": lambda g: g.add("PRelu", "pixels", g.normal(4, 1)),
    "PRelu by its slope": lambda g: g.add(
        "PRelu", "pixels", g.add("ReduceMean", "pixels", np.array([2]))
    ),
    "Elu": lambda g: g.add("Elu", "pixels", alpha=0.7),
    "Celu": lambda g: g.add("Celu", "pixels", alpha=0.7),
    "Selu": lambda g: g.add("Selu", "pixels"),
    "Softplus": lambda g: g.add("Softplus", "pixels"),
    "Softsign": lambda g: g.add("Softsign", "pixels"),
    "Mish": lambda g: g.add("Mish", "pixels"),
    "ThresholdedRelu": lambda g: g.add("ThresholdedRelu", "pixels", alpha=0.2),
    "Shrink": lambda g: g.add("Shrink", "pixels", lambd=0.3, bias=0.1),
    "Sin, Cos": lambda g: g.add("Mul", g.add("Sin", "pixels"), g.add("Cos", "pixels")),
    "Atan": lambda g: g.add("Atan", "pixels"),
    "LogSoftmax": lambda g: g.add("LogSoftmax", "pixels", axis=-2),
    "ReduceL1": lambda g: g.add("ReduceL1", "pixels", np.array([1]), keepdims=0),
    "ReduceL2": lambda g: g.add("ReduceL2", "pixels", np.array([-1, 2]), keepdims=0),
    "ReduceMax": lambda g: g.add("ReduceMax", "pixels", np.array([2]), keepdims=0),
    "ReduceMin": lambda g: g.add("ReduceMin", "pixels", np.array([1, 2])),
    "ReduceProd": lambda g: g.add("ReduceProd", "pixels", np.array([3]), keepdims=0),
    "ReduceLogSum": lambda g: g.add("ReduceLogSum", g.add("Exp", "pixels"), np.array([1])),
    "ReduceLogSumExp": lambda g: g.add("ReduceLogSumExp", "pixels", np.array([1, 3])),
    "GlobalMaxPool": lambda g: g.add("GlobalMaxPool", g.images()),
    "CumSum": lambda g: g.add("CumSum", "pixels", np.array(2), exclusive=1),
    "LpNormalization": lambda g: g.add("LpNormalization", "pixels", axis=1, p=2),
    "LRN": lambda g: g.add("LRN", g.images(), size=3, alpha=0.5, beta=0.6),
    "LayerNormalization by all": lambda g: g.add(
        "LayerNormalization",
        "pixels",
        g.add("ReduceMean", g.add("Exp", "pixels"), np.array([1, 2])),
        g.add("ReduceMean", "pixels", np.array([1, 2])),
    ),
    "InstanceNormalization": lambda g: g.add(
        "InstanceNormalization", g.images(), g.normal(3), g.normal(3)
    ),
    "GroupNormalization of groups": lambda g: g.add(
        "GroupNormalization",
        g.add("Transpose", "pixels", perm=[0, 2, 1, 3]),
        g.normal(2),
        g.normal(2),
        num_groups=2,
    ),
    "Einsum": lambda g: g.add("Einsum", "pixels", g.normal(3, 5), equation="nhwc,ck->nkh"),
    "Gemm with an offset that changes": lambda g: g.add(
        "Gemm",
        g.add("Flatten", "pixels"),
        g.normal(72, 5),
        g.add("Slice", g.add("Flatten", "pixels"), np.array([0]), np.array([5]), np.array([1])),
        beta=0.5,
    ),
    "MatMul by a vector": lambda g: g.add("MatMul", "pixels", g.normal(3)),
    "Conv of its own padding before": lambda g: g.add(
        "Conv", g.images(), g.normal(2, 3, 2, 2), auto_pad="SAME_LOWER"
    ),
    "ConvTranspose": lambda g: g.add(
        "ConvTranspose",
        g.images(),
        g.normal(3, 2, 3, 2),
        g.normal(2),
        strides=[2, 1],
        pads=[1, 0, 0, 1],
    ),
    "ConvTranspose with holes": lambda g: g.add(
        "ConvTranspose",
        g.images(),
        g.normal(3, 2, 3, 3),
        strides=[2, 2],
        dilations=[1, 2],
        output_padding=[1, 0],
    ),
    "MaxPool of an odd size with a border": lambda g: g.add(
        "MaxPool",
        g.add("Transpose", "pixels", perm=[0, 2, 3, 1]),
        kernel_shape=[2, 2],
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    ),
    "MaxPool side by side with a border": lambda g: g.add(
        "MaxPool", g.images(), kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "MaxPool with holes": lambda g: g.add(
        "MaxPool", g.images(), kernel_shape=[2, 2], dilations=[2, 1]
    ),
    "MaxPool beyond the end": lambda g: g.add(
        "MaxPool", g.images(), kernel_shape=[2, 3], strides=[3, 3], ceil_mode=1
    ),
    "AveragePool with a border": lambda g: g.add(
        "AveragePool", g.images(), kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 0, 1]
    ),
    "AveragePool with a border that counts": lambda g: g.add(
        "AveragePool", g.images(), kernel_shape=[3, 2], pads=[1, 1, 1, 0], count_include_pad=1
    ),
    "AveragePool of its own padding": lambda g: g.add(
        "AveragePool", g.images(), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "AveragePool of its own padding before": lambda g: g.add(
        "AveragePool", g.images(), kernel_shape=[2, 2], auto_pad="SAME_LOWER"
    ),
    "Slice with steps": lambda g: g.add(
        "Slice", "pixels", np.array([0, -1]), np.array([9, -9]), np.array([1, 2]), np.array([2, -1])
    ),
    "Gather of several": lambda g: g.add("Gather", "pixels", np.array([2, -1, 0]), axis=1),
    "Gather of repeated": lambda g: g.add("Gather", "pixels", np.array([[2, 0], [1, 2]]), axis=2),
    "Gather by the content": lambda g: g.add(
        "GatherND",
        "pixels",
        g.add(
            "Unsqueeze",
            g.add(
                "ArgMax",
                g.add("ReduceSum", "pixels", np.array([2, 3]), keepdims=0),
                axis=1,
                keepdims=0,
            ),
            np.array([1]),
        ),
        batch_dims=1,
    ),
    "Tile": lambda g: g.add("Tile", "pixels", np.array([1, 2, 1, 3])),
    "TopK": lambda g: g.add("TopK", "pixels", np.array([2]), axis=1, outputs=2)[0],
    "ScatterElements": lambda g: g.add(
        "ScatterElements",
        g.add("Exp", "pixels"),
        g.add("ArgMax", "pixels", axis=3),
        g.add("ReduceSum", "pixels", np.array([3])),
        axis=3,
    ),
    "Trilu": lambda g: g.add("Trilu", "pixels", upper=0),
    "Pad that reflects": lambda g: g.add(
        "Pad", "pixels", np.array([0, 2, 1, 0, 0, 1, 2, 0]), mode="reflect"
    ),
    "Pad that repeats": lambda g: g.add(
        "Pad", "pixels", np.array([2, 0, 1, 1]), "", np.array([1, 3]), mode="edge"
    ),
    "DepthToSpace": lambda g: g.add(
        "DepthToSpace", g.add("Transpose", "pixels", perm=[0, 2, 1, 3]), blocksize=2
    ),
    "DepthToSpace, columns first": lambda g: g.add(
        "DepthToSpace", g.add("Transpose", "pixels", perm=[0, 2, 1, 3]), blocksize=2, mode="CRD"
    ),
    "SpaceToDepth": lambda g: g.add(
        "SpaceToDepth", g.add("Transpose", "pixels", perm=[0, 3, 1, 2]), blocksize=2
    ),
    "Resize to the nearest": lambda g: g.add(
        "Resize", g.images(), "", np.float32([1, 1, 2, 1.5]), mode="nearest"
    ),
    "Resize, linear": lambda g: g.add(
        "Resize", g.images(), "", np.float32([1, 1, 1.5, 0.75]), mode="linear"
    ),
    "Resize, cubic": lambda g: g.add(
        "Resize",
        g.images(),
        "",
        np.float32([1, 1, 1.5, 2]),
        mode="cubic",
        coordinate_transformation_mode="asymmetric",
    ),
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


def test_a_border_that_cuts_leaves_no_gradient_there():
    graph = Graph((3, 3))
    cut = graph.add("Pad", "pixels", np.array([0, -1, 1, 0, 0, -1]), np.float32(5))
    pixels = np.arange(9.0).reshape(1, 3, 3)
    expected = np.zeros((1, 3, 3))
    expected[:, 1:, :2] = 1 + 2 * pixels[:, 1:, :2]
    assert_allclose(gradients(graph.content(cut), pixels), expected)


def test_transposed_convolutions_of_groups_are_those_of_each_group():
    weights = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)
    whole, apart = Graph((4, 5, 5)), Graph((4, 5, 5))
    content = whole.content(
        whole.add("ConvTranspose", "pixels", weights, group=2, strides=[2, 2], pads=[1, 0, 0, 1])
    )
    halves = apart.add("Split", "pixels", np.array([2, 2]), axis=1, outputs=2)
    made = [
        apart.add("ConvTranspose", one, part, strides=[2, 2], pads=[1, 0, 0, 1])
        for one, part in zip(halves, (weights[:2], weights[2:]), strict=True)
    ]
    expected = apart.content(apart.add("Concat", *made, axis=1))
    pixels = np.random.default_rng(1).normal(size=(2, 4, 5, 5))
    assert_allclose(gradients(content, pixels), gradients(expected, pixels), rtol=1e-4, atol=1e-4)


def test_weights_that_change_with_the_image_have_their_part_of_the_gradient():
    # The kernel is the image itself, as are weights and offsets of normalizations in some networks.
    graph = Graph((4, 2, 3, 3))
    one = graph.add("ReduceSum", "pixels", np.array([0]), keepdims=0)
    kernels = graph.add("Slice", one, np.array([0]), np.array([2]), np.array([2]))
    offsets = graph.add("ReduceMean", one, np.array([1, 2, 3]), keepdims=0)
    made = graph.add("Conv", one, kernels, offsets, pads=[1, 1, 0, 1], strides=[2, 1])
    content = graph.content(graph.add("Unsqueeze", made, np.array([0])))
    pixels = np.random.default_rng(1).normal(size=(1, 4, 2, 3, 3))
    assert_allclose(gradients(content, pixels), differences(content, pixels), rtol=1e-3, atol=1e-3)


def test_places_of_a_pooling_may_count_along_columns():
    settings = {"kernel_shape": [3, 3], "strides": [2, 2], "outputs": 2}
    rows, columns = Graph(), Graph()
    expected = rows.content(rows.add("MaxPool", rows.images(), **settings)[0])
    made = columns.add("MaxPool", columns.images(), storage_order=1, **settings)[0]
    pixels = np.random.default_rng(1).normal(size=(2, *SHAPE))
    assert_allclose(gradients(columns.content(made), pixels), gradients(expected, pixels))


def test_equal_operands_share_the_gradient():
    graph = Graph((2, 2, 1))
    content = graph.content(graph.add("Max", "pixels", np.float32(1)))
    assert_allclose(gradients(content, np.ones((1, 2, 2, 1))), 1.5)
    graph = Graph((2, 2, 1))
    content = graph.content(graph.add("ReduceMax", "pixels", np.array([1, 2])))
    assert_allclose(gradients(content, np.ones((1, 2, 2, 1))), 0.75)


def test_groups_of_newer_versions_have_a_scale_of_each_channel():
    graph, plain = Graph((4, 3, 2)), Graph((4, 3, 2))
    scale, bias = graph.normal(4), graph.normal(4)
    made = graph.add("GroupNormalization", "pixels", scale, bias, num_groups=2, epsilon=0.1)
    groups = plain.add("Reshape", "pixels", np.array([0, 2, -1]))
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    normal = plain.add("InstanceNormalization", groups, ones, zeros, epsilon=0.1)
    normal = plain.add("Reshape", normal, np.array([0, 4, 3, 2]))
    scaled = plain.add("Mul", normal, scale.reshape(4, 1, 1))
    expected = plain.content(plain.add("Add", scaled, bias.reshape(4, 1, 1)))
    pixels = np.random.default_rng(1).normal(size=(2, 4, 3, 2))
    found = gradients(graph.content(made, opset=21), pixels)
    assert_allclose(found, gradients(expected, pixels), rtol=1e-3, atol=1e-4)


def test_levels_have_their_own_scale_in_each_channel_and_no_gradient_beyond_the_last():
    graph = Graph((2, 3))
    scale, zero = np.float32([0.5, 2]), np.zeros(2, np.int8)
    levels = graph.add("QuantizeLinear", "pixels", scale, zero, axis=1)
    content = graph.content(graph.add("DequantizeLinear", levels, scale, zero, axis=1))
    pixels = np.array([[[1, 2, 1000], [4, 8, -1000]]])
    assert_allclose(gradients(content, pixels), [[[3, 5, 0], [9, 17, 0]]])


def test_a_row_of_a_softmax_that_is_masked_has_no_gradient():
    # What is taken away from all is NaN, which a later `Where` replaces.
    graph = Graph((2, 3))
    mask = np.float32([[0, 0, -np.inf], [-np.inf] * 3])
    rows = graph.add("Softmax", graph.add("Add", "pixels", mask))
    kept = graph.add("Where", np.array([[True], [False]]), rows, np.float32(0))
    found = gradients(graph.content(kept), np.array([[[0.3, 0.1, 0.5], [0.2, 0.4, 0.1]]]))
    assert np.isfinite(found).all()
    assert not found[0, 1].any()
    assert found[0, 0, :2].all()


# Branches and loops


def subgraph(nodes, output, constants=()):
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(nodes, output, [], [value], [*constants])


def branch(graph, condition, then, otherwise):
    """An `If` whose branches see the tensors around it."""
    made = [
        subgraph([helper.make_node(operator, inputs, ["inner"])], "inner")
        for operator, inputs in (then, otherwise)
    ]
    return graph.add("If", condition, then_branch=made[0], else_branch=made[1])


def test_a_branch_that_is_always_taken_is_part_of_the_graph():
    # As torch writes `squeeze`: the branch depends on a size.
    graph, plain = Graph(), Graph()
    size = graph.add("Gather", graph.add("Shape", "pixels"), np.array(3))
    condition = graph.add("Equal", size, np.array(1))
    exp = ("Exp", ["pixels"])
    content = graph.content(branch(graph, condition, ("Neg", ["pixels"]), exp))
    expected = plain.content(plain.add("Exp", "pixels"))
    pixels = np.random.default_rng(1).normal(size=(2, *SHAPE))
    assert_allclose(gradients(content, pixels), gradients(expected, pixels))


def test_branches_have_names_of_their_own():
    graph = Graph()
    tensor = "pixels"
    for _ in range(2):
        tensor = branch(graph, np.bool_(1), ("Tanh", [tensor]), ("Neg", [tensor]))
    plain = Graph()
    expected = plain.content(plain.add("Tanh", plain.add("Tanh", "pixels")))
    pixels = np.random.default_rng(1).normal(size=(2, *SHAPE))
    assert_allclose(gradients(graph.content(tensor), pixels), gradients(expected, pixels))


def test_branches_that_the_pixels_choose_are_refused_by_name():
    graph = Graph()
    condition = graph.add("Less", graph.add("ReduceMax", "pixels", keepdims=0), np.float32(0.5))
    content = graph.content(branch(graph, condition, ("Exp", ["pixels"]), ("Neg", ["pixels"])))
    with pytest.raises(ModelFileError, match=r"operator If \(node '.*OcclusionSaliency"):
        gradient_graph(content)


def test_a_branch_of_one_image_alone_is_refused_by_name():
    graph = Graph()
    size = graph.add("Gather", graph.add("Shape", "pixels"), np.array(0))
    condition = graph.add("Equal", size, np.array(1))
    content = graph.content(branch(graph, condition, ("Exp", ["pixels"]), ("Neg", ["pixels"])))
    with pytest.raises(ModelFileError, match=r"operator If \(node '"):
        gradient_graph(content)


def loop(graph, reads):
    """A `Loop` that runs twice, and reads a tensor around it."""
    names = [
        ("i", TensorProto.INT64, []),
        ("go", TensorProto.BOOL, []),
        ("state", TensorProto.FLOAT, None),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Mul", ["state", reads], ["next"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in names],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, None),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return graph.add("Loop", np.array(2), np.bool_(1), np.float32(3), body=body)


def test_a_loop_that_reads_the_pixels_around_it_is_refused_by_name():
    graph = Graph()
    with pytest.raises(ModelFileError, match=r"operator Loop \(node '"):
        gradient_graph(graph.content(graph.add("Add", loop(graph, "pixels"), "pixels")))


def test_a_loop_that_does_not_is_a_constant():
    graph = Graph()
    graph.constants.append(numpy_helper.from_array(np.float32(2), "factor"))
    content = graph.content(graph.add("Mul", loop(graph, "factor"), "pixels"))
    pixels = np.random.default_rng(1).normal(size=(2, *SHAPE))
    assert_allclose(gradients(content, pixels), (1 + 2 * 12 * pixels) * 12, rtol=1e-5)


# Networks of other precision, and of a fixed number of images


def halved(content):
    model = load_model_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for node in model.graph.node:
        node.input[:] = ["half" if one == "pixels" else one for one in node.input]
        node.output[:] = ["half/score" if one == "score" else one for one in node.output]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["half"], to=TensorProto.FLOAT16),
        *model.graph.node,
        helper.make_node("Cast", ["half/score"], ["score"], to=TensorProto.FLOAT),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def for_one_image(content):
    model = load_model_from_string(content)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model.SerializeToString()


def test_half_precision_is_differentiated_in_single_precision():
    graph = Graph()
    pool = graph.add("Conv", graph.images(), graph.normal(4, 3, 3, 3), graph.normal(4))
    content = graph.content(graph.add("Softmax", graph.add("ReduceMax", pool, np.array([2, 3]))))
    pixels = np.random.default_rng(1).normal(size=(3, *SHAPE))
    assert_allclose(gradients(halved(content), pixels), gradients(content, pixels), atol=2e-3)


def test_a_graph_of_one_image_at_a_time_has_a_gradient_of_one():
    graph = Graph()
    rows = graph.add("Reshape", "pixels", np.array([1, -1]))
    content = graph.content(graph.add("MatMul", graph.add("Tanh", rows), graph.normal(72, 5)))
    content = for_one_image(content)
    pixels = np.random.default_rng(1).normal(size=(1, *SHAPE))
    assert_allclose(gradients(content, pixels), differences(content, pixels), rtol=1e-3, atol=1e-3)


def test_images_that_are_mixed_are_refused():
    graph = Graph()
    mean = graph.add("ReduceMean", "pixels", np.array([0]))
    with pytest.raises(ModelFileError, match="depends on the number of images"):
        gradient_graph(graph.content(graph.add("Sub", "pixels", mean)))


# What is refused


REFUSED = {
    "an operator without a rule": (
        lambda g: g.add("Det", "pixels"),
        r"operator Det \(node 'Det_0_0'\)",
    ),
    "a constant": (lambda g: g.normal(2, 3), "'score' does not depend on 'pixels'"),
    "batches that change": (
        lambda g: g.add(
            "BatchNormalization",
            g.images(),
            *(np.ones(3, np.float32) for _ in range(4)),
            training_mode=1,
            outputs=3,
        )[0],
        r"BatchNormalization \(node .*training mode",
    ),
    "an attribute that is not known": (
        lambda g: g.add(
            "ScatterElements",
            "pixels",
            g.add("ArgMax", "pixels", axis=1),
            g.add("ReduceSum", "pixels", np.array([1])),
            axis=1,
            reduction="max",
        ),
        r"ScatterElements \(node .*reduction='max'",
    ),
    "a shape that the pixels choose": (
        lambda g: g.add(
            "Reshape",
            g.add(
                "Compress",
                g.add("Reshape", "pixels", np.array([-1])),
                g.add("Greater", g.add("Reshape", "pixels", np.array([-1])), np.float32(-1)),
            ),
            np.array([-1, 1]),
        ),
        r"operator Compress \(node .*gives shapes that change with the pixels",
    ),
    "whole products of other kinds": (
        lambda g: g.add(
            "DequantizeLinear",
            g.add(
                "QLinearMatMul",
                g.add("QuantizeLinear", "pixels", np.float32(0.1), np.uint8(128)),
                np.float32(0.1),
                np.uint8(128),
                np.ones((3, 2), np.uint8),
                np.float32(0.1),
                np.uint8(0),
                np.float32(0.1),
                np.uint8(0),
            ),
            np.float32(0.1),
            np.uint8(0),
        ),
        r"QLinearMatMul \(node",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_gradient_is_named(case):
    make, message = REFUSED[case]
    graph = Graph((2, 2, 2)) if "without" in case else Graph((2, 2, 3))
    content = graph.content(make(graph))
    with pytest.raises(ModelFileError, match=message):
        gradient_graph(content)


def test_operators_of_another_domain_are_named_with_it():
    graph = Graph()
    content = graph.content(graph.add("QuickGelu", "pixels", domain="com.microsoft"))
    model = load_model_from_string(content)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ModelFileError, match=r"operator com\.microsoft\.QuickGelu \(node "):
        gradient_graph(model.SerializeToString())


def test_definitions_of_onnx_stand_for_operators_without_a_rule():
    # Its axes are left out, and are those of images.
    graph, plain = Graph(), Graph()
    content = graph.content(graph.add("MeanVarianceNormalization", graph.images()))
    x = plain.images()
    centred = plain.add("Sub", x, plain.add("ReduceMean", x, np.array([0, 2, 3])))
    variance = plain.add("ReduceMean", plain.add("Mul", centred, centred), np.array([0, 2, 3]))
    deviation = plain.add("Sqrt", variance)
    expected = plain.content(plain.add("Div", centred, deviation))
    pixels = np.random.default_rng(1).normal(size=(1, *SHAPE))
    found = [gradients(for_one_image(one), pixels) for one in (content, expected)]
    assert_allclose(*found, rtol=1e-3, atol=1e-3)


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
