"""Features from inside a backbone: after blocks of a transformer, or stages of convolutions.

The blocks are found in the graph itself, whatever exported it. A vision transformer adds the
results of attention and of a small network to a stream of tokens, of shape (n, n_tokens, width); a
block is one addition after attention with those that follow. A stage of a convolutional network is
all that has one resolution; its last tensor counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.builder import GraphBuilder, expose_tensors
from detectorkit.graph.dependence import Dependence, needed_nodes
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.exact import make_exact, replace_nodes
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.reference import Pool
from detectorkit.graph.sessions import make_session

__all__ = ["feature_content", "has_class_token", "select_layers"]


_ATTENTION: Final = {"Softmax", "Attention", "MultiHeadAttention"}
_PASSING: Final = {"Identity", "Cast", "Dropout"}


class _Layers(NamedTuple):
    """Outputs of the blocks or stages of a network, in order, and their shapes for two images."""

    kind: str
    names: list[str]
    shapes: dict[str, tuple[int, ...]]
    n_tokens: int | None  # None for convolutional networks
    n_patches: int  # the last tokens; the first is the class token, if there are more


def feature_content(
    content: bytes,
    layers: Sequence[int] | None,
    pool: Pool | None,
    network_input: NetworkInput,
    name: str = "The backbone",
) -> bytes:
    """Return the graph of the features of some layers, in exact arithmetic."""
    if not is_dynamic(content) and layers is None:
        return content
    model = onnx.load_model_from_string(content)
    if is_dynamic(content):
        model = make_exact(model)
    if layers is not None:
        select_layers(model, layers, pool, network_input, name)
    result: bytes = model.SerializeToString()
    return result


def select_layers(
    model: onnx.ModelProto,
    layers: Sequence[int],
    pool: Pool | None,
    network_input: NetworkInput,
    name: str = "The backbone",
) -> tuple[tuple[int, ...], Pool]:
    """Let a network return the features of some layers, joined, and drop what they do not need.

    Parameters
    ----------
    model : onnx.ModelProto
        Network to change, from scaled images to features.
    layers : sequence of int
        Numbers of blocks or stages, from 1; negative numbers count from the end.
    pool : {"cls", "mean", "cls+mean"} or None
        What is taken of the tokens: the class token, the mean over patches, or both. None means the
        class token if there is one.
    network_input : NetworkInput
        Size and colours of the images that the network takes.
    name : str, default="The backbone"
        Name in error messages.

    Returns
    -------
    layers : tuple of int
        Numbers of the layers, counted from 1.
    pool : {"cls", "mean", "cls+mean"}
        What was taken.

    Raises
    ------
    ModelFileError
        If the network has no blocks or stages, or not those asked for.
    """
    size = (network_input.n_channels, *network_input.image_size)
    found = _find_layers(model, size, name)
    total = len(found.names)
    if not layers or any(not 1 <= abs(one) <= total for one in layers):
        raise ModelFileError(
            f"{name} has {total} {found.kind}, so layers={list(layers)} must be numbers from 1 to "
            f"{total}, or from -{total} to -1."
        )
    chosen = [found.names[one - 1 if one > 0 else one] for one in layers]
    pool = _check_pool(found, pool, name)
    _return(model, list(dict.fromkeys(chosen)))  # so that nodes of the old features are gone
    graph = GraphBuilder("layers/")
    rows = None if found.n_tokens is None else _pooling(pool, found.n_tokens, found.n_patches)
    parts = []
    for tensor in chosen:
        if rows is None:
            pooled = graph.add("GlobalAveragePool", tensor)
        else:
            pooled = graph.add("MatMul", graph.constant(rows), tensor)
        parts.append(graph.add("Flatten", pooled))
    graph.add("Concat", *parts, name="features", axis=1)
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.constants)
    widths = [
        found.shapes[one][1] if rows is None else len(rows) * found.shapes[one][2] for one in chosen
    ]
    _return(model, ["features"], ["n", sum(widths)])
    return tuple(int(one) if one > 0 else total + 1 + int(one) for one in layers), pool


def has_class_token(model: onnx.ModelProto, network_input: NetworkInput) -> bool:
    """Return whether a network has a stream of tokens that are more than its patches."""
    try:
        found = _find_layers(model, (network_input.n_channels, *network_input.image_size), "")
    except ModelFileError:
        return False
    return found.n_tokens is not None and found.n_tokens > found.n_patches


def _return(model: onnx.ModelProto, names: list[str], shape: list[int | str] | None = None) -> None:
    """Let a graph return some of its tensors, and drop what they do not need."""
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, shape) for one in names
    )
    replace_nodes(model, {})


def _check_pool(found: _Layers, pool: Pool | None, name: str) -> Pool:
    """Return what is taken of each layer, or raise an error if the network does not have it."""
    if found.n_tokens is None:
        n_first, having = 0, "stages without class tokens"
    else:
        n_first = found.n_tokens - found.n_patches
        having = f"{found.n_tokens} tokens, of which {found.n_patches} are patches"
    pool = pool or ("cls" if n_first else "mean")
    lacks_mean = found.n_tokens is not None and not found.n_patches
    if (not n_first and pool != "mean") or (lacks_mean and pool != "cls"):
        raise ModelFileError(f"{name} has {having}, which cannot be pooled by pool={pool!r}.")
    return pool


def _pooling(pool: Pool, n_tokens: int, n_patches: int) -> NDArray[np.float32]:
    """Return the matrix that pools the tokens of a layer."""
    token = np.eye(1, n_tokens, dtype=np.float32)
    mean = np.zeros_like(token)
    mean[:, n_tokens - n_patches :] = np.float32(1) / np.float32(max(n_patches, 1))
    rows = {"cls": [token], "mean": [mean], "cls+mean": [token, mean]}[pool]
    return np.concatenate(rows)


def _find_layers(model: onnx.ModelProto, size: tuple[int, ...], name: str) -> _Layers:
    """Find the blocks of a transformer, or else the stages of a convolutional network."""
    graph = model.graph
    nodes, _ = needed_nodes(graph.node, [graph.output[0].name])
    known = {tensor.name for tensor in graph.initializer}
    start = next(one.name for one in graph.input if one.name not in known)
    varying = Dependence(graph, start).varying
    changing = [node for node in nodes if node.output[0] in varying]
    is_transformer = any(node.op_type in _ATTENTION for node in changing)
    asked = [
        node.output[0]
        for node in changing
        if not is_transformer
        or node.op_type == "Conv"
        or (node.op_type == "Add" and varying.issuperset(node.input))
    ]
    shapes = _run_shapes(model, start, size, asked, name)
    if is_transformer:
        blocks = _find_blocks(changing, shapes)
        if blocks:
            maps = [shapes[n.output[0]] for n in changing if n.op_type == "Conv"]
            n_patches = math.prod(maps[-1][2:]) if maps else 0
            n_tokens = shapes[blocks[0]][1]
            return _Layers("blocks", blocks, shapes, n_tokens, min(n_patches, n_tokens))
    stages: dict[tuple[int, ...], str] = {}
    for node in changing:
        shape = shapes.get(node.output[0], ())
        if len(shape) == 4 and math.prod(shape[2:]) > 1 and node.op_type != "Pad":
            stages[shape[2:]] = node.output[0]
    if is_transformer or len(stages) < 2:
        raise ModelFileError(
            f"{name} has no layers that are recognised: neither blocks of a transformer (additions "
            f"to a stream of tokens of shape (n, tokens, width), before which it is normalised) "
            f"nor stages of a convolutional network. It has {len(stages)} resolutions and the "
            f"operators {', '.join(sorted({node.op_type for node in nodes}))}. Use layers=None."
        )
    names = [stages[one] for one in sorted(stages, key=math.prod, reverse=True)]
    return _Layers("stages", names, shapes, None, 0)


def _run_shapes(
    model: onnx.ModelProto, start: str, size: tuple[int, ...], names: list[str], name: str
) -> dict[str, tuple[int, ...]]:
    """Run a network on black images and return the shapes of some tensors."""
    n_images = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 2
    session = make_session(expose_tensors(model, names).SerializeToString(), name)
    found = session.run(None, {start: np.zeros((n_images, *size), np.float32)})
    return {one: value.shape for one, value in zip(names, found, strict=True)}


def _find_blocks(nodes: list[onnx.NodeProto], shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Return the stream of tokens after each block of a transformer."""
    makers = {one: node for node in nodes for one in node.output}
    chains: dict[str, list[str]] = {}  # the longest chain of additions that ends at each
    for node in nodes:
        one = node.output[0]
        if node.op_type != "Add" or len(shapes.get(one, ())) != 3:
            continue
        before = [chains.get(_origin(tensor, makers), []) for tensor in node.input]
        longest = max(
            (c for c in before if c and shapes[c[-1]] == shapes[one]), key=len, default=[]
        )
        chains[one] = [*longest, one]
    stream = max(chains.values(), key=len, default=[])
    if len(stream) < 2:
        return []
    after_attention = [
        number for number, one in enumerate(stream) if _attends(one, set(stream[:number]), makers)
    ]
    ends = [number - 1 for number in after_attention[1:]] + [len(stream) - 1]
    return [stream[end] for end in ends] if after_attention else []


def _origin(tensor: str, makers: dict[str, onnx.NodeProto]) -> str:
    """Return the tensor that is passed on unchanged."""
    while tensor in makers and makers[tensor].op_type in _PASSING:
        tensor = makers[tensor].input[0]
    return tensor


def _attends(tensor: str, stream: set[str], makers: dict[str, onnx.NodeProto]) -> bool:
    """Return whether there is attention between a tensor and the stream before it."""
    todo, seen = [tensor], set(stream)
    while todo:
        one = todo.pop()
        if one in seen or one not in makers:
            continue
        seen.add(one)
        if makers[one].op_type in _ATTENTION:
            return True
        todo += makers[one].input
    return False
