"""Show where in images the score of a detector comes from.

Writes one picture with a row for each image: the image, and in grey with its saliency map over it.
Red is evidence for "generated" and, for methods with signs, blue is evidence against it; what the
detector did not look at is striped. A map shows what this detector looks at, not what is wrong with
the image.

The methods: "occlusion" (change of the score when a window is blurred; for every detector, and
first or second in faithfulness where it was measured), "integrated-gradients" (parts that add up to
the score), "gradient" and "smooth-grad" (slope of the score at each pixel), "grad-cam" (a coarse
map of a layer of a network) and "attention" (of a transformer).

The model is named as for `detectorkit predict`; without one, the default detector is explained.
"""

from __future__ import annotations

import io
from argparse import ArgumentParser, Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.cli._common import add_jobs, check_output
from detectorkit.cli._request import find_paths, find_request
from detectorkit.saliency.methods import METHODS, make_explainer
from detectorkit.utils.progress import tell
from detectorkit.utils.text import printable

__all__ = ["add_arguments", "run"]

_EVIDENCE = [("red", "speaks for generated"), ("blue", "speaks against generated")]
_MEANINGS = {
    "occlusion": _EVIDENCE,
    "integrated-gradients": _EVIDENCE,
    "grad-cam": _EVIDENCE[:1],
}
_SLOPE = [("red", "the score depends on it")]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit explain``."""
    parser.usage = (
        "%(prog)s [-h] [-m MODEL] -o FILE [--method METHOD] [--numbers FILE] [--jobs N] "
        "[MODEL] IMAGE ..."
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or folder of image files"
    )
    parser.add_argument(
        "-m",
        "--model",
        help="ONNX file or name of a shipped detector; then all other arguments are images",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="PNG file to write the picture to"
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="occlusion",
        help="saliency method, see above (default: occlusion)",
    )
    parser.add_argument(
        "--numbers",
        metavar="FILE",
        help="also write the map of a single image as an array of its height and width, to this "
        ".npy file",
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit explain``."""
    from detectorkit.detectors import load_detector
    from detectorkit.exceptions import ImageReadError
    from detectorkit.images.encoding import encode_image
    from detectorkit.saliency.sheet import draw_legend
    from detectorkit.utils.files import write_whole

    outputs = [check_output(one) for one in (arguments.output, arguments.numbers) if one]
    asked = find_request(arguments)
    paths = find_paths(arguments, asked.images)
    if len(asked.models) > 1:
        raise ValueError("-m all: explain one detector at a time.")
    (file,) = asked.models.values()
    if arguments.numbers and len(paths) > 1:
        raise ValueError(f"--numbers takes the map of one image, not of {len(paths)}.")
    detector = load_detector(file, n_jobs=arguments.jobs)
    explainer = make_explainer(detector, arguments.method).set_params(verbose=True)
    tell(f"Treatment of every image: {detector.record_.treatment_text()}")
    rows, failures = [], []
    for path in paths:
        try:
            row, found = _explain(detector, explainer, path, arguments.output)
        except ImageReadError as error:
            failures.append(ImageReadError(path, error.reason))
            continue
        rows.append(row)
        if arguments.numbers:
            numbers = io.BytesIO()  # numpy hides the error of a full disk
            np.save(numbers, found)
            write_whole(outputs[1], numbers.getvalue())
    for failure in failures:
        tell(str(failure))
    if not rows:
        raise ValueError(f"none of the {len(paths)} images could be read.")
    legend = _MEANINGS.get(arguments.method, _SLOPE)
    if detector.record_.preprocessing.treatment is not None:
        legend = [*legend, ("striped", "not looked at")]
    write_whole(outputs[0], encode_image(np.concatenate([*rows, draw_legend(legend)]), "PNG"))
    return 1 if failures else 0


def _explain(
    detector: Any, explainer: Any, path: str, output: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Explain an image: print its verdict, and return its row and its map."""
    from detectorkit.images.decoding import load_image
    from detectorkit.saliency import OcclusionSaliency
    from detectorkit.saliency._base import window_of
    from detectorkit.saliency.sheet import draw_row

    record = detector.record_
    scores = detector.decision_function([path])
    found: NDArray[np.float32] = explainer.transform([path])[0]
    verdict = record.decision.verdicts(scores)[0]
    probability = record.decision.probabilities(scores)[0]
    print(f"{verdict}  {probability:.3f}  {printable(path)}  {output}", flush=True)
    if isinstance(explainer, OcclusionSaliency):
        _tell_of_shrinking(record, path, (found.shape[0], found.shape[1]))
    window = window_of(record.preprocessing, (found.shape[0], found.shape[1]))
    image = load_image(path)  # late, so that it is not in memory beside the features of a large one
    return draw_row(image, found, window, f"{verdict} {probability:.3f} {path}"), found


def _tell_of_shrinking(record: Any, path: str, shape: tuple[int, int]) -> None:
    """Print that the map is not of the image itself, if the detector would see a difference."""
    from detectorkit.saliency._seen import explained_shape

    preprocessing = record.preprocessing
    treatment = preprocessing.treatment
    given = shape if treatment is None else (treatment.side, treatment.side)
    taken = explained_shape(record, given)
    is_native = preprocessing.image_size is None or preprocessing.n_crops is not None
    if is_native and taken != given:
        tell(
            f"{path}: the detector looks at all {given[0]} x {given[1]} pixels. To answer in time, "
            f"the map explains its score of a copy of {taken[0]} x {taken[1]} pixels."
        )
