"""Compare a detector with sahu65 1.1.0 on the images of protocol E, as they are.

    python -m benchmarks side-by-side DATA --cache FOLDER

Ours are the left-out scores that protocol-e kept, so each image is scored by a detector that never
saw its source; what sahu65 was trained on is not known to overlap. sahu65 is installed by pip in an
environment of its own in the folder --cache, and runs as it comes, with one thread. A run that was
stopped goes on. The result is benchmarks/results/side_by_side.json: rates are means over origins;
"undecided" are photographs and generated images without a verdict, among all of their class.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.protocol_e import RESULT as PROTOCOL_E
from benchmarks.accuracy.source_images import SourceImages, read_result
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, RESULTS, read_json, write_json
from benchmarks.machine import describe_machine
from detectorkit.evaluation import SourceEvaluation

RESULT = RESULTS / "side_by_side.json"
OTHER = "sahu65"
VERSION = "1.1.0"
GENERATED = ("likely_ai", "ai_generated_verified")
METRICS = ("recall", "false_positive_rate", "roc_auc", "macro_balanced_accuracy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--detector", default="clip", help="name in the result of protocol-e")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder, best outside the checkout"
    )
    parser.add_argument("--limit", type=int, help="images, evenly spread; nothing is written then")


def run(arguments: argparse.Namespace) -> None:
    """Score with the other, look up our scores, and write one row for each."""
    images = SourceImages(arguments.data)
    step = max(1, len(images.paths) // arguments.limit) if arguments.limit else 1
    index = np.arange(len(images.paths))[::step]
    python = install(arguments.cache)
    table = score(python, [images.paths[i] for i in index], arguments.cache)
    verdict, probability = table[:, 1], table[:, 2].astype(float)
    rows = {
        OTHER: describe(images, index, probability, np.isin(verdict, GENERATED))
        | undecided(images, index, ~np.isin(verdict, [*GENERATED, "likely_real"]))
        | {
            "version": VERSION,
            "refused": int(np.sum(verdict == "refused")),
            "ms_per_image": round(float(np.median(table[:, 3].astype(float))), 1),
            "bytes": size_of(python),
        }
    }
    if arguments.limit:
        print(rows)
        return
    rows = {arguments.detector: ours(arguments.detector, images, index)} | rows
    write_json(
        RESULT,
        {
            "command": "python -m benchmarks side-by-side DATA",
            "data": images.describe(),
            "machine": describe_machine(),
            "rows": rows,
        },
    )


def install(cache: Path) -> Path:
    """Make the environment of the other detector once; return its Python."""
    folder = cache / f"{OTHER}-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"{OTHER}=={VERSION}"], check=True)
        (folder / "complete").touch()
    return python


def score(python: Path, paths: list[Any], cache: Path) -> np.ndarray:
    """Run the other detector on what it has not scored yet; return all lines of its output."""
    listed, output = (cache / f"{OTHER}-{len(paths)}.{kind}" for kind in ("txt", "csv"))
    listed.write_text("\n".join(str(Path(path).resolve()) for path in paths))
    script = Path(__file__).with_name("run_sahu65.py")
    variables = {**os.environ, "ORT_INTRA_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([python, script, listed, output], check=True, cwd=cache, env=variables)
    return np.array([line.split(",") for line in output.read_text().splitlines()])


def size_of(python: Path) -> int:
    """Return the bytes of the installed package itself, without what it depends on."""
    (folder,) = python.parents[1].glob(f"lib/python*/site-packages/{OTHER}")
    return sum(file.stat().st_size for file in folder.rglob("*") if "__pycache__" not in file.parts)


def ours(name: str, images: SourceImages, index: np.ndarray) -> dict[str, Any]:
    """Return the row of a detector that protocol-e measured as found."""
    key = f"{name}.as-found"
    measured, kept = read_json(PROTOCOL_E)["rows"][key], read_result(key)
    row = describe(images, index, kept.scores, kept.scores > kept.threshold)
    band = measured.get("band")
    if band is not None:
        unsure = (kept.scores > band["low"]) & (kept.scores <= band["high"])
        row = describe(images, index, kept.scores, kept.scores > band["high"])
        row |= undecided(images, index, unsure)
    return row | {name: measured[name] for name in ("ms_per_image", "bytes")}


def describe(
    images: SourceImages, index: np.ndarray, scores: np.ndarray, called: np.ndarray
) -> dict[str, Any]:
    """Return the metrics of verdicts and scores."""
    found = evaluation(images, index, scores, called).metrics
    return {name: found[name].to_dict() for name in METRICS}


def undecided(images: SourceImages, index: np.ndarray, unsure: np.ndarray) -> dict[str, Any]:
    """Return how many photographs and generated images have no verdict, as means over origins."""
    found = evaluation(images, index, unsure.astype(float), unsure).metrics
    rates = {"real": found["false_positive_rate"], "generated": found["recall"]}
    return {"undecided": {name: rate.to_dict() for name, rate in rates.items()}}


def evaluation(
    images: SourceImages, index: np.ndarray, scores: np.ndarray, called: np.ndarray
) -> SourceEvaluation:
    """Take verdicts as they are: each image has a threshold that its score is above or not."""
    columns = {name: values[index] for name, values in images.columns.items()}
    return SourceEvaluation(images.y[index], scores, scores + np.where(called, -1, 1), **columns)
