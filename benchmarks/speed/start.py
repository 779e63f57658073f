"""From nothing to a verdict: installing, importing, and saying of one image whether it is real.

    python benchmarks/speed/start.py [--repeats N] [--python PYTHON]

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

import cv2
import numpy as np
from machine import describe_machine

from detectorkit.datasets import make_upsampling_images

ROOT = Path(__file__).parents[2]
RESULT = Path(__file__).parents[1] / "results" / "speed_start.json"
SIDE, QUALITY = 512, 90
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


def run(command: list[str], folder: Path) -> tuple[float, str]:
    """Run a process in a folder; give its seconds and what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return seconds, done.stdout


def make_file(path: Path) -> None:
    """Write a JPEG file with noise, as a camera would leave it."""
    image = make_upsampling_images(2, image_size=(256, 256), random_state=0).data[0]
    large = cv2.resize(image[..., ::-1], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE, 1))
    noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def install(folder: Path) -> tuple[str, dict[str, Any]]:
    """Install the library into a fresh environment; give its interpreter and what that took."""
    source, wheels, home = folder / "source", folder / "wheels", folder / "environment"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "detectorkit", source / "detectorkit", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run([sys.executable, "-m", "venv", str(home)], folder)
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    empty = sizes_of(python, folder)
    pip = [python, "-m", "pip", "-q", "--no-cache-dir"]
    builders = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    run([*pip, "wheel", "-w", str(wheels), str(source)], folder)
    download = sum(path.stat().st_size for path in wheels.glob("*.whl"))
    run([*pip, "download", "--no-deps", "-d", str(wheels), *builders], folder)
    offline = ["--no-index", "--find-links", str(wheels)]
    seconds, _ = run([*pip, "install", *offline, str(source)], folder)
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
    """Give the bytes of all packages of an environment, with compiled modules."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = run([python, "-c", code], folder)[1].strip()
    return {one.name: size_of(one) for one in distributions(path=[place])}


def size_of(package: Distribution) -> int:
    """Give the bytes of a package's files."""
    paths = [Path(str(file.locate())) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure(python: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Time whole processes."""
    image = folder / "image.jpg"
    make_file(image)
    commands = {
        "python": [python, "-c", "pass"],
        "import": [python, "-c", "import detectorkit"],
        "predict": [python, "-m", "detectorkit", "predict", str(image)],
    }
    name, _, size = run([python, "-c", SHIPPED], folder)[1].strip().partition(" ")
    if not name:
        del commands["predict"]
    seconds: dict[str, list[float]] = {key: [] for key in commands}
    for turn in range(repeats + 1):
        for key in reversed(commands) if turn == 0 else commands:  # the verdict comes first
            seconds[key].append(run(commands[key], folder)[0])
    figures: dict[str, Any] = {
        key: {
            "first": round(values[0], 4),
            "min": round(min(values[1:]), 4),
            "median": round(statistics.median(values[1:]), 4),
        }
        for key, values in seconds.items()
    }
    return {
        "versions": json.loads(run([python, "-c", VERSIONS], folder)[1]),
        "file": {"format": "JPEG", "pixels": [SIDE, SIDE], "quality": QUALITY}
        | {"bytes": image.stat().st_size},
        "model": {"name": name, "bytes": int(size)} if name else None,
        **({} if name else {"note": NO_MODEL}),
        "seconds": figures,
        "import_without_python": round(
            figures["import"]["median"] - figures["python"]["median"], 4
        ),
    }


def main() -> None:
    """Install and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="turns whose median counts")
    parser.add_argument(
        "--python",
        type=os.path.abspath,  # it is run elsewhere
        help="interpreter that has the library; installs nothing",
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "script": "benchmarks/speed/start.py",
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
    print(json.dumps(result, indent=1))
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
