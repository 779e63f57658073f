"""The gradient of a graph, as a graph.

What comes out is a plain ONNX model, so a gradient needs onnxruntime and nothing else.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import helper, version_converter

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.adjoint import AdjointBuilder
from detectorkit.graph.adjoint_rules import RULES

__all__ = ["gradient_graph", "tensor_shapes"]

_NEWER_OPSET: Final = 17
_OLDEST_OPSET: Final = 16  # `ScatterElements` adds since then


def gradient_graph(
    content: bytes, of: str = "score", *, wrt: str | None = None, name: str = "The model"
) -> onnx.ModelProto:
    """Build the graph of a gradient.

    Parameters
    ----------
    content : bytes
        The content of an ONNX file that takes "pixels".
    of : str, default="score"
        The tensor that is differentiated; its first axis is that of the images, and of each image
        all entries are added.
    wrt : str, default=None
        The tensor with respect to which it is. None takes the pixels, as numbers from 0 to 255.
    name : str, default="The model"
        What error messages call it.

    Returns
    -------
    model : onnx.ModelProto
        From "pixels" to `of`, "gradient" and, if `wrt` is given, that tensor as "activation".
        Pixels are float32.

    Raises
    ------
    ModelFileError
        If there is no such tensor, `of` does not depend on `wrt`, or an operator between them has
        no gradient here; the message names it.
    """
    model = _prepare(content, name)
    start = "pixels" if wrt is None else wrt
    builder = AdjointBuilder(model, of, start, name)
    gradient = builder.differentiate(RULES)
    builder.graph.add("Identity", gradient, name="gradient")
    outputs = [of, "gradient"]
    if wrt is not None:
        outputs.append(builder.graph.add("Identity", start, name="activation"))
    return _close(builder, model, outputs)


def tensor_shapes(content: bytes, name: str = "The model") -> dict[str, tuple[int, ...]]:
    """Give the shapes of all floating-point tensors between pixels and score.

    Parameters
    ----------
    content : bytes
        The content of an ONNX file that takes "pixels".
    name : str, default="The model"
        What error messages call it.

    Returns
    -------
    shapes : dict of str to tuple of int
        In the order of computation, without the axis of the images.
    """
    model = _prepare(content, name)
    builder = AdjointBuilder(model, "score", "pixels", name)
    return {
        output: builder.shape(output)[1:]
        for node in model.graph.node
        for output in node.output
        if output in builder.dependent and builder.probes[output].dtype.kind == "f"
    }


def _prepare(content: bytes, name: str) -> onnx.ModelProto:
    """Read a graph, bring it to a version that has all operators wanted, and let it take floats."""
    model = onnx.load_model_from_string(content)
    inputs = [one.name for one in model.graph.input]
    if "pixels" not in inputs:
        raise ModelFileError(
            f"{name} begins with features, not with pixels, so it has no gradient. Use "
            "OcclusionSaliency, which needs predictions only."
        )
    opset = next(one.version for one in model.opset_import if not one.domain)
    if opset < _OLDEST_OPSET:
        try:
            model = version_converter.convert_version(model, _NEWER_OPSET)
        except Exception as error:  # the converter's exceptions have no public base class
            raise ModelFileError(
                f"{name} has opset {opset}, and cannot be converted to {_NEWER_OPSET}, which a "
                f"gradient needs: {error}. Export it anew with opset {_OLDEST_OPSET} or newer."
            ) from error
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


def _close(builder: AdjointBuilder, model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """Make a model of what the outputs need."""
    wanted, nodes = set(outputs), []
    for node in reversed(builder.graph.nodes):
        if wanted & set(node.output):
            wanted.update(node.input)
            nodes.append(node)
    constants = [
        tensor
        for tensor in (*model.graph.initializer, *builder.graph.constants)
        if tensor.name in wanted
    ]
    graph = helper.make_graph(
        nodes[::-1],
        "gradient",
        [model.graph.input[0]],
        [helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, None) for one in outputs],
        constants,
    )
    closed = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    closed.metadata_props.extend(model.metadata_props)
    return closed
