"""Put data like that of the original study together, and measure a detector on it and on others.

    python -m benchmarks study-data DATA

As docs/guide/study_data.md does, with images of the first layer of the collection: `prepare` makes
a data set of the photographs and generators that the study used, `train` fits HoG with a linear SVM
on its part train, and `evaluate` measures it on its part test, which has the same collections and
generators, and on the generators and photographs of `UNSEEN` and `UNSEEN_REAL`. One thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Data
from benchmarks.arguments import add_data
from benchmarks.files import RESULTS, write_json
from benchmarks.machine import find_versions
from detectorkit.cli import main

RESULT = RESULTS / "study_data.json"

REAL = ("celeba", "lfw")
GENERATED = ("dreambooth-class", "lora", "stable-diffusion", "stylegan", "stylegan2")
UNSEEN = ("stylegan2-like", "sdxl", "flux1-schnell")
UNSEEN_REAL = ("utkface", "frl-london", "web-headshots", "webmorph-canada", "unsplash")
METRICS = ("accuracy", "balanced_accuracy", "roc_auc", "false_positive_rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure, in a folder that is taken away afterwards."""
    data = Data(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        measured = measure(data, Path(name))
    about = {
        "command": "python -m benchmarks study-data DATA",
        "versions": find_versions("detectorkit", "numpy", "scikit-learn", "opencv-python-headless"),
    }
    write_json(RESULT, about | data.describe() | measured)


def measure(data: Data, place: Path) -> dict[str, Any]:
    """Run the commands of the page."""
    study, model = place / "study" / "manifest.csv", place / "model.onnx"
    link(data, (*REAL, *GENERATED), place / "collections", by_class=False)
    link(data, (*UNSEEN_REAL, *UNSEEN), place / "unseen", by_class=True)
    folders = [f"--real={name}={place / 'collections' / name}" for name in REAL]
    folders += [f"--generated={name}={place / 'collections' / name}" for name in GENERATED]
    call("prepare", study.parent, *folders)
    call("train", study, "-o", model)
    return {
        "files_alone_roc_auc": read_audit(study.parent / "audit.txt"),
        "known": evaluate(model, study, "--part", "test"),
        "unseen": evaluate(model, place / "unseen"),
    }


def link(data: Data, origins: tuple[str, ...], folder: Path, *, by_class: bool) -> None:
    """Make a folder of links to the images of each origin."""
    for i in np.flatnonzero(np.isin(data.origin, origins)):
        own = folder / ("real", "generated")[data.y[i]] if by_class else folder
        target = Path(data.paths[i]).resolve()
        (own / data.origin[i]).mkdir(parents=True, exist_ok=True)
        (own / data.origin[i] / target.name).symlink_to(target)


def call(command: str, *words: str | Path) -> str:
    """Run a command of the library with one thread, and return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main([command, *map(str, words), "--jobs", "1"])
    if status:
        raise RuntimeError(f"detectorkit {command} ended with {status}.")
    return printed.getvalue()


def read_audit(path: Path) -> list[float]:
    """Return how well the facts of the files alone tell the classes apart."""
    (found,) = re.findall(r"all facts of the file +(\S+) \[(\S+), (\S+)\]", path.read_text("utf-8"))
    return [float(number) for number in found]


def evaluate(model: Path, data: Path, *words: str) -> dict[str, Any]:
    """Return the metrics of all images, and how well each generator is told from photographs."""
    found = json.loads(call("evaluate", model, data, *words, "--json"))
    return {
        "n": found["n"],
        "metrics": {name: list(found["metrics"][name].values()) for name in METRICS},
        "generators": {
            row["name"]: {"n": row["n"], "roc_auc": list(row["roc_auc"].values())}
            for row in found["origins"]
            if row["kind"] == "generator"
        },
    }
