"""Train and measure a detector on images made on the spot, offline, and write a report.

Real images are crops of the photographs that come with scikit-image. Generated images are faces of
the small generator that comes along, and *decoder reconstructions*: the same crops sent through
small decoders of the kind that image generators end in. A HoG + SVM detector is fitted on some
photographs, decoders and faces, saved and read again. It is then measured on photographs it never
saw, with the decoders it knows, with new faces, and with a decoder that it never saw, and prints a
few verdicts. The last is on a photograph of a face, as there is none among its training images.
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
_N_FACES = {"train": 60, "val": 20, "faces": 150}
_IMAGE_SIZE = (64, 64)  # that of the faces; resizing them would leave traces of its own
_C_TRIED = (0.0003, 0.001, 0.003)
_N_VERDICTS, _N_SHOWN = 4, 8  # images of a part, printed and in the report
_REAL_FACE = (39, 153, 144)  # row, column and side in the photograph "astronaut"


_COLUMNS = ("data", "target", "generator", "source", "origin")
_TITLES = {
    "known": "Unseen photographs, decoders it was trained on",
    "faces": "Unseen photographs, new faces of a generator it was trained on",
    "unseen": f"Unseen photographs, a decoder it never saw ({_UNSEEN})",
}


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
    print("Making crops of photographs, their reconstructions, and faces ...")
    parts = _make_parts(arguments.random_state)
    print(f"Fitting HoG + SVM on {len(parts['train'].target)} images ...")
    _fit(parts, arguments.random_state).save(output / "model.onnx")

    # From here on only the saved file is used, as by anybody who receives it.
    detector = load_detector(output / "model.onnx", n_jobs=-1)
    figures, scores = {}, {}
    for name, title in _TITLES.items():
        part = parts[name]
        scores[name] = detector.decision_function(part.data)
        figures[name] = binary_metrics(part.target, scores[name], threshold=detector.threshold_)
        print_metrics(f"\n{title}, {len(part.target)} images:", figures[name])
    _print_verdicts(parts, detector)
    page = _make_page(parts, figures, scores, detector)
    page.write(output / "report.html")
    print(f"\nReport: {output / 'report.html'}\nModel:  {output / 'model.onnx'}")
    print(f"Done in {time.monotonic() - start:.1f} s.")
    return 0


def _make_parts(random_state: int) -> dict[str, Any]:
    """Make the images of all parts.

    No photograph is in both training and test parts, and one decoder is only in the last part.
    """
    from sklearn.utils import Bunch, check_random_state

    from detectorkit.datasets import make_upsampling_images, sample_generated_faces
    from detectorkit.datasets.upsampling.decoders import DECODERS
    from detectorkit.datasets.upsampling.reconstructions import PHOTOGRAPHS

    random = check_random_state(random_state)
    others = random.permutation([name for name in PHOTOGRAPHS if name != "astronaut"]).tolist()
    test, val, train = ["astronaut", *others[:4]], others[4:6], others[6:]
    known = sorted(set(DECODERS) - {_UNSEEN})
    parts = {
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
    parts["faces"] = Bunch(**{key: parts["known"][key][::2] for key in _COLUMNS})
    faces = sample_generated_faces(sum(_N_FACES.values()), random_state=random)
    faces.source = np.array([f"face {i}" for i in range(len(faces.data))])
    start = 0
    for name, n_faces in _N_FACES.items():
        for key in _COLUMNS:
            new = faces[key][start : start + n_faces]
            parts[name][key] = np.concatenate([parts[name][key], new])
        start += n_faces
    return parts


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
            pixels_per_cell=(2, 2),
            cells_per_block=(1, 1),
            class_weight="balanced",
            n_jobs=-1,
            random_state=random_state,
        ).fit(parts["train"].data, parts["train"].target, groups=parts["train"].source)
        for C in _C_TRIED
    ]
    best = max(detectors, key=score)
    best.training_summary_["generators"] = sorted(set(parts["train"].generator) - {"photograph"})
    return best


def _print_verdicts(parts: dict[str, Any], detector: Any) -> None:
    print("\nA few verdicts:")
    for name in _TITLES:
        part = parts[name]
        chosen = slice(-_N_VERDICTS, None) if name == "faces" else slice(_N_VERDICTS)
        for row in zip(part.source[chosen], part.generator[chosen], part.data[chosen], strict=True):
            _print_verdict(*row, detector)
    _print_verdict("astronaut, face", "photograph", _real_face(), detector)
    print(
        "The last is a check: no photograph that it was trained on shows a face, but all images of "
        "one\ngenerator do. A high probability there means that it has learned faces, too."
    )


def _print_verdict(source: str, generator: str, image: Any, detector: Any) -> None:
    probability = detector.predict_proba(image[np.newaxis])[0, 1]
    verdict = detector.predict_verdict(image[np.newaxis])[0]
    print(f"  {source:20} {generator:17} -> {verdict:9} ({probability:.2f})")


def _real_face() -> Any:
    """Cut the astronaut's face out as those were that the generator learned from."""
    from detectorkit.datasets.upsampling.reconstructions import read_photograph
    from detectorkit.images.preprocessing import resize_image

    row, column, side = _REAL_FACE
    whole = read_photograph("astronaut")
    return resize_image(whole[row : row + side, column : column + side], _IMAGE_SIZE)


def _make_page(
    parts: dict[str, Any], figures: dict[str, Any], scores: dict[str, Any], detector: Any
) -> Page:
    from detectorkit.report.page import Page

    page = Page("detectorkit demo: photographs against generated faces and reconstructions")
    page.paragraph(
        "Real images are crops of the photographs that come with scikit-image. Generated images "
        "are faces of the small generator that comes along, and decoder reconstructions: the same "
        "crops through small decoders of the kind that image generators end in. Reconstructions "
        "are not AI-generated images. All this shows how a detector is fitted, measured and read, "
        "and says little about other generators."
    )
    for name, title in _TITLES.items():
        page.heading(f"{title} (n = {len(parts[name].target)})")
        page.metrics(figures[name])
        page.score_histogram(scores[name], parts[name].target, detector.threshold_)
    page.paragraph(
        "Compare the tables. The faces are the easiest: the detector knows their generator, and no "
        "photograph among its training images shows a face, so it may have learned what a face is "
        "instead of what a generator leaves. The last table is the one that matters: a detector is "
        "asked about generators that did not exist when it was trained."
    )
    for name in ("faces", "unseen"):
        part, probabilities = parts[name], detector.predict_proba(parts[name].data)[:, 1]
        page.heading(f"Verdicts: {_TITLES[name]}")
        order = np.argsort(np.abs(probabilities - part.target))
        for title, chosen in (
            ("Surest and right", order[:_N_SHOWN]),
            ("Surest and wrong", order[: -_N_SHOWN - 1 : -1]),
        ):
            captions = [
                f"{part.source[i]}, {part.generator[i]}: {probabilities[i]:.2f}" for i in chosen
            ]
            page.images(title, part.data[chosen], captions)
    page.heading("The model's own record")
    page.code(detector.record_.to_json())
    return page
