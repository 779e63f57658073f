"""Predict for each image whether it is real or generated.

Prints a line for each image: verdict, probability of being generated, path. The verdict is "can't
tell" where the score lies in the band that the record of the model has for this. The probability
holds only for images like those on which the model was trained.

The model is an ONNX file that `detectorkit train` wrote, or the name of a shipped detector. Pass it
with -m, or as the first argument if that ends in .onnx or is such a name and not a file. Otherwise
the default detector is used, which is described on standard error. With -m all, every shipped
detector is used, and the verdicts are a table with a column for each.

What a file says of itself, such as the name of a generator, is printed below the verdict. It can be
forged and removed, and has no part in the verdict.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectorkit.cli._common import add_jobs, process_paths
from detectorkit.cli._request import find_paths, find_request
from detectorkit.exceptions import BackboneNotFoundError, ImageReadError
from detectorkit.utils.json import dumps
from detectorkit.utils.tables import text_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectorkit.graph.record import ModelRecord

__all__ = ["add_arguments", "run"]

_Row = dict[str, Any]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit predict``."""
    parser.usage = "%(prog)s [-h] [-m MODEL] [--fpr RATE] [--json] [--jobs N] [MODEL] IMAGE ..."
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or folder of image files"
    )
    parser.add_argument(
        "-m",
        "--model",
        help="ONNX file, name of a shipped detector, or all; then all other arguments are images",
    )
    parser.add_argument(
        "--fpr",
        type=float,
        metavar="RATE",
        help="use the model's threshold for this false-positive rate, such as 0.05, among the "
        "photographs on which it was measured, and never say can't tell (default: its own "
        "threshold and band)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit predict``."""
    asked = find_request(arguments)
    paths = find_paths(asked.images)
    columns: list[list[_Row]] = []  # a row of each image, by each detector
    failures: list[ImageReadError] = []
    for name, file in asked.models.items():
        try:
            rows, read, failed = _judge(name, file, paths, arguments, explain=asked.is_default)
        except BackboneNotFoundError as error:
            if len(asked.models) == 1:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        # The next detectors judge the images that could be read, so that the others are named once.
        paths = [paths[i] for i in read]
        columns = [*([column[i] for i in read] for column in columns), rows]
        failures += failed
    if not columns:
        raise ValueError("none of the shipped detectors can be run. Install their backbones.")
    from detectorkit.provenance import read_provenance

    by_image = list(zip(*columns, strict=True))
    provenance = [read_provenance(path) for path in paths]
    if arguments.json:
        found = [
            row | {"provenance": one.to_dict()}
            for rows, one in zip(by_image, provenance, strict=True)
            for row in rows
        ]
        errors = [{"path": str(one.path), "error": one.reason} for one in failures]
        lines = [dumps(row) for row in found + errors]
    else:
        lines = _format(by_image, [one.lines() for one in provenance])
    for line in lines:
        print(line)
    return 1 if failures else 0


def _judge(
    name: str, file: Path, paths: Sequence[str], arguments: Namespace, *, explain: bool
) -> tuple[list[_Row], NDArray[np.intp], list[ImageReadError]]:
    """Judge images by one detector: the rows of those that can be read, their indices, failures."""
    from detectorkit.graph.runner import GraphRunner, threads_of_run
    from detectorkit.images.sequence import check_images

    n_threads = threads_of_run(len(paths), arguments.jobs)
    runner = GraphRunner.from_file(file, n_threads=n_threads)
    decision = runner.record.decision
    if arguments.fpr is not None:
        threshold = _threshold(runner.record, arguments.fpr, name)
        decision = replace(decision, threshold=threshold, band=None)
    if explain and not arguments.json:
        _explain_default(name, runner.record)

    def score_paths(chunk: Any) -> Any:
        return runner.score(check_images(chunk), n_jobs=arguments.jobs)

    scores, read, failures = process_paths(score_paths, paths, "Predicting")
    found = (decision.verdicts(scores), decision.labels(scores), decision.probabilities(scores))
    band = None if decision.band is None else {"low": decision.low, "high": decision.high}
    rows = [
        {
            "path": paths[index],
            "verdict": str(verdict),
            "label": label,
            "probability": float(probability),
            "score": float(score),
            "threshold": decision.threshold,
            "band": band,
            "model": name,
            "treatment": runner.record.treatment_text(),
        }
        for index, score, verdict, label, probability in zip(read, scores, *found, strict=True)
    ]
    return rows, read, failures


def _format(by_image: Sequence[Sequence[_Row]], notes: Sequence[Sequence[str]]) -> list[str]:
    """Format the verdicts: a line for each image, with a column for each of several detectors.

    Below it, indented, is what the file says of itself.
    """
    cells = [[*(_cell(row) for row in rows), rows[0]["path"]] for rows in by_image]
    names = [row["model"] for row in by_image[0]]
    lines = text_table(cells, [*names, "image"] if len(names) > 1 else None)
    head = lines[: len(lines) - len(cells)]
    body = zip(lines[len(head) :], notes, strict=True)
    return head + [text for line, below in body for text in (line, *(f"    {n}" for n in below))]


def _cell(row: _Row) -> str:
    return f"{row['verdict']:10}  {row['probability']:.3f}"


def _explain_default(name: str, record: ModelRecord) -> None:
    """Print on standard error what the default detector is, and when it cannot tell."""
    from detectorkit.models import card_path

    lines = [f"Default model {name}. Treatment of images: {record.treatment_text()}."]
    if record.band is not None:
        lines.append(f"It {record.band.describe()}.")
    limits = f"What it was trained on and where it fails is written in {card_path(name)}"
    print("\n".join([*lines, limits]), file=sys.stderr)


def _threshold(record: ModelRecord, fpr: float, name: str) -> float:
    """Return the model's threshold for a false-positive rate."""
    if not 0 < fpr < 1:
        raise ValueError(f"--fpr {fpr:g}: pass a proportion between 0 and 1, such as 0.05.")
    found = record.fpr_thresholds.get(fpr)
    if found is None:
        known = ", ".join(f"{rate:g}" for rate in record.fpr_thresholds) or "none"
        raise ValueError(
            f"--fpr {fpr:g}: the model {name} has thresholds for {known}. Set another one with "
            f"`detectorkit calibrate --fpr {fpr:g}` on photographs like yours."
        )
    return found
