"""Fit the threshold or the probabilities of a saved detector to other images, and save it again.

With --fpr, the threshold is set so that at most this proportion of photographs like these will be
called generated; only photographs are needed, in real/ or in a folder of nothing else. With
--method, probabilities are fitted, and the threshold is set where they are one half; both classes
are needed. With --band, it is set at which scores the verdict is "can't tell", so that at most 2 %
of the photographs of a further source are called generated; both classes are needed, and at least
49 sources of photographs. Scores, and so the ranking of images, do not change. The images must not
be those on which the detector was trained, nor those on which it will be measured.

A band that the detector has stays with --method. It is removed with --fpr, so that verdicts follow
the new threshold alone.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np

from detectorkit.cli._common import (
    add_jobs,
    add_model_and_data,
    add_part,
    check_output,
    check_rate,
    load_data,
    process_paths,
    take_model_and_data,
    tell_passed_over,
)
from detectorkit.utils.progress import tell

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit calibrate``."""
    add_model_and_data(
        parser,
        "[--part NAME] -o OUTPUT (--fpr RATE | --method METHOD | --band [RATE]) [--guarantee] "
        "[--jobs N]",
    )
    add_part(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="ONNX file to write, such as model.onnx; one that exists is replaced",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--fpr", type=float, metavar="RATE", help="wanted false-positive rate, such as 0.05"
    )
    what.add_argument(
        "--method",
        choices=("sigmoid", "isotonic", "shift"),
        help="method to fit probabilities; shift needs few images, isotonic many",
    )
    what.add_argument(
        "--band",
        type=float,
        nargs="?",
        const=0.02,
        metavar="RATE",
        help="set at which scores the verdict is can't tell, so that at most this proportion of "
        "the photographs of a further source is called generated (default: 0.02)",
    )
    parser.add_argument(
        "--guarantee",
        action="store_true",
        help="with --fpr: keep to the rate with 95 %% confidence, not only on average",
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit calibrate``."""
    output = check_output(arguments.output, ".onnx")  # before the imports, which take seconds
    take_model_and_data(arguments)
    check_rate("--fpr", arguments.fpr)
    check_rate("--band", arguments.band)
    if arguments.guarantee and arguments.fpr is None:
        raise ValueError("--guarantee needs --fpr. Pass --fpr RATE, or leave out --guarantee.")

    from detectorkit.detectors import load_detector

    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    found = _load(arguments)
    scores, read, failures = process_paths(detector.decision_function, found.data, "Scoring")
    y = found.target[read]
    if arguments.band is not None:
        print(_set_band(detector, scores, y, found.origin[read], arguments.band))
    elif arguments.fpr is None:
        print(_fit_probabilities(detector, scores, y, arguments.method))
    else:
        print(_set_threshold(detector, scores[y == 0], arguments.fpr, arguments.guarantee))
    chosen = {"fpr": arguments.fpr, "band": arguments.band}
    set_on = {
        "method": arguments.method
        or next(f"{name} {rate:g}" for name, rate in chosen.items() if rate is not None),
        "n_real": int(np.sum(y == 0)),
        "n_generated": int(np.sum(y == 1)),
        "origins": np.unique(found.origin[read]).tolist(),
    }
    detector.training_summary_["calibrated_on"] = set_on
    detector.save(output)
    print(f"Saved {output}")
    return 1 if failures else 0


def _load(arguments: Namespace) -> Any:
    """List the images; all those of a folder without real/ and generated/ are photographs."""
    from detectorkit.datasets.loading import list_photographs

    folder = Path(arguments.data)
    is_sorted = any((folder / name).exists() for name in ("real", "generated"))
    if arguments.fpr is None or is_sorted or not folder.is_dir():
        return load_data(arguments)
    found = list_photographs(folder)
    tell_passed_over(arguments, found.passed_over)
    tell(f"All {len(found.data)} images in {folder} are taken to be photographs.")
    return found


def _fit_probabilities(detector: Any, scores: Any, y: Any, method: Any) -> str:
    from detectorkit.evaluation.calibrate import set_calibration

    set_calibration(detector, scores, y, method)
    return (
        f"Probabilities fitted on {len(y)} images. They are one half at a score of "
        f"{detector.threshold_:.4g}, the new threshold. They hold for images like these."
    )


def _set_threshold(detector: Any, scores: Any, fpr: float, guarantee: Any) -> str:
    from detectorkit.evaluation import fpr_threshold

    result = fpr_threshold(scores, fpr, guarantee=guarantee)
    dropped = "" if detector.band_ is None else ' The band of "can\'t tell" is removed.'
    detector.threshold_, detector.band_ = result.threshold, None
    return (
        f"Threshold {result.threshold:.4g}, set on {result.n} photographs. Of further photographs "
        f"like these it will call {result.rate.value:.1%} generated, between {result.rate.low:.1%} "
        f"and {result.rate.high:.1%} with 95 % confidence. Nothing is promised for photographs "
        f"from elsewhere.{dropped}"
    )


def _set_band(detector: Any, scores: Any, y: Any, origin: Any, rate: float) -> str:
    from detectorkit.calibration import fit_band

    at = detector.threshold_
    try:
        detector.band_ = fit_band(scores, y, origin, threshold=at, max_wrong_photographs=rate)
    except ValueError as error:  # in the words of the command line
        text = str(error).removeprefix("fit_band: ").replace("max_wrong_photographs", "--band")
        raise ValueError(text) from error
    return f"The detector {detector.band_.describe()}."
