"""Train and measure a detector on images made on the spot, offline, and write a report.

Real images are crops of the photographs that come with scikit-image. The others are *decoder
reconstructions*: the same crops sent through small decoders of the kind that image generators end
in. They are not AI-generated images. A HoG + SVM detector is fitted on some photographs and
decoders, saved and read again. It is then measured on photographs it never saw, with the decoders
it knows and with one that it never saw, and prints a few verdicts.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detectorkit.cli._common import add_random_state, print_metrics

if TYPE_CHECKING:
    from detectorkit.report.page import Page

__all__ = ["add_arguments", "run"]

_UNSEEN = "pixel-shuffle"
_N_IMAGES = {"train": 400, "val": 100, "known": 300, "unseen": 120}
_IMAGE_SIZE = (96, 96)  # enough for traces that are a few pixels wide
_C_TRIED = (0.0003, 0.001, 0.003)
_N_VERDICTS = 8


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit demo``."""
    parser.add_argument(
        "-o",
        "--output",
        default="detectorkit-demo",
        help="folder for the report and the model (default: detectorkit-demo)",
    )
    add_random_state(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit demo``."""
    from detectorkit.detectors import load_detector
    from detectorkit.evaluation import binary_metrics

    start = time.monotonic()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    print("Making crops of photographs and their reconstructions ...")
    parts = _make_parts(arguments.random_state)
    print(f"Fitting HoG + SVM on {len(parts['train'].target)} images ...")
    _fit(parts, arguments.random_state).save(output / "model.onnx")

    # From here on only the saved file is used, as by anybody who receives it.
    detector = load_detector(output / "model.onnx", n_jobs=-1)
    figures, scores = {}, {}
    for name in ("known", "unseen"):
        part = parts[name]
        scores[name] = detector.decision_function(part.data)
        figures[name] = binary_metrics(part.target, scores[name], threshold=detector.threshold_)
        print_metrics(f"\n{_title(name)}, {len(part.target)} images:", figures[name])
    _print_verdicts(parts["unseen"], detector)
    page = _make_page(parts, figures, scores, detector)
    page.write(output / "report.html")
    print(f"\nReport: {output / 'report.html'}\nModel:  {output / 'model.onnx'}")
    print(f"Done in {time.monotonic() - start:.1f} s.")
    return 0


def _title(name: str) -> str:
    if name == "known":
        return "Unseen photographs, decoders it was trained on"
    return f"Unseen photographs, a decoder it never saw ({_UNSEEN})"


def _make_parts(random_state: int) -> dict[str, Any]:
    """Make the images of all parts.

    No photograph is in both training and test parts, and one decoder is only in the last part.
    """
    from sklearn.utils import check_random_state

    from detectorkit.datasets import make_upsampling_images
    from detectorkit.datasets.upsampling.decoders import DECODERS
    from detectorkit.datasets.upsampling.reconstructions import PHOTOGRAPHS

    random = check_random_state(random_state)
    photographs = random.permutation(PHOTOGRAPHS).tolist()
    test, val, train = photographs[:5], photographs[5:7], photographs[7:]
    known = sorted(set(DECODERS) - {_UNSEEN})
    return {
        name: make_upsampling_images(
            _N_IMAGES[name],
            photographs=chosen,
            decoders=decoders,
            image_size=_IMAGE_SIZE,
            random_state=random,
        )
        for name, chosen, decoders in (
            ("train", train, known),
            ("val", val, known),
            ("known", test, known),
            ("unseen", test, [_UNSEEN]),
        )
    }


def _fit(parts: dict[str, Any], random_state: int) -> Any:
    """Fit detectors with several C and return the best one on the validation part."""
    from sklearn.metrics import roc_auc_score

    from detectorkit.detectors import HoGSVMDetector

    def score(detector: Any) -> float:
        scores = detector.decision_function(parts["val"].data)
        return float(roc_auc_score(parts["val"].target, scores))

    # Traces of upsampling are small and may be anywhere: hence small cells, each normalised alone.
    detectors = [
        HoGSVMDetector(
            C=C,
            image_size=_IMAGE_SIZE,
            pixels_per_cell=(3, 3),
            cells_per_block=(1, 1),
            n_jobs=-1,
            random_state=random_state,
        ).fit(parts["train"].data, parts["train"].target, groups=parts["train"].source)
        for C in _C_TRIED
    ]
    best = max(detectors, key=score)
    best.training_summary_["generators"] = sorted(set(parts["train"].generator) - {"photograph"})
    return best


def _print_verdicts(part: Any, detector: Any) -> None:
    print("\nA few verdicts:")
    chosen = slice(0, _N_VERDICTS)
    probabilities = detector.predict_proba(part.data[chosen])[:, 1]
    verdicts = detector.predict(part.data[chosen])
    rows = zip(part.source[chosen], part.generator[chosen], verdicts, probabilities, strict=True)
    for source, generator, verdict, probability in rows:
        said = "reconstruction" if verdict else "real"
        print(f"  {source:20} {generator:14} -> {said:14} ({probability:.2f})")


def _make_page(
    parts: dict[str, Any], figures: dict[str, Any], scores: dict[str, Any], detector: Any
) -> Page:
    from detectorkit.report.page import Page

    page = Page("detectorkit demo: photographs against decoder reconstructions")
    page.paragraph(
        "Real images are crops of the photographs that come with scikit-image. The others are "
        "decoder reconstructions: the same crops through small decoders of the kind that image "
        "generators end in. They are not AI-generated images, and these metrics say nothing "
        "about any real generator. They show how a detector is fitted, measured and read."
    )
    for name in ("known", "unseen"):
        page.heading(f"{_title(name)} (n = {len(parts[name].target)})")
        page.metrics(figures[name])
        page.score_histogram(scores[name], parts[name].target, detector.threshold_)
    page.paragraph(
        "Compare the two tables: the second is the one that matters. A detector is asked about "
        "generators that did not exist when it was trained."
    )
    page.heading("Verdicts on the decoder it never saw")
    part = parts["unseen"]
    probabilities = detector.predict_proba(part.data)[:, 1]
    order = np.argsort(np.abs(probabilities - part.target))
    for title, chosen in (
        ("Surest and right", order[:_N_VERDICTS]),
        ("Surest and wrong", order[: -_N_VERDICTS - 1 : -1]),
    ):
        captions = [
            f"{part.source[i]}, {part.generator[i]}: {probabilities[i]:.2f}" for i in chosen
        ]
        page.images(title, part.data[chosen], captions)
    page.heading("The model's own record")
    page.code(detector.record_.to_json())
    return page
