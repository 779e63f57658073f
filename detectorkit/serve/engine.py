"""From the content of an image file to a verdict or a map; plain functions, run in threads."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.detectors import OnnxDetector
from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.image_files import IMAGE_SUFFIXES
from detectorkit.images.preprocessing import Image
from detectorkit.images.sequence import ImageSequence
from detectorkit.models import card_path, default_detector, find_detector, shipped_detectors
from detectorkit.provenance import Provenance, read_provenance
from detectorkit.saliency._base import window_of
from detectorkit.saliency.methods import make_explainer
from detectorkit.saliency.sheet import draw_overlay

__all__ = ["BATCH", "Engine", "ReadyImage"]

BATCH = 8
"""Greatest number of images that are judged together."""


class ReadyImage(NamedTuple):
    """An image as the detector takes it, why it cannot be judged, and what its file says."""

    pixels: Image
    unfit: str | None
    provenance: Provenance


class _PatientDetector(OnnxDetector):
    """A detector that gives up at some point in time."""

    deadline = math.inf  # of time.monotonic()

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        if time.monotonic() > self.deadline:
            raise TimeoutError
        return super().decision_function(X)


class Engine:
    """A detector that takes the content of files; its methods may be called from several threads.

    Attributes
    ----------
    name : str
        Name of the model: that of a shipped detector, or of its file.
    detector : OnnxDetector
        The detector.
    """

    def __init__(self, model: str | os.PathLike[str] | None, *, n_jobs: int, n_pixels: int) -> None:
        path = find_detector(model)
        self.name = default_detector() if model is None else Path(model).name
        self.detector = _PatientDetector.from_file(path, n_jobs=n_jobs)
        is_shipped = shipped_detectors().get(path.stem) == path
        self._card = card_path(path.stem) if is_shipped else None
        self._n_pixels = n_pixels
        # Crops are cut from a whole image when it is scored.
        prepared = self.detector.record_.preprocessing
        if prepared.n_crops is not None:
            prepared = replace(prepared, image_size=None, n_crops=None)
        self._preprocessing = prepared

    def prepare(self, data: bytes) -> ReadyImage:
        """Decode and treat an image; ImageReadError if it cannot be decoded."""
        images = ImageSequence([data], max_pixels=self._n_pixels).noting()
        pixels = images.read(0, self._preprocessing)
        (unfit,) = images.unfit(self.detector.record_.min_side)
        try:
            said = read_provenance(data)
        except ImageReadError:  # of a format whose metadata are not read
            said = Provenance()
        return ReadyImage(pixels, unfit, said)

    def judge(self, images: Sequence[ReadyImage]) -> list[dict[str, Any] | Exception]:
        """Judge images together, and one by one if that fails, to find the one at fault."""
        try:
            X = ImageSequence([image.pixels for image in images], is_treated=True)
            scores = self.detector.decision_function(X)
        except (RuntimeError, ValueError) as error:
            if len(images) == 1:
                return [error]
            return [row for image in images for row in self.judge([image])]
        record = self.detector.record_
        own = {"model": self.name, "treatment": record.treatment_text()}
        decided = record.decision.describe(scores, [image.unfit for image in images])
        return [
            row | own | {"provenance": image.provenance.to_dict(), "says": image.provenance.lines()}
            for row, image in zip(decided, images, strict=True)
        ]

    def explain(self, data: bytes, deadline: float) -> bytes:
        """Draw a saliency map over an image, as a PNG; TimeoutError after the deadline."""
        detector = copy.copy(self.detector)
        detector.deadline = deadline
        # No more at a time than are judged together, so that a network has one session only.
        explainer = make_explainer(detector).set_params(batch_size=BATCH)
        found = explainer.transform(ImageSequence([data], max_pixels=self._n_pixels))[0]
        image = decode_image(data, max_pixels=self._n_pixels)
        shape = found.shape[0], found.shape[1]
        window = window_of(self.detector.record_.preprocessing, shape)
        return encode_image(draw_overlay(image, found, window)[1], "PNG")

    def describe(self) -> dict[str, Any]:
        """Describe the model for programs and for the page."""
        record = self.detector.record_
        return {
            "name": self.name,
            "treatment": record.treatment_text(),
            "threshold": record.threshold,
            "band": None if record.band is None else record.band.to_record(),
            "limits": self._limits(),
            "suffixes": sorted(IMAGE_SUFFIXES),
        }

    def _limits(self) -> str:
        """Return in words how far the verdicts can be trusted, with figures where there are any."""
        band = self.detector.band_
        if band is None:
            return (
                "This model has no band of scores at which it says “can\u2019t tell”, and how "
                "often it is wrong on photographs of new sources is not in its record: see its "
                "card."
            )
        if band.n_units is None or band.wrong_photographs is None:
            return "How often it is wrong on photographs of new sources is not in its record."
        return (
            f"Measured on {band.n_images} images of {band.n_units} sources that it had not seen "
            f"in training: it called {band.wrong_photographs:.1%} of the photographs generated "
            f"and {band.wrong_generated:.1%} of the generated images real. It could not tell for "
            f"{band.undecided_photographs:.0%} of the photographs and "
            f"{band.undecided_generated:.0%} of the generated images. These are means: on some "
            "sources it is wrong far more often."
        )

    def card(self) -> str:
        """Return the model card, or the record of a model that has none."""
        if self._card is None:
            return f"This model has no card. Its record:\n\n{self.detector.record_.to_json()}\n"
        return self._card.read_text(encoding="utf-8")
