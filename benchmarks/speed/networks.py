"""Milliseconds an image of the networks: torch against the exported graphs, and training.

    python -m benchmarks speed-networks [--repeats N] [--network NAME ...]

It needs the extra "train". The weights are random, which changes no time. For each network, with
one thread and with two, and for one image at a time and 32 at once:

- torch in eager mode, as the network was built, and with its memory laid out channels last. What
  goes in is scaled already.
- The exported graph in onnxruntime by `OnnxDetector.decision_function`, in floats and in 8 bits,
  static and dynamic. What goes in are arrays of 8-bit pixels, so their checks and their scaling are
  part of the time.
- A step of training as in the library's own loop: scaling, forward, backward, Adam; 32 images.
  Reading and changing images is not part of it.

Times are medians; all take turns, with a pause before each, as threads of onnxruntime and of torch
look out for more work for a while. Of the graph in floats, the result also holds how far its scores
are from torch's; above `MAX_DIFFERENCE` the script fails. It is
benchmarks/results/speed_networks.json.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import AutoModel, DeiTConfig

from benchmarks.arguments import add_output, add_repeats
from benchmarks.files import RESULTS, to_json, write_json
from benchmarks.machine import describe_machine, find_versions, load_average
from benchmarks.timing import take_turns
from detectorkit import OnnxDetector
from detectorkit.backbones import REGISTRY
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.datasets import make_upsampling_images
from detectorkit.graph.builder import revise_model
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.networks import network_graph
from detectorkit.graph.quantization import quantize_model
from detectorkit.graph.record import ModelRecord
from detectorkit.training.architectures import (
    EfficientNetLite0,
    ModifiedCNN,
    ResNet18,
    TransformersBackbone,
    attach_head,
)
from detectorkit.training.to_onnx import MAX_DIFFERENCE, export_network

RESULT = RESULTS / "speed_networks.json"
THREADS = (1, 2)
BATCHES = (1, 32)
N_IMAGES = max(BATCHES)
N_SINGLE = 8  # images in a turn, where they come one by one
PAUSE = 0.05
HALF = (0.5, 0.5, 0.5)


def make_cnn() -> tuple[nn.Module, NetworkInput]:
    """Make the network of `CNNDetector`."""
    return ModifiedCNN((128, 128)), NetworkInput((128, 128), HALF, HALF)


def make_resnet() -> tuple[nn.Module, NetworkInput]:
    """Make the network of `ResNetDetector`."""
    return attach_head(ResNet18(), ResNet18.n_features, (), 0), NetworkInput((224, 224))


def make_lite0() -> tuple[nn.Module, NetworkInput]:
    """Make the network of `BackboneDetector("efficientnet-lite0", fine_tune=True)`."""
    network = attach_head(EfficientNetLite0(), EfficientNetLite0.n_features, (64,), 0.2)
    return network, REGISTRY["efficientnet-lite0"].network_input


def make_deit() -> tuple[nn.Module, NetworkInput]:
    """Make the network of `DeiTDetector(fine_tune=True)`."""
    config = DeiTConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768
    )
    backbone = TransformersBackbone(AutoModel.from_config(config))
    network = attach_head(backbone, backbone.n_features, (64,), 0.2)
    return network, REGISTRY["deit-tiny"].network_input


NETWORKS: dict[str, Callable[[], tuple[nn.Module, NetworkInput]]] = {
    "modified CNN": make_cnn,
    "ResNet-18": make_resnet,
    "EfficientNet-Lite0": make_lite0,
    "DeiT-tiny": make_deit,
}


@dataclass(frozen=True)
class Case:
    """A network, its graphs and the images that they are tried on."""

    network: nn.Module
    taken: NetworkInput
    graphs: dict[str, bytes]
    pixels: NDArray[np.uint8]


def make_case(name: str) -> Case:
    """Build a network, export it and store it in 8 bits."""
    torch.manual_seed(0)
    network, taken = NETWORKS[name]()
    pixels = make_upsampling_images(N_IMAGES, image_size=taken.image_size, random_state=0).data
    settle(network, torch.from_numpy(taken.scale(pixels)))
    record = ModelRecord(
        detector="OnnxDetector",
        preprocessing=taken.preprocessing,
        features=[],
        classes=[0, 1],
        threshold=0.0,
        calibration=SigmoidCalibration(1.0),
    )
    exported = export_network(network, (taken.n_channels, *taken.image_size))
    floats = network_graph(exported, taken, record, output="logits").SerializeToString()
    dynamic = onnx.load_model_from_string(quantize_model(floats, "dynamic", pixels))
    graphs = {
        "fp32": floats,
        "int8_static": quantize_model(floats, "static", pixels),
        "int8_dynamic": revise_model(dynamic, replace(record, run_size=1)).SerializeToString(),
    }
    return Case(network, taken, graphs, pixels)


def settle(network: nn.Module, scaled: torch.Tensor) -> None:
    """Let batch normalisation see some images.

    Activations fade from layer to layer without it, until they are too small for plain arithmetic.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(scaled)
    network.eval()


def export_difference(case: Case) -> float:
    """Return the largest difference of the scores from torch's, as a share of the largest score."""
    with torch.inference_mode():
        logits = case.network(torch.from_numpy(case.taken.scale(case.pixels))).numpy()
    expected = logits[:, 1] - logits[:, 0]
    detector = OnnxDetector(case.graphs["fp32"]).fit(case.pixels)
    found = detector.decision_function(case.pixels)
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(f"The export differs from torch by {difference:.2g}.")
    return difference


def run_each(function: Callable[[Any], object], parts: list[Any]) -> None:
    """Call a function with each part."""
    for part in parts:
        function(part)


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, case: Case) -> None:
    """Learn from all images once, as `detectorkit.training.loop` does."""
    scaled = torch.from_numpy(case.taken.scale(case.pixels))
    logits = network(scaled.contiguous(memory_format=torch.channels_last))
    target = (torch.arange(len(scaled)) % 2).to(logits)
    score = logits[:, 1] - logits[:, 0]
    loss = functional.binary_cross_entropy_with_logits(score, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measure(case: Case, n_threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds an image, by the number of images at once; 32 of training."""
    torch.set_num_threads(n_threads)
    last = copy.deepcopy(case.network).to(memory_format=torch.channels_last)
    learner = copy.deepcopy(last).train()
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-4)
    detectors = {
        name: OnnxDetector(content, n_jobs=n_threads).fit(case.pixels)
        for name, content in case.graphs.items()
    }
    functions: dict[tuple[str, str], Callable[[], object]] = {
        ("training", "step"): partial(train_step, learner, optimizer, case)
    }
    n_images = {("training", "step"): N_IMAGES}
    for batch in BATCHES:
        starts = range(0, max(batch, N_SINGLE), batch)
        arrays = [case.pixels[i : i + batch] for i in starts]
        tensors = [torch.from_numpy(case.taken.scale(array)) for array in arrays]
        tensors_last = [t.contiguous(memory_format=torch.channels_last) for t in tensors]
        runs: dict[str, Callable[[], object]] = {
            "torch": partial(run_each, torch.inference_mode()(case.network), tensors),
            "torch_channels_last": partial(run_each, torch.inference_mode()(last), tensors_last),
            **{
                name: partial(run_each, detector.decision_function, arrays)
                for name, detector in detectors.items()
            },
        }
        functions |= {(str(batch), name): run for name, run in runs.items()}
        n_images |= {(str(batch), name): batch * len(arrays) for name in runs}
    found: dict[str, dict[str, float]] = {}
    for key, seconds in take_turns(repeats, functions, pause=PAUSE).items():
        found.setdefault(key[0], {})[key[1]] = round(seconds / n_images[key] * 1000, 4)
    return found


def measure_network(name: str, repeats: int) -> dict[str, Any]:
    """Measure all that is to know of a network."""
    case = make_case(name)
    by_threads = {str(n): measure(case, n, repeats) for n in THREADS}
    return {
        "image_size": case.taken.image_size,
        "n_parameters": sum(p.numel() for p in case.network.parameters()),
        "bytes": {key: len(content) for key, content in case.graphs.items()},
        "export_difference": export_difference(case),
        "ms_per_image": by_threads,
        "load_average": load_average(),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_repeats(parser, 9)
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure all networks, or those that are named."""
    packages = ("detectorkit", "torch", "transformers", "onnxruntime", "onnx", "numpy")
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-networks",
        "versions": find_versions(*packages),
        "machine": describe_machine(),
        "threads": THREADS,
        "weights": "random",
        "files": "none: arrays of 8-bit pixels of the size that the network takes",
        "repeats": arguments.repeats,
        "networks": {},
    }
    for name in arguments.network:
        result["networks"][name] = measure_network(name, arguments.repeats)
        print(name, to_json(result["networks"][name]), flush=True)
        write_json(arguments.output, result)
