"""The cost of an input gradient, in forward passes: our graphs against torch's backward.

    python -m benchmarks speed-gradients [--repeats N] [--network NAME ...]

It needs the extra "train". The weights are random, which changes no time. For each network, with
one thread and with two: a forward pass and a gradient by onnxruntime (`gradient_graph`), and both
by torch in eager mode, which only differentiates by the pixels, since the weights ask for no
gradient. One image at a time. The result also says how far gradients are from torch's in double
precision, as a share of the largest derivative of an image, and how far torch's own in single
precision are: where rounding puts a unit on the other side of a kink, the gradient is another.

HoG + SVM has no counterpart in torch; its gradient is compared with its own graph.

Times are medians; all take turns, with a pause before each. The result is
benchmarks/results/speed_gradients.json.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.arguments import add_output, add_repeats
from benchmarks.files import RESULTS, to_json, write_json
from benchmarks.machine import describe_machine, find_versions, load_average
from benchmarks.speed.networks import NETWORKS, PAUSE, THREADS, Case, make_case, run_each
from benchmarks.timing import take_turns
from detectorkit import HoGSVMDetector
from detectorkit.datasets import make_upsampling_images
from detectorkit.graph.gradients import gradient_graph
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.runner import make_session

RESULT = RESULTS / "speed_gradients.json"
N_IMAGES = 24
N_TIMED = 4
SAME = 1e-4  # of the largest derivative of an image


def torch_gradient(
    network: nn.Module, taken: NetworkInput, pixels: NDArray[Any], dtype: Any
) -> NDArray[Any]:
    """Differentiate the score by the pixels, in torch."""
    factor, offset = (torch.from_numpy(one.astype(dtype)) for one in taken.scaling)
    x = torch.from_numpy(pixels.astype(dtype)).requires_grad_()
    logits = network((x * factor + offset).permute(0, 3, 1, 2))
    (logits[:, 1] - logits[:, 0]).sum().backward()
    return x.grad.numpy()


def compare(case: Case, session: Any) -> dict[str, Any]:
    """Say how far our gradients are from torch's."""
    pixels = case.pixels[:N_IMAGES]
    found = session.run(["gradient"], {"pixels": pixels.astype(np.float32)})[0]
    single = torch_gradient(case.network, case.taken, pixels, np.float32)
    double = torch_gradient(copy.deepcopy(case.network).double(), case.taken, pixels, np.float64)
    largest = np.abs(double).max(axis=(1, 2, 3))
    ours, theirs, between = (
        np.abs(a - b).max(axis=(1, 2, 3)) / largest
        for a, b in ((found, double), (single, double), (found, single))
    )
    agrees = np.minimum(ours, between) <= SAME
    return {
        "n_images": len(pixels),
        "n_equal_to_torch_or_to_double_precision": int(agrees.sum()),
        "n_equal_to_double_precision": int((ours <= SAME).sum()),
        "n_of_torch_in_single_precision_equal_to_double": int((theirs <= SAME).sum()),
        "median_difference_from_double": float(np.median(ours)),
        "median_difference_of_torch_in_single_precision": float(np.median(theirs)),
    }


def measure(case: Case, content: bytes, n_threads: int, repeats: int) -> dict[str, float]:
    """Return milliseconds an image."""
    torch.set_num_threads(n_threads)
    network = copy.deepcopy(case.network)
    for parameter in network.parameters():
        parameter.requires_grad = False
    forward = make_session(case.graphs["fp32"], "forward", n_threads=n_threads)
    backward = make_session(content, "gradient", n_threads=n_threads)
    images = [case.pixels[i : i + 1] for i in range(N_TIMED)]
    floats = [image.astype(np.float32) for image in images]
    scaled = [torch.from_numpy(case.taken.scale(image)) for image in images]

    functions: dict[tuple[str, str], Callable[[], object]] = {
        ("onnxruntime", "forward"): partial(
            run_each, lambda part: forward.run(["score"], {"pixels": part}), images
        ),
        ("onnxruntime", "gradient"): partial(
            run_each, lambda part: backward.run(["score", "gradient"], {"pixels": part}), floats
        ),
        ("torch", "forward"): partial(run_each, torch.inference_mode()(network), scaled),
        ("torch", "gradient"): partial(
            run_each, lambda part: torch_gradient(network, case.taken, part, np.float32), images
        ),
    }
    times = take_turns(repeats, functions, pause=PAUSE)
    return {f"{who} {what}": round(s / N_TIMED * 1000, 3) for (who, what), s in times.items()}


def measure_network(name: str, repeats: int) -> dict[str, Any]:
    """Measure all that is to know of a network."""
    case = make_case(name)
    content = gradient_graph(case.graphs["fp32"], name=name).SerializeToString()
    times = {str(n): measure(case, content, n, repeats) for n in THREADS}
    return {
        "image_size": case.taken.image_size,
        "bytes": {"forward": len(case.graphs["fp32"]), "gradient": len(content)},
        "ms_per_image": times,
        "against_torch": compare(case, make_session(content, name)),
        "load_average": load_average(),
    }


def measure_hog(repeats: int) -> dict[str, Any]:
    """Measure the gradient of HoG + SVM against its own graph."""
    data = make_upsampling_images(40, image_size=(128, 128), random_state=0)
    content = HoGSVMDetector().fit(data.data, data.target).to_onnx().SerializeToString()
    forward = make_session(content, "forward")
    backward = make_session(gradient_graph(content).SerializeToString(), "gradient")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 128, 128), np.uint8)
    floats = pixels.astype(np.float32)
    times = take_turns(
        repeats,
        {
            ("onnxruntime", "forward"): lambda: forward.run(["score"], {"pixels": pixels}),
            ("onnxruntime", "gradient"): lambda: backward.run(["gradient"], {"pixels": floats}),
        },
        pause=PAUSE,
    )
    ms = {f"{who} {what}": round(s * 1000, 3) for (who, what), s in times.items()}
    return {"ms_per_image": {"1": ms}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_repeats(parser, 9)
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure all networks, or those that are named."""
    packages = ("detectorkit", "torch", "onnxruntime", "onnx", "numpy")
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-gradients",
        "versions": find_versions(*packages),
        "machine": describe_machine(),
        "repeats": arguments.repeats,
        "networks": {},
    }
    for name in arguments.network:
        result["networks"][name] = measure_network(name, arguments.repeats)
        print(name, to_json(result["networks"][name]), flush=True)
    result["hog-svm"] = measure_hog(arguments.repeats)
    print("hog-svm", to_json(result["hog-svm"]))
    write_json(arguments.output, result)
