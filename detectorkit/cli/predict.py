"""Predict for each image whether it is real or generated.

Prints a line for each image: verdict, probability of being generated, path. The probability
holds only for images like those on which the model was trained.

The model is an ONNX file that `detectorkit train` wrote, or the name of a shipped detector. Pass it
with -m, or as the first argument if that ends in .onnx or is such a name and not a file. Otherwise
the default detector is used, whose name is printed on standard error.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from detectorkit.cli._common import add_jobs, process_paths
from detectorkit.utils.json import dumps

if TYPE_CHECKING:
    from detectorkit.graph.record import ModelRecord

__all__ = ["add_arguments", "run"]


class _Request(NamedTuple):
    """Model, by file and by name, and images of a call."""

    path: Path
    name: str
    images: list[str]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit predict``."""
    parser.usage = "%(prog)s [-h] [-m MODEL] [--fpr RATE] [--json] [--jobs N] [MODEL] IMAGE ..."
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or folder of image files"
    )
    parser.add_argument(
        "-m",
        "--model",
        help="ONNX file or name of a shipped detector; then all other arguments are images",
    )
    parser.add_argument(
        "--fpr",
        type=float,
        metavar="RATE",
        help="use the model's threshold for this false-positive rate, such as 0.05, among the "
        "photographs on which it was measured (default: its own threshold)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit predict``."""
    from detectorkit.graph.runner import GraphRunner, threads_of_run
    from detectorkit.images.sequence import check_images

    asked = _understand(arguments)
    paths = _expand(asked.images)
    n_threads = threads_of_run(len(paths), arguments.jobs)
    runner = GraphRunner.from_file(asked.path, n_threads=n_threads)
    decision = runner.record.decision
    if arguments.fpr is not None:
        threshold = _threshold(runner.record, arguments.fpr, asked.name)
        decision = replace(decision, threshold=threshold)

    def score_paths(chunk: Any) -> Any:
        return runner.score(check_images(chunk), n_jobs=arguments.jobs)

    scores, read, failures = process_paths(score_paths, paths, "Predicting")
    verdicts, probabilities = decision.is_generated(scores), decision.probabilities(scores)
    rows = zip(read, scores, verdicts, probabilities, strict=True)
    for index, score, is_generated, probability in rows:
        verdict = "generated" if is_generated else "real"
        if arguments.json:
            row = {
                "path": paths[index],
                "verdict": verdict,
                "label": decision.classes[int(is_generated)],
                "probability": float(probability),
                "score": float(score),
                "threshold": decision.threshold,
                "model": asked.name,
            }
            print(dumps(row))
        else:
            print(f"{verdict:9}  {probability:.3f}  {paths[index]}")
    if arguments.json:
        for failure in failures:
            print(dumps({"path": str(failure.path), "error": failure.reason}))
    return 1 if failures else 0


def _understand(arguments: Namespace) -> _Request:
    """Separate the model from the images among the arguments."""
    from detectorkit.models import card_path, default_detector, find_detector, shipped_detectors

    images: list[str] = arguments.images
    name: str | None = arguments.model
    first = Path(images[0])
    if name is None and not first.is_dir():
        is_shipped = images[0] in shipped_detectors() and not first.exists()
        if is_shipped or first.suffix.lower() == ".onnx":
            name, *images = images
            if not images:
                raise ValueError(
                    f"there are no images, only the model {name}. Pass image files or folders."
                )
    path = find_detector(name)
    if name is None:
        name = default_detector()
        if not arguments.json:
            limits = f"what it was trained on and where it fails is written in {card_path(name)}"
            print(f"Default model {name}: {limits}", file=sys.stderr)
    return _Request(path, name, images)


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


def _expand(images: list[str]) -> list[str]:
    from detectorkit.images.image_files import find_images

    paths: list[str] = []
    for image in images:
        if Path(image).is_dir():
            paths += [str(path) for path in find_images(image)]
        else:
            paths.append(image)
    if not paths:
        raise ValueError(f"there are no images in {', '.join(images)}.")
    return paths
