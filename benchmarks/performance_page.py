"""The page docs/performance.md, from the figures in benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path

from markdown_text import table

RESULTS = Path(__file__).parent / "results"

PERFORMANCE = """# How fast is it

Written by `benchmarks/tables.py` from `benchmarks/results/speed.json`, which `{script}` made in one
run on two cores ({versions}). Trust the ratios, not the times.

## HoG of a 128 x 128 8-bit grey image

{hog}

Largest difference from scikit-image: {max_difference:.1e}. Two threads against one:
{two_files:.2f} times as fast from JPEG files of 512 x 512 pixels, {two_arrays:.2f} times on arrays
in memory, where Python's lock and the memory are the limit.

## The exact linear machine, 2000 images, 8100 features

`SVC(kernel="linear")` takes {svc:.2f} s, ours {ours_svm:.2f} s: **{svm_ratio:.1f} times as fast**. {note}.
Decision values differ by at most {svm_difference:.1e}.

## The streaming solver

`benchmarks/speed/stream.py`: both solvers fitted on the same {stream_n_train} decoder reconstructions
and their originals, measured on {stream_n_test} others. (The task is hard for HoG; what counts is that
both columns agree.)

{stream}

{stream_memory_n} files: {stream_memory_seconds:.0f} s to fit, {stream_memory_mb:.0f} MB at the peak.

## The whole job

{files}: 800 to fit with probabilities, 200 to predict. The usual way is PIL, scikit-image's HoG and
`SVC(kernel="linear", probability=True)`.

{job}

## Memory of `predict`

{memory}
"""


def performance_page() -> str:
    """Give the page."""
    result = json.loads((RESULTS / "speed.json").read_text())
    hog, svm, job = result["hog"], result["svm"], result["whole_job"]
    us = hog["us_per_image"]
    hog_rows = [
        [name, f"{us[key]:.0f}", f"{us['scikit_image'] / us[key]:.1f}x"]
        for name, key in (
            ("scikit-image", "scikit_image"),
            ("`hog_features`, in batches", "ours"),
            ("`hog_features`, one image", "one_image"),
            (
                f"OpenCV {hog.get('opencv_4_version')} `HOGDescriptor` (other definition)",
                "opencv_4",
            ),
            ("`HoGTransformer` on arrays, two threads", "transformer_two_threads"),
            ("JPEG files of 512 x 512 to features, one thread", "files"),
            ("the same, two threads", "files_two_threads"),
        )
        if key in us
    ]
    job_rows = [
        [label, *(f"{job[way][key]:.2f}" for way in ("usual", "ours")), f"{ratio:.2f}x"]
        for label, key, ratio in (
            ("the job without imports, s", "job_seconds", job["ratio_without_imports"]),
            ("the whole process, s", "process_seconds", job["ratio_whole_process"]),
            ("processor time without imports, s", "cpu_seconds", job["ratio_cpu"]),
            ("peak memory, MB", "peak_mb", 1 / job["ratio_peak_memory"]),
        )
    ]
    stream = json.loads((RESULTS / "stream.json").read_text())
    comparison, stream_memory = stream["comparison"], stream["memory"]
    stream_rows = [
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
    peaks = result["memory"]["peak_mb_by_number_of_paths"]
    counts = list(next(iter(peaks.values())))
    memory_rows = [[f"`{name}`", *(f"{p[n]:.0f} MB" for n in counts)] for name, p in peaks.items()]
    return PERFORMANCE.format(
        script=result["script"],
        versions=", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        hog=table(["", "us an image", "against scikit-image"], hog_rows),
        max_difference=hog["max_difference"],
        two_files=hog["ratio_two_threads_files"],
        two_arrays=hog["ratio_two_threads_arrays"],
        svc=svm["seconds"]["svc"],
        ours_svm=svm["seconds"]["ours"],
        svm_ratio=svm["ratio"],
        svm_difference=svm["max_difference_of_decision_values"],
        note=svm["note"][0].upper() + svm["note"][1:],
        stream_n_train=comparison["n_train"],
        stream_n_test=comparison["n_test"],
        stream=table(["accuracy / AUC", '`solver="gram"`', '`solver="stream"`'], stream_rows),
        stream_memory_n=stream_memory["n"],
        stream_memory_seconds=stream_memory["fit_seconds"],
        stream_memory_mb=stream_memory["peak_mb"],
        files=job["files"],
        job=table(["", "usual", "detectorkit", "ratio"], job_rows),
        memory=table(["peak of the process", *(f"{n} paths" for n in counts)], memory_rows),
    )
