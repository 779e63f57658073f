"""Answers of `detectorkit serve` a second, and the times of a single one, with several clients.

    python -m benchmarks speed-server [--seconds N]

The server runs in a process of its own and the clients in this one, on the same machine, so that
both share its cores. A client has one connection, sends a JPEG file of 512 x 512 pixels to
``/predict``, and the next one when the answer is there. Beside the answers a second are the median
and the 99th percentile of their times, and the resident memory of the server before and after.
The result is benchmarks/results/speed_server.json.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import add_output
from benchmarks.files import RESULTS, ROOT, to_json, write_json
from benchmarks.machine import describe_machine, find_versions, load_average
from benchmarks.speed.images import QUALITY, write_photographs

RESULT = RESULTS / "speed_server.json"
SIDE = 512
N_FILES = 16
CLIENTS = {"hog-svm": (1, 8, 64), "cnn": (1, 8, 64), "clip": (1, 8)}
HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


@contextmanager
def serving(model: str) -> Iterator[tuple[int, int]]:
    """Run a server; yield its port and the number of its process."""
    command = [sys.executable, "-m", "detectorkit", "serve", "-m", model, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.stderr.readline() if process.stderr else ""
            if "http://127.0.0.1:" not in said:
                raise RuntimeError(f"{' '.join(command)}: {said}")
            yield int(said.split("http://127.0.0.1:")[1].split("/")[0]), process.pid
        finally:
            process.terminate()


def memory_of(pid: int) -> float | None:
    """Return the resident memory of a process in megabytes, where the system tells it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


async def send(
    port: int, requests: Iterator[bytes], end: float, found: list[tuple[int, float]]
) -> None:
    """Send requests one after the other; note status and seconds of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        begin = time.perf_counter()
        writer.write(next(requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        found.append((int(head.split(b" ")[1]), time.perf_counter() - begin))
    writer.close()


async def measure(
    port: int, bodies: Sequence[bytes], n_clients: int, seconds: float
) -> dict[str, Any]:
    """Measure with a number of clients."""
    requests = itertools.cycle(HEAD.format(len(body)).encode() + body for body in bodies)
    found: list[tuple[int, float]] = []
    begin = time.perf_counter()
    jobs = (send(port, requests, begin + seconds, found) for _ in range(n_clients))
    await asyncio.gather(*jobs)
    taken = time.perf_counter() - begin
    times = np.array([time for _, time in found])
    return {
        "clients": n_clients,
        "answers": dict(Counter(str(status) for status, _ in found)),
        "per_second": round(len(found) / taken, 1),
        "ms_median": round(1000 * float(np.quantile(times, 0.5)), 1),
        "ms_p99": round(1000 * float(np.quantile(times, 0.99)), 1),
    }


def measure_model(model: str, bodies: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """Measure a server of one model with all numbers of clients."""
    with serving(model) as (port, pid):
        asyncio.run(measure(port, bodies, 8, min(seconds, 2)))  # what is only done once
        before = memory_of(pid)
        rows = [asyncio.run(measure(port, bodies, n, seconds)) for n in CLIENTS[model]]
        return {"rows": rows, "mb_before": before, "mb_after": memory_of(pid)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--seconds", type=float, default=10, help="time for each number of clients")
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Measure all models."""
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-server",
        "machine": describe_machine(),
        "versions": find_versions("detectorkit", "starlette", "uvicorn", "onnxruntime"),
        "file": {"format": "JPEG", "pixels": [SIDE, SIDE], "quality": QUALITY},
        "seconds": arguments.seconds,
    }
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = write_photographs(Path(folder), N_FILES, SIDE)
        bodies = [Path(path).read_bytes() for path in paths]
        result["models"] = {
            model: measure_model(model, bodies, arguments.seconds) for model in CLIENTS
        }
    result["load_average_after"] = load_average()
    print(to_json(result))
    write_json(arguments.output, result)
