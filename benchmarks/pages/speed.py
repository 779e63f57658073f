"""Tables of the ratios to the usual tools, and of the streaming solver."""

from __future__ import annotations

from typing import Any

from benchmarks.files import RESULTS, read_json
from benchmarks.pages.markdown import table

__all__ = [
    "exact_machine",
    "hog",
    "hog_forms",
    "hog_notes",
    "job_files",
    "measured",
    "predict_memory",
    "stream",
    "stream_memory",
    "whole_job",
]


def load(name: str = "ratios") -> dict[str, Any]:
    """Read a result."""
    return read_json(RESULTS / f"speed_{name}.json")


def measured(name: str) -> str:
    """Say on what a result was measured."""
    result = load(name)
    words = []
    if "repeats" in result:
        words.append(f"{result['repeats']} turns")
    if "machine" in result:
        machine = result["machine"]
        words.append(f"{machine['n_cores']} cores of {machine['processor']}")
        words += [machine["libc"]] if "libc" in machine else []
    words += [f"{package} {version}" for package, version in result["versions"].items()]
    return ", ".join(words)


def hog() -> str:
    """Return the times of HoG against scikit-image."""
    found = load()["hog"]
    us = found["us_per_image"]
    opencv = f"OpenCV {found.get('opencv_4_version')} `HOGDescriptor` (other definition)"
    labels = {
        "scikit_image": "scikit-image",
        "ours": "`hog_features`, in batches",
        "one_image": "`hog_features`, one image",
        "opencv_4": opencv,
        "transformer_two_threads": "`HoGTransformer` on arrays, two threads",
        "files": "JPEG files of 512 x 512 to features, one thread",
        "files_two_threads": "the same, two threads",
    }
    rows = [
        [label, f"{us[key]:.0f}", f"{us['scikit_image'] / us[key]:.1f}x"]
        for key, label in labels.items()
        if key in us
    ]
    return table(["", "us an image", "against scikit-image"], rows)


def hog_notes() -> str:
    """Return what two threads bring, and how far the features are from scikit-image's."""
    found = load()["hog"]
    rows = [
        [
            "two threads against one, JPEG files of 512 x 512 pixels",
            f"{found['ratio_two_threads_files']:.2f}x",
        ],
        ["two threads against one, arrays", f"{found['ratio_two_threads_arrays']:.2f}x"],
        ["largest difference from scikit-image", f"{found['max_difference']:.1e}"],
    ]
    return table(["", ""], rows)


def hog_forms() -> str:
    """Return how fast each form of HoG is against scikit-image, from the lowest to the highest."""
    kinds = load("hog")["kinds"]
    ratios = {kind: [trial["ratio"] for trial in found["trials"]] for kind, found in kinds.items()}
    rows = []
    for name in ratios["noise"][0]:
        cells = [[trial[name] for trial in trials] for trials in ratios.values()]
        rows.append([name, *(f"{min(values):.3g} to {max(values):.3g}" for values in cells)])
    return table(["", *ratios], rows)


def exact_machine() -> str:
    """Return the times of the exact linear machine."""
    found = load()["svm"]
    rows = [
        ['`SVC(kernel="linear")`', f"{found['seconds']['svc']:.2f} s"],
        ["ours", f"{found['seconds']['ours']:.2f} s"],
        ["times as fast", f"**{found['ratio']:.1f}**"],
        [
            "largest difference of decision values",
            f"{found['max_difference_of_decision_values']:.1e}",
        ],
    ]
    return table(["", ""], rows)


def stream() -> str:
    """Return accuracy and time of both solvers."""
    comparison = load("stream")["comparison"]
    rows = [
        [
            key.removesuffix(", gram"),
            *(
                f"{entry['accuracy']:.3f} / {entry['roc_auc']:.3f} in {entry['fit_seconds']:.0f} s"
                for entry in (gram, comparison[key.replace("gram", "stream")])
            ),
        ]
        for key, gram in comparison.items()
        if key.endswith("gram")
    ]
    return table(["accuracy / AUC", '`solver="gram"`', '`solver="stream"`'], rows)


def stream_memory() -> str:
    """Return the cost of fitting on many files."""
    found = load("stream")["memory"]
    row = [f"{found['n']}", f"{found['fit_seconds']:.0f} s", f"{found['peak_mb']:.0f} MB"]
    return table(["files", "to fit", "memory at the peak"], [row])


def job_files() -> str:
    """Describe the files of the whole job."""
    return load()["whole_job"]["files"]


def whole_job() -> str:
    """Return the times and the memory of the whole job in both ways."""
    job = load()["whole_job"]
    rows = [
        [label, *(f"{job[way][key]:.2f}" for way in ("usual", "ours")), f"{ratio:.2f}x"]
        for label, key, ratio in (
            ("the job without imports, s", "job_seconds", job["ratio_without_imports"]),
            ("the whole process, s", "process_seconds", job["ratio_whole_process"]),
            ("processor time without imports, s", "cpu_seconds", job["ratio_cpu"]),
            ("peak memory, MB", "peak_mb", 1 / job["ratio_peak_memory"]),
        )
    ]
    return table(["", "usual", "detectorkit", "ratio"], rows)


def predict_memory() -> str:
    """Return the memory of `predict`, by the number of paths."""
    peaks = load()["memory"]["peak_mb_by_number_of_paths"]
    counts = list(next(iter(peaks.values())))
    rows = [[f"`{name}`", *(f"{p[n]:.0f} MB" for n in counts)] for name, p in peaks.items()]
    return table(["peak of the process", *(f"{n} paths" for n in counts)], rows)
