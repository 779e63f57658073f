"""Show where in images the score of a detector comes from.

Writes one picture with a row for each image: the image, and in grey with its saliency map over it.
If the output is a folder, each image has a picture of its own there. Red is evidence for
"generated" and, for methods with signs, blue is evidence against it; what the detector did not look
at is striped. A map shows what this detector looks at, not what is wrong with the image.

The methods: "occlusion" (change of the score when a window is blurred; for every detector, and
first or second in faithfulness where it was measured), "integrated-gradients" (parts that add up to
the score), "gradient" and "smooth-grad" (slope of the score at each pixel), "grad-cam" (a coarse
map of a layer of a network) and "attention" (of a transformer).

The model is named as for `detectorkit predict`; without one, the default detector is explained.
"""

from __future__ import annotations

import io
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.cli._common import add_jobs, check_output
from detectorkit.cli._request import find_paths, find_request
from detectorkit.saliency.methods import METHODS, make_explainer
from detectorkit.utils.files import write_whole
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
_NOTE = "Colours are by the largest value in each map, also where all are small. Not a proof."


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit explain``."""
    parser.usage = (
        "%(prog)s [-h] [-m MODEL] -o PLACE [--method METHOD] [--numbers FILE] [--jobs N] "
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
        "-o",
        "--output",
        required=True,
        metavar="PLACE",
        help="PNG file to write the picture to, or existing folder for a picture of each image; "
        "files that exist are replaced",
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
    outputs = [_check_place(arguments.output)]  # before the imports, which take seconds
    outputs += [check_output(arguments.numbers)] if arguments.numbers else []

    from detectorkit.detectors import load_detector
    from detectorkit.exceptions import ImageReadError

    asked = find_request(arguments)
    paths = find_paths(arguments, asked.images)
    if len(asked.models) > 1:
        raise ValueError("-m all: explain one detector at a time.")
    ((name, file),) = asked.models.items()
    if arguments.numbers and len(paths) > 1:
        raise ValueError(f"--numbers takes the map of one image, not of {len(paths)}.")
    detector = load_detector(file, n_jobs=arguments.jobs)
    # The lines of several images are a progress of their own.
    explainer = make_explainer(detector, arguments.method).set_params(verbose=len(paths) == 1)
    tell(f"Treatment of every image: {detector.record_.treatment_text()}")
    legend = _draw_legend(name, arguments.method, detector.record_)
    # In a folder, a picture is written as soon as it is drawn.
    places = _name_pictures(outputs[0], paths) if outputs[0].is_dir() else None
    rows, failures = [], []
    for index, path in enumerate(paths):
        place = outputs[0] if places is None else places[index]
        try:
            row, found = _explain(detector, explainer, path, str(place))
        except ImageReadError as error:
            failures.append(ImageReadError(path, error.reason))
            continue
        rows.append(row)
        if places is not None:
            _write([rows.pop(), legend], place)
        if arguments.numbers:
            numbers = io.BytesIO()  # numpy hides the error of a full disk
            np.save(numbers, found)
            write_whole(outputs[1], numbers.getvalue())
    for failure in failures:
        tell(str(failure))
    if len(failures) == len(paths):
        raise ValueError(f"none of the {len(paths)} images could be read.")
    if places is None:
        _write([*rows, legend], outputs[0])
    return 1 if failures else 0


def _check_place(name: str) -> Path:
    """Check that the output is a folder or is named as a PNG file, and can be written."""
    place = Path(name)
    if place.is_dir():
        check_output(str(place / "image-map.png"))
        return place
    if place.suffix.lower() != ".png":
        raise ValueError(
            f"-o {place}: pass a name that ends in .png, for one picture of all images, or an "
            "existing folder, for a picture of each."
        )
    return check_output(name)


def _name_pictures(folder: Path, paths: list[str]) -> list[Path]:
    """Name a file for the picture of each image; no two are the same."""
    seen: Counter[str] = Counter()
    places = []
    for path in paths:
        stem = Path(path).stem
        seen[stem.lower()] += 1  # as some file systems do not distinguish capitals
        number = seen[stem.lower()]
        places.append(folder / (f"{stem}-map.png" if number == 1 else f"{stem}-map-{number}.png"))
    return places


def _draw_legend(name: str, method: str, record: Any) -> NDArray[np.uint8]:
    """Draw which detector and method the maps are of, and what their colours mean."""
    from detectorkit.saliency.sheet import draw_legend

    entries = _MEANINGS.get(method, _SLOPE)
    if record.preprocessing.treatment is not None:
        entries = [*entries, ("striped", "not looked at")]
    title = f"Maps of the detector {printable(name)} by {method}, over the image in grey."
    return draw_legend(title, entries, _NOTE)


def _write(rows: list[NDArray[np.uint8]], place: Path) -> None:
    from detectorkit.images.encoding import encode_image

    write_whole(place, encode_image(np.concatenate(rows), "PNG"))


def _explain(
    detector: Any, explainer: Any, path: str, output: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Explain an image: print its verdict, and return its row and its map."""
    from detectorkit.images.decoding import load_image
    from detectorkit.images.sequence import check_images
    from detectorkit.saliency import OcclusionSaliency
    from detectorkit.saliency._base import window_of
    from detectorkit.saliency.sheet import draw_row

    record = detector.record_
    images = check_images([path]).noting()
    scores = detector.decision_function(images)
    found: NDArray[np.float32] = explainer.transform([path])[0]
    verdict = record.decision.verdicts(scores, images.unfit(record.min_side))[0]
    probability = record.decision.probabilities(scores)[0]
    print(f"{verdict}  {probability:.3f}  {printable(path)}  {printable(output)}", flush=True)
    if isinstance(explainer, OcclusionSaliency):
        _tell_of_shrinking(record, path, (found.shape[0], found.shape[1]))
    window = window_of(record.preprocessing, (found.shape[0], found.shape[1]))
    caption = f"{verdict}, probability of being generated {probability:.3f}: {printable(path)}"
    image = load_image(path)  # late, so that it is not in memory beside the features of a large one
    return draw_row(image, found, window, caption), found


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
