"""Measure a saved detector on labelled images.

Prints every metric with its 95 % interval and, with --groups, the share of each group that is
called generated: for photographs that is the false-positive rate, for generators the share found.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

import numpy as np

from detectorkit.cli._common import (
    add_data,
    add_jobs,
    get_column,
    metrics_to_json,
    print_metrics,
    process_paths,
)

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument("model", help="ONNX file that `detectorkit train` wrote")
    add_data(parser)
    parser.add_argument(
        "--groups", metavar="COLUMN", help="measure each value of this column, such as generator"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Do it.

    Parameters
    ----------
    arguments : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        0, or 1 if some images failed.
    """
    from detectorkit import load_detector
    from detectorkit.datasets import load_images
    from detectorkit.evaluation import binary_metrics

    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    found = load_images(arguments.data)
    column = get_column(found, arguments.groups)
    scores, read, failures = process_paths(detector.decision_function, found.data, "Evaluating")
    y = found.target[read]
    metrics = binary_metrics(y, scores, threshold=detector.threshold_)
    groups = []
    if column is not None:
        groups = _by_group(column[read], y, scores > detector.threshold_)
    if arguments.json:
        summary = {
            "model": str(arguments.model),
            "n": len(y),
            "n_unreadable": len(failures),
            "training": detector.record_.training,
            "metrics": metrics_to_json(metrics),
            "groups": groups,
        }
        print(json.dumps(summary, indent=1))
    else:
        trained_on = ", ".join(detector.record_.training.get("generators", [])) or "not recorded"
        print_metrics(f"{len(y)} images; the model was trained on: {trained_on}", metrics)
        _print_groups(arguments.groups, groups)
    return 1 if failures else 0


def _by_group(column: Any, y: Any, called: Any) -> list[dict[str, Any]]:
    from detectorkit.evaluation import wilson_interval

    rows = []
    for label, kind in enumerate(("real", "generated")):
        for name in np.unique(column[y == label]):
            members = (column == name) & (y == label)
            n, count = int(members.sum()), int(called[members].sum())
            low, high = wilson_interval(count, n)
            rows.append(
                {
                    "group": str(name) or "(none)",
                    "label": kind,
                    "n": n,
                    "called_generated": {"value": count / n, "low": low, "high": high},
                }
            )
    return rows


def _print_groups(column: str | None, groups: list[dict[str, Any]]) -> None:
    if not groups:
        return
    print(f"\n{column:24} {'':9} {'n':>6}  called generated")
    for row in groups:
        share = row["called_generated"]
        print(
            f"{row['group']:24} {row['label']:9} {row['n']:6}  "
            f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
        )
