"""The gradient of an ONNX graph, as another ONNX graph.

The result is a plain ONNX model, so computing a gradient needs onnxruntime only.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import helper

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.adjoint import AdjointBuilder
from detectorkit.graph.adjoint_rules import RULES
from detectorkit.graph.dependence import needed_nodes
from detectorkit.graph.preparation import number_of_images, prepare_graph

__all__ = ["gradient_graph", "tensor_shapes"]

_N_IMAGES: Final = 2  # run to find the shapes; not 1, which could be a broadcast


def gradient_graph(
    content: bytes, of: str = "score", *, wrt: str | None = None, name: str = "The model"
) -> onnx.ModelProto:
    """Build the graph of the gradient of a model."""
    model = prepare_graph(content, name)
    start = "pixels" if wrt is None else wrt
    n_images = number_of_images(model)
    builder = AdjointBuilder(model, of, start, name, RULES, n_images=n_images or _N_IMAGES)
    gradient = builder.differentiate()
    if n_images is None:
        _check_other_number(builder, model, of, start, name)
    else:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = n_images
    builder.graph.add("Identity", gradient, name="gradient")
    outputs = [of, "gradient"]
    if wrt is not None:
        outputs.append(builder.graph.add("Identity", start, name="activation"))
    return _close(builder, model, outputs)


def _check_other_number(
    builder: AdjointBuilder, model: onnx.ModelProto, of: str, wrt: str, name: str
) -> None:
    """Check that the gradient does not depend on the number of images that were run."""
    other = AdjointBuilder(model, of, wrt, name, RULES, n_images=_N_IMAGES + 1, is_sketch=True)
    other.differentiate()
    if other.fingerprint != builder.fingerprint:
        raise ModelFileError(
            f"{name} has a gradient that depends on the number of images, because it computes with "
            "that number or mixes images. Export it for one image at a time, or use "
            "OcclusionSaliency, which needs predictions only."
        )


def tensor_shapes(content: bytes, name: str = "The model") -> dict[str, tuple[int, ...]]:
    """Return the shapes of all floating-point tensors between pixels and score."""
    model = prepare_graph(content, name)
    n_images = number_of_images(model) or _N_IMAGES
    builder = AdjointBuilder(model, "score", "pixels", name, RULES, n_images=n_images)
    original = {
        output for node in onnx.load_model_from_string(content).graph.node for output in node.output
    }
    return {
        output: builder.shape(output)[1:]
        for node in model.graph.node
        for output in node.output
        if output in original
        and output in builder.dependent
        and builder.probes[output].dtype.kind == "f"
    }


def _close(builder: AdjointBuilder, model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """Make a model of the nodes and constants that the outputs need."""
    nodes, wanted = needed_nodes(builder.graph.nodes, outputs)
    constants = [
        tensor
        for tensor in (*model.graph.initializer, *builder.graph.constants)
        if tensor.name in wanted
    ]
    graph = helper.make_graph(
        nodes,
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
