"""The page docs/performance.md, from the figures in benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

NETWORKS = """
## Networks

`{script}`: milliseconds an image, medians of {repeats} turns on {n_cores} cores of {processor}
({versions}). Weights are random; "torch" is eager mode in `inference_mode`, on images that are scaled
already. The rest is `OnnxDetector.decision_function` on arrays of 8-bit pixels, so their scaling is in
its time.

{times}

Ratios are times as fast as torch in its usual memory layout. `quantize="dynamic"` leaves convolutions as
they are. {eight_bits} {without_vnni}

{sizes}

Differences are the largest between scores of the graph in floats and of torch, as a share of the largest
score, over 32 images. Training is a step of 32 images: scaling, forward, backward and Adam.
"""

ALLOCATION = """
## Training in memory that is kept

`{script}`: steps of training, images a second, medians of {repeats} processes with {threads} threads on
{processor} ({versions}, {libc}). "Kept" is with `{variables}`.

{rates}
"""

GRADIENTS = """
(gradients)=
## Gradients

`{script}`: the gradient of the score by the pixels, one image at a time, medians of {repeats} turns on
{n_cores} cores of {processor} ({versions}). "Passes" are gradients as multiples of a forward pass of the same
tool. torch differentiates by the pixels only, in eager mode.

{times}

How many of {n_images} gradients equal torch's, within 1e-4 of the largest derivative of the image; "either" is torch in
single or in double precision. Where rounding puts a unit on the other side of a kink, a gradient is another one, in
torch too: the last columns compare both with torch in double precision. The features of EfficientNet-Lite0 are
standard deviations of all levels, whose slope is steep where a channel is nearly constant, so single precision is
worth less there.

{equal}

The gradient of HoG + SVM takes {hog:.2f} passes of its own graph.
"""

START = """
## From nothing to a verdict

`{script}`: whole processes in {environment}, {repeats} turns on {n_cores} cores of {processor}
({versions}). Files were in the system's memory, except perhaps in the first run. The image is a
{format} file of {height} x {width} pixels, quality {quality}, {bytes} bytes.

{times}

{rest}
"""

EIGHT_BITS = ("int8_static", "int8_dynamic")


def performance_page() -> str:
    """Give the page; what was not measured yet is left out."""
    parts = [ratios_part()]
    for name, part in (
        ("speed_networks", networks_part),
        ("speed_allocation", allocation_part),
        ("speed_gradients", gradients_part),
        ("speed_start", start_part),
    ):
        path = RESULTS / f"{name}.json"
        if path.exists():
            parts.append(part(json.loads(path.read_text())))
    return "".join(parts)


def ratios_part() -> str:
    """Give the part on HoG, the linear machine, the whole job and memory."""
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
        versions=name_versions(result),
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


def name_versions(result: dict[str, Any]) -> str:
    """Name the packages that took part."""
    return ", ".join(f"{name} {version}" for name, version in result["versions"].items())


def networks_part(result: dict[str, Any]) -> str:
    """Give the part on networks."""
    networks, machine = result["networks"], result["machine"]
    columns = ("torch", "torch_channels_last", "fp32", *EIGHT_BITS)
    times = [
        [
            name,
            batch,
            threads,
            *(
                f"{ms[key]:.1f}"
                if key.startswith("torch")
                else f"{ms[key]:.1f} ({ms['torch'] / ms[key]:.2f}x)"
                for key in columns
            ),
        ]
        for name, network in networks.items()
        for threads, found in network["ms_per_image"].items()
        for batch, ms in found.items()
        if batch != "training"
    ]
    sizes = [
        [
            name,
            "{} x {}".format(*network["image_size"]),
            *(f"{network['bytes'][key] / 1e6:.1f}" for key in ("fp32", *EIGHT_BITS)),
            f"{network['export_difference']:.1e}",
            *(f"{found['training']['step']:.0f}" for found in network["ms_per_image"].values()),
        ]
        for name, network in networks.items()
    ]
    engines = ["torch eager", "torch, channels last", "fp32", "int8 static", "int8 dynamic"]
    training = [f"training, {number_of_threads(n)}" for n in result["threads"]]
    size_head = ["", "image", "fp32, MB", "int8 static, MB", "int8 dynamic, MB", "difference"]
    return NETWORKS.format(
        script=result["script"],
        repeats=result["repeats"],
        n_cores=machine["n_cores"],
        processor=machine["processor"],
        versions=name_versions(result),
        times=table(["", "images at once", "threads", *engines], times),
        eight_bits=eight_bits(result),
        without_vnni=without_vnni(),
        sizes=table([*size_head, *training], sizes),
    )


def allocation_part(result: dict[str, Any]) -> str:
    """Give the part on memory that a process keeps."""
    rows = [
        [
            case["network"],
            "{0} x {0}".format(case["image_size"]),
            str(case["batch_size"]),
            *(f"{case['images_per_second'][key]:.0f}" for key in ("usual", "kept")),
            f"{case['ratio']:.2f}x",
        ]
        for case in result["cases"]
    ]
    return ALLOCATION.format(
        script=result["script"],
        repeats=result["repeats"],
        threads=result["threads"],
        processor=result["machine"]["processor"],
        libc=result["machine"]["libc"],
        versions=name_versions(result),
        variables=" ".join(f"{key}={value}" for key, value in result["variables"].items()),
        rates=table(["", "image", "batch", "usual", "kept", "ratio"], rows),
    )


def gradients_part(result: dict[str, Any]) -> str:
    """Give the part on gradients."""
    networks, machine = result["networks"], result["machine"]
    rows = [
        [
            name,
            threads,
            *(f"{ms[key]:.1f}" for key in ("onnxruntime forward", "onnxruntime gradient")),
            f"{ratios['ours_in_forward_passes']:.2f}",
            f"{ratios['torch_in_forward_passes']:.2f}",
            f"{ratios['times_as_fast_as_torch']:.2f}",
        ]
        for name, network in networks.items()
        for (threads, ms), ratios in zip(
            network["ms_per_image"].items(), network["ratios"].values(), strict=True
        )
    ]
    head = ["", "threads", "forward, ms", "gradient, ms", "passes", "torch: passes"]
    return GRADIENTS.format(
        script=result["script"],
        repeats=result["repeats"],
        n_cores=machine["n_cores"],
        processor=machine["processor"],
        versions=name_versions(result),
        times=table([*head, "times as fast as torch"], rows),
        n_images=next(iter(networks.values()))["against_torch"]["n_images"],
        equal=equal_gradients(networks),
        hog=result["hog-svm"]["ours_in_forward_passes"],
    )


def equal_gradients(networks: dict[str, Any]) -> str:
    """Say how many gradients equal those of torch."""
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


def number_of_threads(n: int) -> str:
    """Give a number of threads in words."""
    return "one thread" if n == 1 else f"{n} threads"


def eight_bits(result: dict[str, Any]) -> str:
    """Say what 8 bits bring, and why it may be less than hoped for."""
    machine = result["machine"]
    gains = {}
    for name, network in result["networks"].items():
        ms = network["ms_per_image"]["1"]["32"]
        gains[name] = max(ms["fp32"] / ms[kind] for kind in EIGHT_BITS)
    figures = ", ".join(f"{name} {gain:.1f}" for name, gain in gains.items())
    text = f"Against fp32, the better kind of 8 bits is so many times as fast, with 32 images and one thread: {figures}."
    few = [name for name, gain in gains.items() if gain < 3]
    if few:
        text += f" That is less than three times for {', '.join(few)}."
    if few and not machine["vnni"]:
        has = "AVX-512" if machine["avx512"] else "AVX2" if machine["avx2"] else "neither AVX2"
        lacks = "nor VNNI" if has.startswith("neither") else "but no VNNI"
        text += (
            f" The processor has {has} {lacks}, the instructions that multiply and add 8-bit numbers in one "
            "step."
        )
    return text


def without_vnni() -> str:
    """Say what 8 bits brought to the CNN on a processor without their instructions."""
    result = json.loads((RESULTS / "speed_networks_without_vnni.json").read_text())
    ratios = [
        ratio["int8_static"]
        for by_batch in result["networks"]["modified CNN"]["times_as_fast_as_torch"].values()
        for ratio in by_batch.values()
    ]
    return (
        "On a processor with AVX2 and without VNNI (`speed_networks_without_vnni.json`), the CNN in static "
        f"8 bits was {min(ratios):.1f} to {max(ratios):.1f} times as fast as torch."
    )


def start_part(result: dict[str, Any]) -> str:
    """Give the part on installation and cold start."""
    seconds, machine, file = result["seconds"], result["machine"], result["file"]
    rows = [
        [label, *(f"{seconds[key][which]:.3f}" for which in ("first", "min", "median"))]
        for label, key in (
            ("`python -c pass`", "python"),
            ('`python -c "import detectorkit"`', "import"),
            ("`python -m detectorkit predict IMAGE`", "predict"),
        )
        if key in seconds
    ]
    return START.format(
        environment="a fresh environment"
        if "install" in result
        else "an environment of long standing",
        script=result["script"],
        repeats=result["repeats"],
        n_cores=machine["n_cores"],
        processor=machine["processor"],
        versions=name_versions(result),
        format=file["format"],
        height=file["pixels"][0],
        width=file["pixels"][1],
        quality=file["quality"],
        bytes=file["bytes"],
        times=table(["seconds", "first run", "least", "median"], rows),
        rest="\n\n".join(start_sentences(result)),
    )


def start_sentences(result: dict[str, Any]) -> list[str]:
    """Say what the table of times does not."""
    text = f"Importing takes {result['import_without_python']:.3f} s, the interpreter's own start taken off."
    model = result["model"]
    if model:
        text += f" The detector is `{model['name']}`, of {model['bytes'] / 1e6:.1f} MB."
    else:
        text += f" {result['note'][0].upper()}{result['note'][1:]}."
    sentences = [text]
    if "install" in result:
        install = result["install"]
        text = (
            f"`{install['command']}` downloads {install['download_mb']:.0f} MB and takes "
            f"{install['seconds']:.0f} s with all wheels at hand; {install['n_packages']} packages are "
            f"{install['mb']:.0f} MB then."
        )
        if "seconds_from_pip_install_to_first_verdict" in result:
            total = result["seconds_from_pip_install_to_first_verdict"]
            text += (
                f" **From there to the first verdict: {total:.0f} s in all**, without the download."
            )
        largest = [[name, f"{mb:.1f}"] for name, mb in install["mb_of_largest"].items()]
        sentences += [text, table(["the largest packages", "MB"], largest)]
    return sentences
