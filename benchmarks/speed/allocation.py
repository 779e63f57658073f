"""Training steps where the process keeps its memory, and where it gives it back.

    python -m benchmarks speed-allocation [--repeats N]

It needs the extra "train", Linux and glibc, which gives large blocks of memory back to the system
as soon as they are free. Each step of training asks for them again, and the system clears them. The
environment variables in `KEEP` stop that. Processes with and without them take turns; each gives
the images a second of steps with two threads. The result is
benchmarks/results/speed_allocation.json.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.arguments import add_output, add_repeats
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import describe_machine, find_versions
from benchmarks.processes import run_apart
from detectorkit.training.architectures import EfficientNetLite0, ModifiedCNN, ResNet18

RESULT = RESULTS / "speed_allocation.json"
KEEP = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
N_THREADS = 2
N_STEPS = 6
NETWORKS: dict[str, Callable[[int], nn.Module]] = {  # by the size of their images
    "modified CNN": lambda size: ModifiedCNN((size, size)),
    "ResNet-18": lambda _: ResNet18(),
    "EfficientNet-Lite0": lambda _: EfficientNetLite0(),
}
CASES = (
    ("modified CNN", 64, 16),
    ("modified CNN", 128, 32),
    ("ResNet-18", 96, 16),
    ("ResNet-18", 224, 32),
    ("EfficientNet-Lite0", 160, 16),
    ("EfficientNet-Lite0", 160, 32),
)


def images_per_second(name: str, size: int, batch_size: int) -> float:
    """Take some steps: forward, backward and Adam."""
    torch.manual_seed(0)
    torch.set_num_threads(N_THREADS)
    network = NETWORKS[name](size).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    images = torch.rand(batch_size, 3, size, size).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(N_STEPS + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return batch_size / statistics.median(seconds[2:])


def measure_apart(case: int, variables: dict[str, str]) -> float:
    """Measure a case in a process of its own."""
    words = ("-m", "benchmarks", "speed-allocation", "--case", str(case))
    return float(run_apart(*words, environment=dict.fromkeys(KEEP) | variables))


def measure(case: int, repeats: int) -> dict[str, Any]:
    """Measure a case in both ways, by turns."""
    name, size, batch_size = CASES[case]
    turns = [(measure_apart(case, {}), measure_apart(case, KEEP)) for _ in range(repeats)]
    usual, kept = (round(statistics.median(column), 1) for column in zip(*turns, strict=True))
    return {
        "network": name,
        "image_size": size,
        "batch_size": batch_size,
        "images_per_second": {"usual": usual, "kept": kept},
        "ratio": round(statistics.median(kept / usual for usual, kept in turns), 2),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_repeats(parser, 5)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)  # in a process of its own
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure all cases."""
    if arguments.case is not None:
        print(images_per_second(*CASES[arguments.case]))
        return
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-allocation",
        "versions": find_versions("torch"),
        "machine": {**describe_machine(), "libc": " ".join(platform.libc_ver())},
        "threads": N_THREADS,
        "variables": KEEP,
        "repeats": arguments.repeats,
        "cases": [],
    }
    for case in range(len(CASES)):
        result["cases"].append(measure(case, arguments.repeats))
        print(result["cases"][-1], flush=True)
        write_json(arguments.output, result)
