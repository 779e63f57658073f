"""From nothing to a verdict: installing, importing, and saying of one image whether it is real.

    python -m benchmarks speed-start [--repeats N] [--python PYTHON]

The library is installed by ``pip install .``, without extras, from a copy of this checkout into a
fresh virtual environment, where everything else is measured too: the size of the packages, and the
wall time of whole processes that take turns, ``python -c pass``, ``import detectorkit`` and
``python -m detectorkit predict IMAGE``, the last with the default shipped detector on a JPEG file;
it is left out where none is shipped. Each process is new, but files may be in the system's memory,
so the first run is given by itself.

All wheels are fetched before; the seconds of the installation are those of pip's work on them, and
the size of the download is given beside. With PYTHON, the processes are run by that interpreter,
and nothing is installed. The result is benchmarks/results/speed_start.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from benchmarks.arguments import add_output, add_repeats
from benchmarks.files import RESULTS, ROOT, to_json, write_json
from benchmarks.machine import describe_machine
from benchmarks.speed.images import QUALITY, write_photographs

RESULT = RESULTS / "speed_start.json"
SIDE = 512
N_LARGEST = 10
MB = 1e6
NO_MODEL = "`predict` is left out: no detector is shipped with the library"
SHIPPED = (
    "from detectorkit.models import default_detector as d, shipped_detectors as s\n"
    "if s(): print(d(), s()[d()].stat().st_size)"
)
VERSIONS = (
    "import json, platform\nfrom importlib.metadata import version\n"
    "packages = ('detectorkit', 'numpy', 'onnxruntime', 'opencv-python-headless')\n"
    "print(json.dumps({'python': platform.python_version(), **{p: version(p) for p in packages}}))"
)


def run_in(folder: Path, command: list[str]) -> tuple[float, str]:
    """Run a process in a folder; return its seconds and what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return seconds, done.stdout


def install(folder: Path) -> tuple[str, dict[str, Any]]:
    """Install the library into a fresh environment; return its interpreter and what that took."""
    source, wheels, home = folder / "source", folder / "wheels", folder / "environment"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "detectorkit", source / "detectorkit", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run_in(folder, [sys.executable, "-m", "venv", str(home)])
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    empty = sizes_of(python, folder)
    pip = [python, "-m", "pip", "-q", "--no-cache-dir"]
    builders = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    run_in(folder, [*pip, "wheel", "-w", str(wheels), str(source)])
    download = sum(path.stat().st_size for path in wheels.glob("*.whl"))
    run_in(folder, [*pip, "download", "--no-deps", "-d", str(wheels), *builders])
    offline = ["--no-index", "--find-links", str(wheels)]
    seconds, _ = run_in(folder, [*pip, "install", *offline, str(source)])
    packages = sizes_of(python, folder)
    added = {name: size for name, size in packages.items() if name not in empty}
    largest = sorted(added, key=added.__getitem__, reverse=True)[:N_LARGEST]
    return python, {
        "command": "pip install .",
        "seconds": round(seconds, 2),
        "download_mb": round(download / MB, 1),
        "n_packages": len(added),
        "mb": round(sum(added.values()) / MB, 1),
        "mb_of_largest": {name: round(added[name] / MB, 1) for name in largest},
    }


def sizes_of(python: str, folder: Path) -> dict[str, int]:
    """Return the bytes of all packages of an environment, with compiled modules."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = run_in(folder, [python, "-c", code])[1].strip()
    return {one.name: size_of(one) for one in distributions(path=[place])}


def size_of(package: Distribution) -> int:
    """Return the bytes of a package's files."""
    paths = [Path(str(file.locate())) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure(python: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Time whole processes."""
    image = Path(write_photographs(folder, 2, SIDE)[0][0])
    commands = {
        "python": [python, "-c", "pass"],
        "import": [python, "-c", "import detectorkit"],
        "predict": [python, "-m", "detectorkit", "predict", str(image)],
    }
    name, _, size = run_in(folder, [python, "-c", SHIPPED])[1].strip().partition(" ")
    if not name:
        del commands["predict"]
    seconds: dict[str, list[float]] = {key: [] for key in commands}
    for turn in range(repeats + 1):
        for key in reversed(commands) if turn == 0 else commands:  # the verdict comes first
            seconds[key].append(run_in(folder, commands[key])[0])
    figures: dict[str, Any] = {
        key: {
            "first": round(values[0], 4),
            "min": round(min(values[1:]), 4),
            "median": round(statistics.median(values[1:]), 4),
        }
        for key, values in seconds.items()
    }
    return {
        "versions": json.loads(run_in(folder, [python, "-c", VERSIONS])[1]),
        "file": {"format": "JPEG", "pixels": [SIDE, SIDE], "quality": QUALITY}
        | {"bytes": image.stat().st_size},
        "model": {"name": name, "bytes": int(size)} if name else None,
        **({} if name else {"note": NO_MODEL}),
        "seconds": figures,
        "import_without_python": round(
            figures["import"]["median"] - figures["python"]["median"], 4
        ),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_repeats(parser, 15)
    parser.add_argument(
        "--python",
        type=os.path.abspath,  # it is run elsewhere
        help="interpreter that has the library; installs nothing",
    )
    add_output(parser, RESULT)


def run(arguments: argparse.Namespace) -> None:
    """Install and measure."""
    result: dict[str, Any] = {
        "command": "python -m benchmarks speed-start",
        "machine": describe_machine(),
        "threads": "as many as the command takes by itself: one for the network",
        "repeats": arguments.repeats,
    }
    with tempfile.TemporaryDirectory() as name:
        folder, python = Path(name), arguments.python
        if python is None:
            python, result["install"] = install(folder)
        result |= measure(python, folder, arguments.repeats)
    if "install" in result and result["model"]:
        first = result["install"]["seconds"] + result["seconds"]["predict"]["first"]
        result["seconds_from_pip_install_to_first_verdict"] = round(first, 2)
    print(to_json(result))
    write_json(arguments.output, result)
