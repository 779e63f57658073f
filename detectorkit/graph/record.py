"""The JSON record in a model's metadata: all that a prediction needs besides the graph."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectorkit._version import __version__
from detectorkit.calibration.decision import Band, Decision
from detectorkit.calibration.maps import Calibration, calibration_from_record
from detectorkit.exceptions import ModelFileError
from detectorkit.graph.inputs import read_size
from detectorkit.graph.reference import BackboneReference
from detectorkit.images.decoding import MAX_PIXELS
from detectorkit.images.preprocessing import COLOR_SPACES, Preprocessing
from detectorkit.images.treatment import Treatment
from detectorkit.images.unfit import smallest_side
from detectorkit.utils.fields import Fields, is_finite

__all__ = ["RECORD_KEY", "MemberRecord", "ModelRecord"]

RECORD_KEY = "detectorkit"
"""The key of the record among the metadata properties of the ONNX model."""

_FORMAT = 1
_LARGEST = 65536  # above every parameter of features; larger ones would only fill the memory


@dataclass(frozen=True)
class MemberRecord:
    """Record of one detector in an ensemble.

    Attributes
    ----------
    name : str
        Name of the detector in the ensemble. The graph of the ensemble has its probabilities as
        the output ``probability/<name>``.
    input : str
        Name of the graph's input that the detector begins with: "pixels" or "features", followed by
        "_" and a number where the graph has several inputs.
    record : ModelRecord
        Record of the detector itself.
    """

    name: str
    input: str
    record: ModelRecord

    @classmethod
    def from_record(cls, fields: Fields) -> MemberRecord:
        """Read a member of an ensemble."""
        start = fields.text("input")
        if not re.fullmatch(r"(pixels|features)(_\d+)?", start):
            raise fields.error("input", "'pixels' or 'features' with '_' and a number")
        inside = fields.part("record")
        if "members" in inside:
            raise inside.error("members", "no list, as ensembles are not nested,")
        return cls(fields.text("name"), start, _read_record(inside))

    def to_record(self) -> dict[str, Any]:
        """Return the form that is saved with the ensemble.

        Returns
        -------
        record : dict
            Attributes by name, ready for JSON.
        """
        return {"name": self.name, "input": self.input, "record": self.record.content()}


@dataclass(frozen=True)
class ModelRecord:
    """Record of a saved detector.

    Values are kept in the form that JSON has for them: lists for tuples and arrays, Python numbers
    for those of numpy, None for what is not finite. So a record equals the one that is read back.

    Attributes
    ----------
    detector : str
        Name of the detector class that was fitted.
    preprocessing : Preprocessing
        Preprocessing from an image to the graph's input, with the treatment of the images on which
        the detector was trained.
    features : list of dict
        Name and parameters of each family of features.
    classes : list
        The two labels: that of real and that of generated images.
    threshold : float
        Score above which an image is classified as generated.
    calibration : SigmoidCalibration or IsotonicCalibration
        Calibration from the score to the probability.
    training : dict
        Summary of the training data and of the settings.
    run_size : int or None, default=None
        Number of images in one run of the graph, if this changes the scores; 1 for graphs that are
        quantised dynamically. None means any number.
    treatment_is_known : bool, default=True
        Whether the record says how images were treated. Records of old versions do not.
    backbone : BackboneReference or None, default=None
        Backbone whose features the graph takes, in a file of its own. None means that the graph
        takes pixels or the features of `features`.
    band : Band or None, default=None
        Band of scores in which the verdict is "can't tell". None if none was set.
    members : sequence of MemberRecord, default=()
        Detectors whose scores an ensemble combines. Where these begin with different pixels or
        features, `preprocessing` is what they have in common: the decoded image.
    library_version : str
        Version of detectorkit that wrote the record.
    """

    detector: str
    preprocessing: Preprocessing
    features: list[dict[str, Any]]
    classes: list[Any]
    threshold: float
    calibration: Calibration
    training: dict[str, Any] = field(default_factory=dict)
    run_size: int | None = None
    treatment_is_known: bool = True
    backbone: BackboneReference | None = None
    band: Band | None = None
    members: Sequence[MemberRecord] = ()
    library_version: str = __version__

    def __post_init__(self) -> None:
        for name in ("features", "classes", "training"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "threshold", float(self.threshold))
        object.__setattr__(self, "members", tuple(self.members))

    @property
    def decision(self) -> Decision:
        """Decision of the detector: labels, threshold, calibration and band."""
        return Decision(self.classes, self.threshold, self.calibration, self.band)

    @property
    def min_side(self) -> int:
        """Shorter side in pixels below which an image is too small for a verdict."""
        records = [member.record for member in self.members] or [self]
        return max(smallest_side(record.preprocessing) for record in records)

    def treatment_text(self) -> str:
        """Describe how images are treated before the detector sees them.

        Returns
        -------
        text : str
            Description of the treatment. It begins with "none" if images are taken as they are, and
            with "unknown" if the record does not say.
        """
        texts = {member.name: member.record.treatment_text() for member in self.members}
        if len(set(texts.values())) > 1:
            return "; ".join(f"{name}: {text}" for name, text in texts.items())
        if texts:
            return texts.popitem()[1]
        if not self.treatment_is_known:
            return "unknown: saved before detectorkit recorded it"
        treatment = self.preprocessing.treatment
        return "none: images as they are" if treatment is None else treatment.describe()

    @property
    def fpr_thresholds(self) -> dict[float, float]:
        """Thresholds that were measured for false-positive rates, by the rate as a proportion."""
        found = {}
        for key, threshold in (self.training.get("thresholds") or {}).items():
            percent = re.fullmatch(r"fpr_(\d+(?:\.\d+)?)", key)
            if percent:
                found[float(f"{float(percent[1]) / 100:g}")] = float(threshold)
        return dict(sorted(found.items()))

    def to_json(self) -> str:
        """Return the record as JSON text.

        Returns
        -------
        text : str
            JSON object that `from_json` reads.

        Raises
        ------
        ModelFileError
            If `from_json` would refuse the record, as for a threshold that is not finite.
        """
        text = json.dumps(self.content(), indent=1)
        self.from_json(text, f"{self.detector} cannot be saved")
        return text

    def content(self) -> dict[str, Any]:
        """Return the record in the form that JSON has for it.

        Returns
        -------
        content : dict
            Fields of the record.
        """
        preprocessing = self.preprocessing.to_record()
        if not self.treatment_is_known:
            del preprocessing["treatment"]
        content = {
            "format": _FORMAT,
            "detector": self.detector,
            "preprocessing": preprocessing,
            "features": self.features,
            "classes": self.classes,
            "positive_class": "generated",
            "threshold": self.threshold,
            "calibration": self.calibration.to_record(),
            "band": None if self.band is None else self.band.to_record(),
            "training": self.training,
            "run_size": self.run_size,
            "backbone": None if self.backbone is None else self.backbone.to_record(),
            "library": {"name": "detectorkit", "version": self.library_version},
        }
        if self.members:
            content["members"] = [member.to_record() for member in self.members]
        return content

    @classmethod
    def from_json(cls, text: str, name: str = "The model") -> ModelRecord:
        """Read a record from JSON text.

        Parameters
        ----------
        text : str
            JSON text that `to_json` returned.
        name : str, default="The model"
            Name of the file in error messages.

        Returns
        -------
        record : ModelRecord
            Record that the text holds.

        Raises
        ------
        ModelFileError
            If the text is not such a record, or has a newer format; the message names the field.
        """
        try:
            return _read_record(Fields.from_json(text, name))
        except RecursionError as error:
            raise ModelFileError(f"{name}: the record is nested too deeply.") from error


def _read_record(fields: Fields) -> ModelRecord:
    """Read a record, or that of a member of an ensemble."""
    if fields.get("format") != _FORMAT:
        writer = fields.get("library")
        version = writer.get("version") if isinstance(writer, dict) else None
        raise ModelFileError(
            f"{fields.name}: the record has format {fields.get('format')!r}, this detectorkit "
            f"({__version__}) reads format {_FORMAT}. Use the version that wrote it: "
            f"{version or 'unknown'}."
        )
    return ModelRecord(
        detector=fields.text("detector"),
        preprocessing=_preprocessing(fields.part("preprocessing")),
        features=_features(fields),
        classes=_classes(fields),
        threshold=fields.number("threshold"),
        calibration=calibration_from_record(fields.part("calibration")),
        training=_training(fields),
        run_size=fields.integer("run_size"),
        treatment_is_known=fields.part("preprocessing").has("treatment"),
        backbone=_backbone(fields),
        band=Band.from_record(fields.part("band")) if "band" in fields else None,
        members=_members(fields),
        library_version=fields.part("library").text("version"),
    )


def _members(fields: Fields) -> list[MemberRecord]:
    """Read the members of an ensemble, whose names differ."""
    members = [MemberRecord.from_record(part) for part in fields.parts("members")]
    if len({member.name for member in members}) < len(members):
        raise fields.error("members", "a list of objects with different names")
    return members


def _plain(value: Any) -> Any:
    """Convert a value to the form that it has when it is read back from JSON."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _preprocessing(fields: Fields) -> Preprocessing:
    size, n_crops = read_size(fields)
    space: Any = fields.text("color_space", COLOR_SPACES)
    treatment = None
    if fields.get("treatment") is not None:
        treatment = Treatment.from_record(fields.part("treatment"))
    return Preprocessing(size, space, n_crops=n_crops, treatment=treatment)


def _backbone(fields: Fields) -> BackboneReference | None:
    if fields.get("backbone") is None:
        return None
    return BackboneReference.from_record(fields.part("backbone"))


def _features(fields: Fields) -> list[dict[str, Any]]:
    families = fields.get("features")
    if not isinstance(families, list) or not all(
        isinstance(family, dict) and isinstance(family.get("name"), str) for family in families
    ):
        raise fields.error("features", "a list of objects, each with a name,")
    if any(_is_giant(family) for family in families):
        raise fields.error(
            "features", f"numbers up to {_LARGEST}, of images of {MAX_PIXELS} pixels"
        )
    return families


def _is_giant(value: Any) -> bool:
    """Return whether a value holds numbers so large that they could only fill the memory."""
    if isinstance(value, dict):
        return any(map(_is_giant, value.values()))
    if isinstance(value, list):
        is_size = len(value) == 2 and all(isinstance(one, int) for one in value)
        return any(map(_is_giant, value)) or (is_size and abs(value[0] * value[1]) > MAX_PIXELS)
    return isinstance(value, int | float) and not abs(value) <= _LARGEST


def _classes(fields: Fields) -> list[Any]:
    classes = fields.get("classes")
    if not isinstance(classes, list) or len(classes) != 2:
        raise fields.error("classes", "a list of two labels")
    are_texts = [isinstance(one, str) for one in classes]
    are_numbers = [isinstance(one, bool) or is_finite(one) for one in classes]
    if not (all(are_texts) or all(are_numbers)) or classes[0] == classes[1]:
        raise fields.error("classes", "two different texts or two different numbers")
    return classes


def _training(fields: Fields) -> dict[str, Any]:
    """Check the parts of the training summary that are read by name."""
    training = fields.part("training")
    if "thresholds" in training:
        thresholds = training.part("thresholds")
        for key in training.get("thresholds"):
            thresholds.number(key)
    for key in ("generators", "sources"):
        found = training.get(key) or []
        names = found if isinstance(found, list) else [found]  # text alone counts as not recorded
        if not all(isinstance(one, str) for one in names):
            raise training.error(key, "a list of names")
    content: dict[str, Any] = fields.get("training")
    return content
