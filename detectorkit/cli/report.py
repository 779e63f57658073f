"""Measure a saved detector on labelled images and write a report of it.

Writes one HTML page that needs no other file. Beside it, the same report is written as JSON and,
without images, as a model card in Markdown: with -o report.html also report.json and report.md.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.cli._common import (
    add_jobs,
    add_model_and_data,
    add_part,
    add_random_state,
    check_output,
    load_data,
    process_paths,
    take_model_and_data,
)
from detectorkit.saliency.methods import METHODS, make_explainer

if TYPE_CHECKING:
    from detectorkit.report.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit report``."""
    add_model_and_data(
        parser,
        "[--part NAME] -o PAGE [--no-images] [--explain METHOD] [--robustness] [--audit] "
        "[--random-state N] [--jobs N]",
    )
    add_part(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="PAGE",
        help="HTML file to write, such as report.html; a report that exists is replaced",
    )
    parser.add_argument(
        "--no-images",
        action="store_true",
        help="leave out images and their names, for data that must not be published",
    )
    parser.add_argument(
        "--explain",
        choices=METHODS,
        metavar="METHOD",
        help="show a saliency map beside each image, by one of: " + ", ".join(METHODS),
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also measure the effect of re-encoding, resizing and other changes (takes far "
        "longer)",
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="also check whether format, size or metadata alone would give the answer away",
    )
    add_random_state(parser)
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit report``."""
    _check_before_work(arguments)
    take_model_and_data(arguments)

    from detectorkit.detectors import load_detector

    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    found = load_data(arguments)
    if arguments.audit and len(set(found.target)) < 2:
        raise ValueError(
            "--audit needs photographs and generated images, but the data have only one class. "
            "Leave out --audit, or add images of the other class."
        )
    scores, read, failures = process_paths(detector.decision_function, found.data, "Scoring")
    report = _make_report(arguments, detector, scores, _keep(found, read), len(failures))
    written = report.write(arguments.output)
    print(report.headline)
    print("\nReport: " + ", ".join(map(str, written)))
    return 1 if failures else 0


def _check_before_work(arguments: Namespace) -> None:
    """Check the output path and matplotlib before the long work starts."""
    check_output(arguments.output, ".html")  # before the imports, which take seconds

    from detectorkit.report import check_report_path
    from detectorkit.report.curves import check_matplotlib

    check_report_path(arguments.output)
    try:
        check_matplotlib()
    except ImportError as error:
        raise ValueError(str(error)) from error


def _keep(found: Any, read: NDArray[np.intp]) -> Any:
    """Return the data without the images that could not be read."""
    from sklearn.utils import Bunch

    return Bunch(
        data=[found.data[i] for i in read],
        target=found.target[read],
        origin=found.origin[read],
        metadata={name: column[read] for name, column in found.metadata.items()},
    )


def _make_report(
    arguments: Namespace, detector: Any, scores: NDArray[Any], found: Any, n_failures: int
) -> Report:
    from detectorkit.evaluation.evaluate import Evaluation
    from detectorkit.report import hash_files, make_report

    evaluation = Evaluation(
        y_true=found.target,
        scores=scores,
        threshold=float(detector.threshold_),
        probabilities=detector.calibration_.predict(scores),
        origin=found.origin,
        random_state=arguments.random_state,
        band=detector.band_,
    )
    names = _names(found.data, hide=arguments.no_images)
    return make_report(
        evaluation,
        title=f"How {Path(arguments.model).name} does on {Path(arguments.data).resolve().name}",
        record=detector.record_,
        images=None if arguments.no_images else found.data,
        names=None if arguments.no_images else names,
        explainer=make_explainer(detector, arguments.explain) if arguments.explain else None,
        robustness=_measure_robustness(arguments, detector, found),
        audit=_audit(arguments, found, names),
        hashes={
            "model": hashlib.sha256(detector.onnx_model_).hexdigest(),
            "data": hash_files(found.data, verbose=True),
        },
        command=_command(arguments),
        notes=_notes(n_failures, arguments),
    )


def _names(paths: list[str], *, hide: bool) -> list[str]:
    """Return the paths of images from their common folder, or only numbers."""
    if hide:
        return [f"image {number}" for number in range(len(paths))]
    absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links stay links
    folder = os.path.commonpath([str(Path(path).parent) for path in absolute])
    return [os.path.relpath(path, folder) for path in absolute]


def _measure_robustness(arguments: Namespace, detector: Any, found: Any) -> Any:
    if not arguments.robustness:
        return None
    from detectorkit.evaluation.robustness.report import robustness_report

    return robustness_report(
        detector,
        found.data,
        found.target,
        n_jobs=arguments.jobs,
        random_state=arguments.random_state,
        verbose=True,
    )


def _audit(arguments: Namespace, found: Any, names: list[str]) -> Any:
    if not arguments.audit:
        return None
    from detectorkit.datasets.audit import judge_files, read_audit_files

    known = {"generator", "source"} & set(found.metadata)
    return judge_files(
        read_audit_files(found.data, n_jobs=arguments.jobs, verbose=True),
        names,
        found.target,
        **{name: found.metadata[name] for name in known},
        n_jobs=arguments.jobs,
        random_state=arguments.random_state,
        verbose=True,
    )


def _command(arguments: Namespace) -> str:
    """Return the command that repeats the report, with defaults that change the metrics."""
    words = ["detectorkit", "report", arguments.model, arguments.data, "-o", arguments.output]
    words += [
        f"--{name.replace('_', '-')}"
        for name in ("no_images", "robustness", "audit")
        if getattr(arguments, name)
    ]
    if arguments.explain:
        words += ["--explain", arguments.explain]
    return shlex.join([*words, "--random-state", str(arguments.random_state)])


def _notes(n_failures: int, arguments: Namespace) -> list[str]:
    notes = []
    if n_failures:
        notes.append(f"Images that could not be read and are left out: {n_failures}.")
    if arguments.no_images:
        notes.append("Images and their names are left out, because of --no-images.")
    return notes
