"""Tables of the times of networks: graphs, training and gradients."""

from __future__ import annotations

from typing import Any

from benchmarks.pages.markdown import table
from benchmarks.pages.speed import load

__all__ = [
    "allocation",
    "eight_bits",
    "equal_gradients",
    "gradients",
    "hog_gradient",
    "network_sizes",
    "network_times",
    "without_vnni",
]

EIGHT_BITS = ("int8_static", "int8_dynamic")
ENGINES = {
    "torch": "torch eager",
    "torch_channels_last": "torch, channels last",
    "fp32": "fp32",
    "int8_static": "int8 static",
    "int8_dynamic": "int8 dynamic",
}


def network_times() -> str:
    """Return milliseconds an image, and ratios to torch in its usual memory layout."""
    rows = [
        [
            name,
            batch,
            threads,
            *(f"{ms[key]:.1f}" + times_as_fast(ms, key) for key in ENGINES),
        ]
        for name, network in load("networks")["networks"].items()
        for threads, found in network["ms_per_image"].items()
        for batch, ms in found.items()
        if batch != "training"
    ]
    return table(["", "images at once", "threads", *ENGINES.values()], rows)


def times_as_fast(ms: dict[str, float], key: str) -> str:
    """Return how many times as fast as torch something else is."""
    return "" if key.startswith("torch") else f" ({ms['torch'] / ms[key]:.2f}x)"


def network_sizes() -> str:
    """Return sizes, differences from torch, and the time of a step of training."""
    networks = load("networks")["networks"]
    rows = [
        [
            name,
            "{} x {}".format(*network["image_size"]),
            *(f"{network['bytes'][key] / 1e6:.1f}" for key in ("fp32", *EIGHT_BITS)),
            f"{network['export_difference']:.1e}",
            *(f"{found['training']['step']:.0f}" for found in network["ms_per_image"].values()),
        ]
        for name, network in networks.items()
    ]
    head = ["", "image", "fp32, MB", "int8 static, MB", "int8 dynamic, MB", "difference"]
    threads = next(iter(networks.values()))["ms_per_image"]
    words = ["one thread" if n == "1" else f"{n} threads" for n in threads]
    return table([*head, *(f"training, {word}" for word in words)], rows)


def eight_bits() -> str:
    """Return what 8 bits bring against floats, with 32 images and one thread."""
    rows = []
    for name, network in load("networks")["networks"].items():
        ms = network["ms_per_image"]["1"]["32"]
        rows.append([name, f"{max(ms['fp32'] / ms[kind] for kind in EIGHT_BITS):.1f}x"])
    return table(["", "the better kind of 8 bits against fp32"], rows)


def without_vnni() -> str:
    """Return what 8 bits brought to the CNN on a processor without their instructions."""
    network = load("networks_without_vnni")["networks"]["modified CNN"]
    ratios = [
        ms["torch"] / ms["int8_static"]
        for found in network["ms_per_image"].values()
        for batch, ms in found.items()
        if batch != "training"
    ]
    return f"{min(ratios):.1f} to {max(ratios):.1f}"


def allocation() -> str:
    """Return steps of training where the process keeps its memory, and where not."""
    rows = [
        [
            case["network"],
            "{0} x {0}".format(case["image_size"]),
            str(case["batch_size"]),
            *(f"{case['images_per_second'][key]:.0f}" for key in ("usual", "kept")),
            f"{case['ratio']:.2f}x",
        ]
        for case in load("allocation")["cases"]
    ]
    return table(["", "image", "batch", "usual", "kept", "ratio"], rows)


def gradients() -> str:
    """Return what an input gradient costs."""
    rows = [
        [name, threads, *gradient_cells(ms)]
        for name, network in load("gradients")["networks"].items()
        for threads, ms in network["ms_per_image"].items()
    ]
    head = ["", "threads", "forward, ms", "gradient, ms", "passes", "torch: passes"]
    return table([*head, "times as fast as torch"], rows)


def gradient_cells(ms: dict[str, float]) -> list[str]:
    """Return times, passes of both and the ratio."""
    ours, theirs = ms["onnxruntime gradient"], ms["torch gradient"]
    return [
        f"{ms['onnxruntime forward']:.1f}",
        f"{ours:.1f}",
        f"{ours / ms['onnxruntime forward']:.2f}",
        f"{theirs / ms['torch forward']:.2f}",
        f"{theirs / ours:.2f}",
    ]


def equal_gradients() -> str:
    """Return how many gradients equal those of torch."""
    networks: dict[str, dict[str, Any]] = load("gradients")["networks"]
    rows = [
        [
            name,
            str(one["n_equal_to_torch_or_to_double_precision"]),
            str(one["n_equal_to_double_precision"]),
            str(one["n_of_torch_in_single_precision_equal_to_double"]),
            f"{one['median_difference_from_double']:.1e}",
            f"{one['median_difference_of_torch_in_single_precision']:.1e}",
        ]
        for name, one in ((name, network["against_torch"]) for name, network in networks.items())
    ]
    head = ["", "equal to either", "equal to double", "torch single: equal to double"]
    return table([*head, "median difference", "torch single: median difference"], rows)


def hog_gradient() -> str:
    """Return the passes that the gradient of HoG + SVM takes."""
    ms = load("gradients")["hog-svm"]["ms_per_image"]["1"]
    return f"{ms['onnxruntime gradient'] / ms['onnxruntime forward']:.2f}"
