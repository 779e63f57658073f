"""Say of each image whether it is real or generated.

Prints a line for each image: verdict, probability of being generated, path. The probability
holds for images like those that the model was trained on, and for nothing else.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from detectorkit.cli._common import add_jobs, process_paths

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument("model", help="ONNX file that `detectorkit train` wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file, or folder of them")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
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

    detector = load_detector(arguments.model, n_jobs=arguments.jobs)
    paths = _expand(arguments.images)
    scores, read, failures = process_paths(detector.decision_function, paths, "Predicting")
    probabilities = detector.calibration_.predict(scores)
    for index, score, probability in zip(read, scores, probabilities, strict=True):
        is_generated = bool(score > detector.threshold_)
        verdict = "generated" if is_generated else "real"
        if arguments.json:
            row = {
                "path": paths[index],
                "verdict": verdict,
                "label": detector.classes_[int(is_generated)].item(),
                "probability": float(probability),
                "score": float(score),
            }
            print(json.dumps(row))
        else:
            print(f"{verdict:9}  {probability:.3f}  {paths[index]}")
    if arguments.json:
        for failure in failures:
            print(json.dumps({"path": str(failure.path), "error": failure.reason}))
    return 1 if failures else 0


def _expand(images: list[str]) -> list[str]:
    from detectorkit.datasets import find_images

    paths: list[str] = []
    for image in images:
        if Path(image).is_dir():
            paths += [str(path) for path in find_images(image)]
        else:
            paths.append(image)
    if not paths:
        raise ValueError(f"there are no images in {', '.join(images)}.")
    return paths
