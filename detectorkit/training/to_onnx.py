"""Export networks from torch to ONNX, and check that both compute the same."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from detectorkit.graph.runner import make_session

__all__ = ["MAX_DIFFERENCE", "export_network", "largest_difference"]

MAX_DIFFERENCE = 1e-4
"""Largest difference between an export and torch.

It is relative to the largest output, or absolute if all outputs are below 1.
"""

_OPSET = 18


def export_network(network: nn.Module, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Export a network as an ONNX graph for any number of images."""
    network = network.eval().to("cpu", memory_format=torch.contiguous_format)
    probe = (torch.zeros(2, *shape),)
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)  # it warns that torchvision is missing, which is not needed here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own code
            exported = torch.onnx.export(
                network,
                probe,
                dynamo=True,
                opset_version=_OPSET,
                dynamic_shapes=({0: torch.export.Dim("n", min=1, max=4096)},),
                input_names=["images"],
                output_names=["output"],
                verbose=False,
            )
    finally:
        logger.setLevel(before)
    return _without_traces(exported.model_proto)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the notes of torch on each node: lines of code, and paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def largest_difference(
    network: nn.Module, model: onnx.ModelProto, scaled: NDArray[np.float32]
) -> float:
    """Compare the outputs of an exported network with those of torch."""
    session = make_session(model.SerializeToString(), "The exported network")
    with torch.inference_mode():
        expected = network(torch.from_numpy(scaled)).numpy()
    found = session.run(None, {session.get_inputs()[0].name: scaled})[0]
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / scale
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(
            f"The exported network differs from torch by {difference:.2g} of its largest output; "
            f"at most {MAX_DIFFERENCE:g} is allowed. Please report this with the versions of torch "
            "and onnxruntime."
        )
    return difference
