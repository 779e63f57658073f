"""Graphs of networks: scaling of the pixels in front, a score behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, version_converter

from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import GraphBuilder
from detectorkit.graph.checks import check_functions, find_parts
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.reference import BackboneRun
from detectorkit.graph.sessions import MAX_BYTES, make_session, read_model_file
from detectorkit.heads.mlp import DenseLayer

__all__ = [
    "Output",
    "add_network",
    "adopt_classifier",
    "head_graph",
    "join_head",
    "network_graph",
    "read_network",
]

Output = Literal["auto", "logit", "logits", "probability", "probabilities"]

_OLDEST_OPSET: Final = 13  # the nodes added here are written for it
_TARGET_OPSET: Final = 17
_SHAPING: Final = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
_EPS: Final = 1e-7  # probabilities are kept this far from 0 and 1


def read_network(source: Path | bytes) -> onnx.ModelProto:
    """Read an ONNX file, with the weights that are stored beside it."""
    name = str(source) if isinstance(source, Path) else "model"
    content = read_model_file(source) if isinstance(source, Path) else source
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise ModelFileError(f"{name} is not an ONNX model: {error}") from error
    check_functions(model, name)
    _load_weights_beside(model, source.parent if isinstance(source, Path) else None, name)
    opset = next((one.version for one in model.opset_import if not one.domain), _TARGET_OPSET)
    if opset < _OLDEST_OPSET:
        try:
            model = version_converter.convert_version(model, _TARGET_OPSET)
        except Exception as error:
            raise ModelFileError(
                f"{name} has opset {opset}, and it cannot be converted to {_TARGET_OPSET}: "
                f"{error}. Export it anew with opset {_OLDEST_OPSET} or newer."
            ) from error
    return model


def _load_weights_beside(model: onnx.ModelProto, folder: Path | None, name: str) -> None:
    """Load the weights that a model keeps in other files of its folder."""
    infos = [
        onnx.external_data_helper.ExternalDataInfo(tensor)
        for tensor in find_parts(model, "TensorProto")
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    n_bytes = 0
    try:
        for info in infos:
            inside = None if folder is None else (folder / info.location).resolve()
            if inside is None or not inside.is_relative_to(Path(folder or "").resolve()):
                raise ModelFileError(
                    f"{name} keeps weights in {info.location!r}, outside its own folder. Save it "
                    "with its weights inside."
                )
            size = inside.stat().st_size
            n_bytes += info.length or size
            if not inside.is_file() or n_bytes > MAX_BYTES:
                raise ModelFileError(
                    f"{name} keeps weights in {info.location!r}, which must be a file; and all of "
                    f"them must be at most {MAX_BYTES} bytes."
                )
        if infos:
            onnx.load_external_data_for_model(model, str(folder))
    except (OSError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"{name}: its weights cannot be read: {error}") from error


def adopt_classifier(
    source: Path | bytes, network_input: NetworkInput, *, output: Output, generated_index: int
) -> bytes:
    """Make a detector of a foreign binary classifier, and run it on a few images."""
    name = str(source) if isinstance(source, Path) else "model"
    network = read_network(source)
    sizes = [dim.dim_value for dim in _find_input(network, name).type.tensor_type.shape.dim]
    if sizes and sizes[0] > 1:
        raise ModelFileError(
            f"{name} takes exactly {sizes[0]} images at a time. Export it with a dynamic first "
            "dimension, or for one image."
        )
    runs_alone = sizes[:1] == [1] or is_dynamic(network.SerializeToString())
    record = ModelRecord(
        detector="OnnxDetector",
        preprocessing=network_input.preprocessing,
        features=[],
        classes=[0, 1],
        threshold=0.0,
        calibration=SigmoidCalibration(1.0),
        run_size=1 if runs_alone else None,
    )
    settings: dict[str, Any] = {"output": output, "generated_index": generated_index, "name": name}
    model = network_graph(network, network_input, record, **settings)
    content: bytes = model.SerializeToString()
    _probe(content, record, name)
    return content


def _probe(content: bytes, record: ModelRecord, name: str) -> None:
    """Check that a graph returns finite scores, on a few images of noise."""
    n = record.run_size or 3
    shape = (n, *record.preprocessing.array_shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    session = make_session(content, name)
    try:
        scores = session.run(["score"], {"pixels": pixels})[0]
    except ModelFileError as error:
        raise ModelFileError(
            f"{name} fails on {n} images: {error}. Is its first dimension dynamic?"
        ) from error
    if scores.shape != (n,) or not np.isfinite(scores).all():
        raise ModelFileError(
            f"{name} gives {scores} for {n} images; {n} finite scores were expected."
        )


def add_network(
    graph: GraphBuilder, network: onnx.ModelProto, network_input: NetworkInput, name: str = "model"
) -> tuple[str, ...]:
    """Add a network that takes the graph's "pixels"."""
    value = _find_input(network, name)
    is_last = _channels_last(value, network_input, name)
    factor, offset = network_input.scaling
    images = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    if network_input.n_channels == 1:
        images = graph.add("Unsqueeze", images, graph.constant(np.array([3])))
    images = graph.add("Mul", images, graph.constant(factor))
    images = graph.add("Add", images, graph.constant(offset))
    if not is_last:
        images = graph.add("Transpose", images, perm=[0, 3, 1, 2])
    if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
        images = graph.add("Cast", images, to=TensorProto.FLOAT16)
    try:
        return graph.include(network, {value.name: images}, prefix="network/")
    except Exception as error:  # those of compiled code have no public base class
        raise ModelFileError(f"{name} is not a valid ONNX model: {error}") from error


def _find_input(network: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    known = {tensor.name for tensor in network.graph.initializer}
    inputs = [one for one in network.graph.input if one.name not in known]
    if len(inputs) != 1:
        raise ModelFileError(f"{name} has {len(inputs)} inputs; one was expected, the images.")
    return inputs[0]


def _channels_last(value: Any, network_input: NetworkInput, name: str) -> bool:
    """Check the form of a network's input; return whether its channels are last."""
    sizes = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
    if len(sizes) != 4:
        raise ModelFileError(
            f"{name} takes an input of {len(sizes)} dimensions; 4 were expected, (n, channels, "
            "height, width) or (n, height, width, channels)."
        )
    if value.type.tensor_type.elem_type not in {TensorProto.FLOAT, TensorProto.FLOAT16}:
        raise ModelFileError(f"{name} takes images that are not floats; export it with floats.")
    channels = network_input.n_channels
    is_last = sizes[1] != channels and sizes[3] == channels
    expected = (
        (*network_input.image_size, channels) if is_last else (channels, *network_input.image_size)
    )
    if any(size not in {None, wanted} for size, wanted in zip(sizes[1:], expected, strict=True)):
        raise ModelFileError(
            f"{name} takes images of shape {tuple(sizes[1:])}, but its preprocessing makes "
            f"{expected}. Change image_size or color_space of the preprocessing."
        )
    return is_last


def network_graph(
    network: onnx.ModelProto,
    network_input: NetworkInput,
    record: ModelRecord,
    *,
    output: Output = "auto",
    generated_index: int = 1,
    name: str = "model",
) -> onnx.ModelProto:
    """Build the graph of a detector that is a network."""
    graph = GraphBuilder()
    outputs = add_network(graph, network, network_input, name)
    score = _add_score(graph, network, outputs[0], output, generated_index, name)
    _finish(graph, score, record)
    return graph.to_model(record, name=name)


def _finish(graph: GraphBuilder, score: str, record: ModelRecord) -> None:
    """Add the outputs "score" and "probability"."""
    graph.add("Reshape", score, graph.constant(np.array([-1])), name="score")
    graph.calibrate("score", record.calibration)


def head_graph(layers: Sequence[DenseLayer], record: ModelRecord) -> onnx.ModelProto:
    """Build the graph of a head alone, from "features" to a score."""
    graph = GraphBuilder()
    _finish(graph, _add_layers(graph, "features", layers), record)
    return graph.to_model(record, n_features=len(layers[0][0]))


def join_head(head: onnx.ModelProto, backbone: BackboneRun, record: ModelRecord) -> onnx.ModelProto:
    """Join a head and the backbone that it refers to in one graph from pixels to a score."""
    graph = GraphBuilder()
    network = onnx.load_model_from_string(backbone.content)
    features = add_network(graph, network, backbone.network_input)[0]
    features = graph.add("Flatten", features)
    if backbone.columns is not None:
        features = graph.add("Gather", features, graph.constant(backbone.columns), axis=1)
    names = {"features": features, "score": "score", "probability": "probability"}
    for node in head.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(one, f"head/{one}") if one else one for one in field]
        node.name = names.get(node.name, f"head/{node.name}")
    for tensor in head.graph.initializer:
        tensor.name = f"head/{tensor.name}"
    graph.nodes.extend(head.graph.node)
    graph.constants.extend(head.graph.initializer)
    return graph.to_model(replace(record, backbone=None))


def _add_layers(graph: GraphBuilder, features: str, layers: Sequence[DenseLayer]) -> str:
    for number, (weights, offsets) in enumerate(layers, 1):
        product = graph.add("MatMul", features, graph.constant(weights.astype(np.float32)))
        features = graph.add("Add", product, graph.constant(offsets.astype(np.float32)))
        if number < len(layers):
            features = graph.add("Relu", features)
    return features


def _add_score(
    graph: GraphBuilder,
    network: onnx.ModelProto,
    tensor: str,
    output: Output,
    generated_index: int,
    name: str,
) -> str:
    """Add the nodes from the output of a classifier to a score, the logit of "generated"."""
    if output == "auto":
        output, tensor = _find_output(graph, network, tensor, name)
    if network.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        tensor = graph.add("Cast", tensor, to=TensorProto.FLOAT)
    if output in {"probability", "probabilities"}:
        limits = [graph.constant(np.float32(p)) for p in (_EPS, 1 - _EPS)]
        kept = graph.add("Clip", tensor, *limits)
        if output == "probability":
            rest = graph.add("Sub", graph.constant(np.float32(1)), kept)
            tensor = graph.add("Log", graph.add("Div", kept, rest))
        else:
            tensor = graph.add("Log", kept)
    sign = 1 if generated_index == 1 else -1
    if output in {"logits", "probabilities"}:
        return graph.add("MatMul", tensor, graph.constant(np.array([[-sign], [sign]], np.float32)))
    return graph.add("Mul", tensor, graph.constant(np.float32(sign)))


def _find_output(
    graph: GraphBuilder, network: onnx.ModelProto, tensor: str, name: str
) -> tuple[Output, str]:
    """Return the kind of a classifier's output and its tensor, before a last sigmoid or softmax."""
    sizes = [dim.dim_value for dim in network.graph.output[0].type.tensor_type.shape.dim]
    width = 1 if len(sizes) == 1 else sizes[-1]
    if len(sizes) not in {1, 2} or width not in {1, 2}:
        raise ModelFileError(
            f"{name} gives an output of shape {sizes}; (n,), (n, 1) or (n, 2) was expected. A "
            "network of features needs a head: see BackboneDetector. If the file does not hold the "
            "shape, pass output='logit', 'logits', 'probability' or 'probabilities'."
        )
    makers = {made: node for node in graph.nodes for made in node.output}
    last = before = makers.get(tensor)
    while before is not None and before.op_type in _SHAPING:
        before = makers.get(before.input[0])
    if last is None or before is None or before.op_type not in {"Sigmoid", "Softmax"}:
        return ("logit" if width == 1 else "logits"), tensor
    if last is before:
        return ("logit" if width == 1 else "logits"), last.input[0]
    return ("probability" if width == 1 else "probabilities"), tensor
