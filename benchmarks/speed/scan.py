"""Scans of a folder: images a second, share of decoding alone, memory, and ten kills.

    python -m benchmarks speed-scan [--n 100000] [--sides 384 512 768 1024] [--models hog-svm cnn]

Writes JPEG, PNG, WebP, BMP and TIFF files, of which one in a hundred is cut off, into folders of a
thousand. Each model scans them on all cores in a process of its own, whose memory is read
meanwhile. Before and after it, threads of this process decode some of the files in full, and decode
and prepare them as the model needs them, and do nothing else. Shares are also computed from the
time of the processors, which depends less on what else the machine does. Then a smaller folder is
scanned by processes that are killed (SIGKILL) at random moments, and the rows are compared with
those of one that was not. The result is benchmarks/results/speed_scan.json.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, ROOT, to_json, write_json
from benchmarks.machine import describe_machine, find_versions, load_average
from detectorkit.datasets import make_upsampling_images
from detectorkit.exceptions import ImageReadError
from detectorkit.graph.runner import read_record
from detectorkit.images.decoding import load_image
from detectorkit.images.sequence import check_images
from detectorkit.models import find_detector
from detectorkit.utils.parallel import map_ahead

RESULT = RESULTS / "speed_scan.json"
SIDES = (384, 512, 768, 1024)
SUFFIXES = (*[".jpg"] * 15, ".png", ".webp", ".webp", ".bmp", ".tiff")
BROKEN = 100  # one file of so many is cut off
PARTS = (0.1, 0.5, 1.0)


def make_contents(sides: Sequence[int]) -> list[tuple[str, bytes]]:
    """Encode photographs of several sizes, with noise, in several formats."""
    noise = np.random.default_rng(0)
    contents = []
    for index, image in enumerate(make_upsampling_images(60, random_state=0).data):
        side = sides[index % len(sides)]
        large = cv2.resize(image[..., ::-1], (side, side), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + noise.normal(0, 4, large.shape[:2])[..., None], 0, 255)
        suffix = SUFFIXES[index % len(SUFFIXES)]
        contents.append((suffix, cv2.imencode(suffix, noisy.astype(np.uint8))[1].tobytes()))
    return contents


def write_files(folder: Path, n: int, sides: Sequence[int]) -> list[Path]:
    """Write n files, a thousand to a folder."""
    contents, paths = make_contents(sides), []
    for index in range(n):
        suffix, content = contents[index % len(contents)]
        place = folder / f"{index // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        paths.append(place / f"{index % 1000:03}{suffix}")
        is_broken = index % BROKEN == BROKEN - 1
        paths[-1].write_bytes(content[: len(content) // 2] if is_broken else content)
    return paths


def rate_of(function: Callable[[Path], Any], paths: list[Path]) -> tuple[float, float]:
    """Process files in threads, one for each core.

    Returns the files a second, and the seconds of a processor for one.
    """

    def process(path: Path) -> None:
        with contextlib.suppress(ImageReadError):
            function(path)

    n_threads = os.cpu_count() or 1
    start, cpu = time.perf_counter(), time.process_time()
    for _ in map_ahead(process, paths, n_threads=n_threads, n_ahead=4 * n_threads):
        pass
    n = len(paths)
    return n / (time.perf_counter() - start), (time.process_time() - cpu) / n


def command_of(folder: Path, model: str, output: Path) -> list[str]:
    """Return the command that scans a folder."""
    words = ["-m", "detectorkit", "scan", str(folder), "-m", model, "-o", str(output)]
    return [sys.executable, *words]


def follow(command: list[str], output: Path) -> Iterator[tuple[int, float]]:
    """Run a scan; yield the bytes of its journal and its resident megabytes now and then."""
    journal = output.with_name(f"{output.name}.journal")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as process:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                rss = next(x for x in status.splitlines() if x.startswith("VmRSS")).split()[1]
                yield journal.stat().st_size, int(rss) / 1024
            except (OSError, StopIteration):  # not begun yet, or just ended
                continue
            finally:
                time.sleep(0.1)


def measure(model: str, folder: Path, paths: list[Path], n_decoded: int) -> dict[str, Any]:
    """Scan a folder, and decode some of its files before and after."""
    preprocessing = read_record(find_detector(model)).preprocessing
    chosen = np.random.default_rng(0).permutation(len(paths))[:n_decoded]
    some = [paths[index] for index in chosen]
    alone: dict[str, Callable[[Path], Any]] = {
        "decode": load_image,
        "prepare": lambda path: check_images([path]).read(0, preprocessing),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in alone}

    def decode() -> None:
        for name, function in alone.items():
            found[name].append(rate_of(function, some))

    decode()
    output = folder.parent / f"{model}.csv"
    start, cpu = time.perf_counter(), cpu_of_children()
    samples = list(follow(command_of(folder, model, output), output))
    seconds, cpu = time.perf_counter() - start, cpu_of_children() - cpu
    decode()
    rows = read_rows(output)
    rate, end = len(paths) / seconds, max(size for size, _ in samples)
    memory = {
        f"{part:.0%}": next(rss for size, rss in samples if size >= part * end) for part in PARTS
    }
    means = {name: np.mean(pairs, axis=0).tolist() for name, pairs in found.items()}
    return {
        "n_rows": len(rows),
        "n_failed": sum(bool(row["error"]) for row in rows),
        "seconds": seconds,
        "images_per_second": rate,
        "processor_ms_per_image": 1000 * cpu / len(paths),
        **{
            f"{name}_only": {
                "images_per_second": [one for one, _ in found[name]],
                "processor_ms_per_image": 1000 * mean_cpu,
                "share_by_rate": rate / mean_rate,
                "share_by_processor": mean_cpu * len(paths) / cpu,
            }
            for name, (mean_rate, mean_cpu) in means.items()
        },
        "memory_mb": memory,
        "memory_mb_peak": max(rss for _, rss in samples),
        "load_average_after": load_average(),
    }


def cpu_of_children() -> float:
    """Return the seconds of processors that ended processes of this one took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the table of a scan, without the seconds."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def kill(model: str, folder: Path, n_kills: int) -> dict[str, Any]:
    """Kill scans at random moments, and compare with one that was not killed."""
    expected, output = folder.parent / "expected.csv", folder.parent / "killed.csv"
    journal = output.with_name(f"{output.name}.journal")
    start = time.perf_counter()
    subprocess.run(command_of(folder, model, expected), cwd=ROOT, capture_output=True, check=False)
    whole = time.perf_counter() - start
    moments, kept, same = np.random.default_rng(0), [], []
    while len(kept) < n_kills:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command_of(folder, model, output), cwd=ROOT, **quiet)
        time.sleep(moments.uniform(0.05, 0.6) * whole)
        if process.poll() is None:
            process.kill()
            process.wait()
            kept.append(journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0)
        else:  # it had ended: compare, and begin anew
            same.append(read_rows(output) == read_rows(expected))
            output.unlink()
    subprocess.run(command_of(folder, model, output), cwd=ROOT, capture_output=True, check=False)
    same.append(read_rows(output) == read_rows(expected))
    n = len(read_rows(expected))
    return {"n_images": n, "rows_kept_after_each_kill": kept, "same": same}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--n", type=int, default=100_000, help="number of files")
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES, help="pixels of a side")
    parser.add_argument("--models", nargs="+", default=["hog-svm", "cnn"])
    parser.add_argument("--decoded", type=int, default=2000, help="files that are only decoded")
    parser.add_argument("--kills", type=int, default=10)
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Write the files, scan them with each model, and kill scans."""
    sides = " ".join(map(str, arguments.sides))
    result: dict[str, Any] = {
        "command": f"python -m benchmarks speed-scan --n {arguments.n} --sides {sides}",
        "versions": find_versions("detectorkit", "numpy", "onnxruntime", "opencv-python-headless"),
        "machine": describe_machine(),
        "n": arguments.n,
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        paths = write_files(folder, arguments.n, arguments.sides)
        result["megabytes"] = sum(path.stat().st_size for path in paths) / 1e6
        for model in arguments.models:
            result[model] = measure(model, folder, paths, arguments.decoded)
            print(model, to_json(result[model]), flush=True)
        small = Path(place) / "small"
        write_files(small, min(arguments.n, 400), arguments.sides)
        result["kills"] = kill(arguments.models[0], small, arguments.kills)
    print(to_json(result))
    write_json(arguments.output, result)
