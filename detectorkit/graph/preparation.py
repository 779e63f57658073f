"""Preparation of a graph for differentiation, with the same scores.

Local functions and operators that ONNX defines by others are replaced by their nodes; a branch that
is the same for all images replaces its `If`; all floats become float32; and the operators are
converted to a version that has those of the gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference, version_converter

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import expose_tensors
from detectorkit.graph.dependence import Dependence
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.graph.runner import make_session

__all__ = ["EXPANDED", "number_of_images", "prepare_graph"]

EXPANDED: Final = frozenset(
    [
        "Attention",
        "CausalConvWithState",
        "CenterCropPad",
        "MeanVarianceNormalization",
        "NegativeLogLikelihoodLoss",
        "RMSNormalization",
        "RotaryEmbedding",
        "SoftmaxCrossEntropyLoss",
        "SwiGLU",
        "Swish",
    ]
)
"""Operators without a rule that are replaced by others, by their definition in ONNX."""

_NEWER_OPSET: Final = 17
_OLDEST_OPSET: Final = 16  # `ScatterElements` can add since this version
_OTHER_FLOATS: Final = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_SAME: Final = 0.02  # tolerance of scores; half precision has three digits at each step
_NUMBERS_OF_IMAGES: Final = (1, 2, 3, 5)  # tried where a branch may depend on it


def prepare_graph(content: bytes, name: str) -> onnx.ModelProto:
    """Read a graph and convert it to a form that can be differentiated."""
    model = onnx.load_model_from_string(content)
    if not model.graph.input or model.graph.input[0].name != "pixels":
        raise ModelFileError(
            f"{name} begins with features, not with pixels, so it has no gradient. Use "
            "OcclusionSaliency, which needs predictions only."
        )
    if model.functions:
        model = inliner.inline_local_functions(model)
    _widen_graph(model.graph)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    while any(node.op_type == "If" for node in model.graph.node) and _settle_branches(model, name):
        pass
    model = _expand(_renew(model, name))
    del model.graph.value_info[:]
    _check_same(content, model, name)
    return model


def _check_same(content: bytes, model: onnx.ModelProto, name: str) -> None:
    """Check that a graph still returns the same score, unless nothing was rewritten."""
    original = onnx.load_model_from_string(content)
    before, after = (
        [(node.op_type, list(node.input), list(node.output)) for node in one.graph.node]
        for one in (original, model)
    )
    if before == after and original.opset_import == model.opset_import:
        return
    dims = model.graph.input[0].type.tensor_type.shape.dim
    shape = [number_of_images(model) or 2, *(dim.dim_value for dim in dims[1:])]
    pixels = np.random.default_rng(0).integers(0, 256, shape)
    scores = []
    for one in (original, model):
        session = make_session(expose_tensors(one, ["score"]).SerializeToString(), name)
        scores.append(session.run(None, {"pixels": pixels.astype(np.float32)})[0])
    score, new_score = scores
    if not np.allclose(score, new_score, rtol=_SAME, atol=_SAME, equal_nan=True):
        raise ModelFileError(
            f"{name} cannot be written with operators that have gradients: its score "
            f"{score.tolist()} became {new_score.tolist()}. Export it anew with opset "
            f"{_NEWER_OPSET}, or use OcclusionSaliency, which needs predictions only."
        )


def number_of_images(model: onnx.ModelProto) -> int | None:
    """Return the number of images that a graph is limited to."""
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    if fixed:
        return int(fixed)
    for one in model.metadata_props:
        if one.key == RECORD_KEY:
            return 1 if ModelRecord.from_json(one.value).run_size == 1 else None
    return None


def _renew(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Convert a graph to a version with all operators that gradients need."""
    opset = next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), None)
    if opset is None or opset >= _OLDEST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _NEWER_OPSET)
    except Exception as error:  # the converter's exceptions have no public base class
        raise ModelFileError(
            f"{name} has opset {opset}, and cannot be converted to {_NEWER_OPSET}, which a "
            f"gradient needs: {error}. Export it anew with opset {_OLDEST_OPSET} or newer."
        ) from error


def _expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace operators by their definitions, until none is left to be replaced."""
    option = {"inline_schema_functions": True}  # only newer versions of onnx have it
    if not option.keys() <= inspect.signature(inliner.inline_selected_functions).parameters.keys():
        return model
    while True:
        found = {node.op_type for node in model.graph.node if node.domain in {"", "ai.onnx"}}
        chosen = [("", operator) for operator in sorted(found & EXPANDED)]
        if not chosen:
            return model
        try:
            typed = shape_inference.infer_shapes(_with_types(model))
            new = inliner.inline_selected_functions(typed, chosen, exclude=False, **option)
        except (RuntimeError, ValueError):  # a type is unknown; the operator is refused later
            return model
        if len(new.graph.node) == len(model.graph.node):
            return model
        model = new


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph and add the types of its constants, which the inliner needs."""
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    typed.graph.value_info.extend(
        helper.make_tensor_value_info(one.name, one.data_type, one.dims)
        for one in model.graph.initializer
    )
    for node in typed.graph.node:
        if node.op_type in EXPANDED:
            _write_defaults(node)
    return typed


def _write_defaults(node: onnx.NodeProto) -> None:
    """Write out the default attributes of a node, which the inliner would forget."""
    given = {one.name for one in node.attribute}
    for one in onnx.defs.get_schema(node.op_type).attributes.values():
        if one.name not in given and one.default_value.name:
            node.attribute.append(one.default_value)


# Floats of other precision


def _widen_graph(graph: onnx.GraphProto) -> None:
    """Convert all floats of a graph to float32."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            kind = value.type.tensor_type
            kind.elem_type = _widened(kind.elem_type)
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(one.t)
            elif one.name in {"to", "dtype", "output_dtype", "stash_type", "softmax_precision"}:
                one.i = _widened(one.i)
            for inner in (*([one.g] if one.HasField("g") else []), *one.graphs):
                _widen_graph(inner)


def _widened(elem_type: int) -> int:
    return TensorProto.FLOAT if elem_type in _OTHER_FLOATS else elem_type


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in _OTHER_FLOATS:
        value = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


# Branches


def _settle_branches(model: onnx.ModelProto, name: str) -> bool:
    """Replace each `If` whose branch is always the same; return whether there was one."""
    varying = Dependence(model.graph).varying
    conditions = {
        node.input[0]
        for node in model.graph.node
        if node.op_type == "If" and node.input[0] not in varying
    }
    known = _values(model, conditions, name)
    nodes: list[onnx.NodeProto] = []
    n_settled = 0
    for node in model.graph.node:
        if node.op_type != "If" or known.get(node.input[0]) is None:
            nodes.append(node)
            continue
        n_settled += 1
        key = "then_branch" if known[node.input[0]] else "else_branch"
        branch = next(one.g for one in node.attribute if one.name == key)
        inner, constants = _unfold(branch, f"{node.output[0]}/{key}/", list(node.output))
        nodes += inner
        model.graph.initializer.extend(constants)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return n_settled > 0


def _values(model: onnx.ModelProto, conditions: Iterable[str], name: str) -> dict[str, bool | None]:
    """Return the values of conditions, None where it depends on the number of images."""
    names = sorted(conditions)
    if not names:
        return {}
    fixed = number_of_images(model)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    session = make_session(expose_tensors(model, names).SerializeToString(), name)
    found: dict[str, set[bool]] = {one: set() for one in names}
    for n in (fixed,) if fixed else _NUMBERS_OF_IMAGES:
        pixels = np.zeros([n, *(dim.dim_value for dim in dims[1:])], np.float32)
        values = session.run(None, {"pixels": pixels})
        for one, value in zip(names, values, strict=True):
            found[one].add(bool(np.all(value)))
    return {one: values.pop() if len(values) == 1 else None for one, values in found.items()}


def _unfold(
    branch: onnx.GraphProto, prefix: str, outputs: list[str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes and constants of a branch, renamed with a prefix."""
    inside = {one.name for one in branch.initializer}
    inside.update(one for node in branch.node for one in node.output if one)
    renamed = {one: prefix + one for one in inside}
    constants = []
    for tensor in branch.initializer:
        copy = TensorProto.FromString(tensor.SerializeToString())
        copy.name = renamed[tensor.name]
        constants.append(copy)
    nodes = [_renamed(node, renamed, prefix) for node in branch.node]
    for one, output in zip(branch.output, outputs, strict=False):
        if output:
            nodes.append(helper.make_node("Identity", [renamed.get(one.name, one.name)], [output]))
    return nodes, constants


def _renamed(node: onnx.NodeProto, names: dict[str, str], prefix: str = "") -> onnx.NodeProto:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    copy.name = prefix + copy.name if copy.name else ""
    copy.input[:] = [names.get(one, one) for one in node.input]
    copy.output[:] = [names.get(one, one) for one in node.output]
    for attribute in copy.attribute:
        graphs: list[Any] = [attribute.g] if attribute.HasField("g") else []
        for graph in (*graphs, *attribute.graphs):
            own = {one.name for one in (*graph.input, *graph.initializer)}
            own.update(one for inner in graph.node for one in inner.output)
            outer = {one: new for one, new in names.items() if one not in own}
            inner_nodes = [_renamed(inner, outer) for inner in graph.node]
            del graph.node[:]
            graph.node.extend(inner_nodes)
            for value in graph.output:
                value.name = outer.get(value.name, value.name)
    return copy
