"""The record of a model: plain, comparable, and refused by name of the field if it is damaged."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from detectorkit import ModelFileError
from detectorkit.calibration.decision import Band
from detectorkit.calibration.maps import IsotonicCalibration, SigmoidCalibration
from detectorkit.graph.record import ModelRecord
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.treatment import Treatment

ISOTONIC = {"method": "isotonic", "scores": [0.0, 1.0], "probabilities": [0.1, 0.9]}


def make_record(**fields):
    given = {
        "detector": "Test",
        "preprocessing": Preprocessing((8, 6), "rgb"),
        "features": [{"name": "hog", "pixels_per_cell": (4, 4)}],
        "classes": [0, 1],
        "threshold": 0.5,
        "calibration": SigmoidCalibration(2.0, 0.25),
        "training": {"n_samples": 10},
        "band": Band(-1.0, 1.0, found=0.5, n_images=10),
    }
    return ModelRecord(**given | fields)


def test_records_with_arrays_can_be_compared_and_equal_what_is_read_back():
    record = make_record(
        features=[{"name": "hog", "pixels_per_cell": np.array([4, 4])}],
        classes=np.array(["a", "b"]),
        threshold=np.float32(0.5),
        training={"losses": np.array([0.5, np.nan]), "sizes": (1, 2), "n": np.int64(3)},
    )
    assert record == replace(record)
    assert record != replace(record, threshold=1.0)
    assert record == ModelRecord.from_json(record.to_json())
    assert record.training == {"losses": [0.5, None], "sizes": [1, 2], "n": 3}
    assert type(record.threshold) is float


def test_thresholds_that_are_null_are_none():
    record = make_record(training={"thresholds": None})
    assert ModelRecord.from_json(record.to_json()).fpr_thresholds == {}


def test_the_form_of_the_first_version_is_read():
    """As version 0.1.0 wrote it, without what came later."""
    text = """{"format": 1, "detector": "CNNDetector", "preprocessing": {"image_size": [64, 48],
    "color_space": "rgb", "resize": "area where it shrinks, linear where it enlarges",
    "dtype": "uint8", "value_range": [0, 255]}, "features": [], "classes": [0, 1],
    "positive_class": "generated", "threshold": 0.25, "calibration": {"method": "sigmoid",
    "slope": 0.5}, "training": {"thresholds": {"fpr_1": 3.5, "fpr_2.5": 2, "fpr_10": 0.5}},
    "library": {"name": "detectorkit", "version": "0.1.0"}}"""
    record = ModelRecord.from_json(text)
    assert record.preprocessing == Preprocessing((64, 48), "rgb")
    assert (record.threshold, record.run_size, record.band) == (0.25, None, None)
    assert record.calibration == SigmoidCalibration(0.5, 0.0)
    assert record.fpr_thresholds == {0.01: 3.5, 0.025: 2.0, 0.1: 0.5}
    assert ModelRecord.from_json(record.to_json()) == record
    assert record.treatment_text() == "unknown: saved before detectorkit recorded it"


@pytest.mark.parametrize("treatment", [None, Treatment(), Treatment("crop", np.int64(64), None)])
def test_the_treatment_is_in_the_record(treatment):
    record = make_record(preprocessing=Preprocessing((8, 6), "rgb", treatment=treatment))
    assert ModelRecord.from_json(record.to_json()) == record
    expected = treatment.describe() if treatment else "none: images as they are"
    assert record.treatment_text() == expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("detector", 5),
        ("detector", None),
        ("preprocessing", None),
        ("preprocessing", [1]),
        ("preprocessing.color_space", "cmyk"),
        ("preprocessing.color_space", []),
        ("preprocessing.image_size", 8),
        ("preprocessing.image_size", [8]),
        ("preprocessing.image_size", [8, 8, 8]),
        ("preprocessing.image_size", [0, 8]),
        ("preprocessing.image_size", [-1, 8]),
        ("preprocessing.image_size", [8.5, 8]),
        ("preprocessing.image_size", [float("inf"), 8]),
        ("preprocessing.image_size", [100000, 100000]),
        ("preprocessing.n_crops", 0),
        ("preprocessing.n_crops", 1.5),
        ("preprocessing.n_crops", 10**10),
        ("preprocessing.n_crops", 1e300),
        ("preprocessing.n_crops", float("inf")),
        ("preprocessing.treatment", "aligned"),
        ("preprocessing.treatment.kind", "other"),
        ("preprocessing.treatment.kind", None),
        ("preprocessing.treatment.kind", {}),
        ("preprocessing.treatment.side", 10001),
        ("preprocessing.treatment.side", 10**400),
        ("preprocessing.treatment.side", -1),
        ("preprocessing.treatment.side", None),
        ("preprocessing.treatment.side", 1.5),
        ("preprocessing.treatment.side", True),
        ("preprocessing.treatment.quality", 0),
        ("preprocessing.treatment.quality", 101),
        ("preprocessing.treatment.quality", float("nan")),
        ("preprocessing.treatment.quality", "85"),
        ("features", None),
        ("features", 5),
        ("features", ["hog"]),
        ("features", [{}]),
        ("features", [{"name": "hog", "orientations": 10**9}]),
        ("features", [{"name": "hog", "image_size": [60000, 60000]}]),
        ("classes", "ab"),
        ("classes", [0]),
        ("classes", [0, 0]),
        ("classes", [0, False]),
        ("classes", [{}, {}]),
        ("classes", {"a": 1, "b": 2}),
        ("classes", [None, None]),
        ("classes", [0, "1"]),
        ("classes", [0, float("nan")]),
        ("threshold", "x"),
        ("threshold", None),
        ("threshold", True),
        ("threshold", float("nan")),
        ("threshold", float("inf")),
        ("threshold", 10**400),
        ("calibration", "sigmoid"),
        ("calibration.method", "other"),
        ("calibration.method", {}),
        ("calibration.slope", float("nan")),
        ("calibration.slope", float("inf")),
        ("calibration.slope", -1.0),
        ("calibration.slope", 0),
        ("calibration.slope", "1"),
        ("calibration.offset", float("nan")),
        ("band", "x"),
        ("band", [0, 1]),
        ("band.low", 2.0),
        ("band.low", float("nan")),
        ("band.high", None),
        ("band.high", "1"),
        ("band.found", 1.5),
        ("band.undecided_photographs", "<b>"),
        ("band.n_images", -1),
        ("training", "x"),
        ("training", None),
        ("training.thresholds", 5),
        ("training.thresholds.fpr_5", float("nan")),
        ("training.generators", 5),
        ("training.sources", [1]),
        ("run_size", "a"),
        ("run_size", 1.5),
        ("run_size", 0),
        ("run_size", -1),
        ("run_size", True),
        ("library", None),
        ("library.version", 1),
    ],
)
def test_a_wrong_field_is_named(place, value):
    preprocessing = Preprocessing((8, 6), "rgb", treatment=Treatment())
    content = json.loads(make_record(preprocessing=preprocessing).to_json())
    *path, last = place.split(".")
    part = content
    for key in path:
        part = part.setdefault(key, {})
    part[last] = value
    with pytest.raises(ModelFileError, match=rf"^file\.onnx: the record is damaged: {place} is "):
        ModelRecord.from_json(json.dumps(content), "file.onnx")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probabilities", [0.1, 9]),
        ("probabilities", [-8, 0.5]),
        ("probabilities", [0.9, 0.1]),
        ("probabilities", [0.1]),
        ("probabilities", [0.1, float("nan")]),
        ("probabilities", 5),
        ("scores", []),
        ("scores", [1.0, 0.0]),
        ("scores", [0.0, 0.0]),
        ("scores", ["0", "1"]),
    ],
)
def test_points_that_are_no_map_are_named(field, value):
    content = json.loads(make_record().to_json()) | {"calibration": ISOTONIC | {field: value}}
    with pytest.raises(ModelFileError, match=rf"calibration\.{field} is "):
        ModelRecord.from_json(json.dumps(content))
    content["calibration"] = ISOTONIC
    assert ModelRecord.from_json(json.dumps(content)).calibration == IsotonicCalibration(
        (0.0, 1.0), (0.1, 0.9)
    )


@pytest.mark.parametrize(
    "field",
    ["detector", "preprocessing", "features", "classes", "threshold", "calibration", "training"],
)
def test_a_missing_field_is_named(field):
    content = json.loads(make_record().to_json())
    del content[field]
    with pytest.raises(ModelFileError, match=f"{field} is missing"):
        ModelRecord.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "null", "{", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\x00"],
    ids=["empty", "list", "number", "null", "cut", "deep", "digits", "zero"],
)
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ModelFileError, match=r"^file\.onnx: the record "):
        ModelRecord.from_json(text, "file.onnx")


@pytest.mark.parametrize("depth", [500, 900, 3000])
def test_what_is_nested_deep_is_read_or_refused(depth):
    text = make_record().to_json().replace('"n_samples": 10', f'"x": {"[" * depth}{"]" * depth}')
    with suppress(ModelFileError):
        ModelRecord.from_json(text)


def test_another_format_names_the_version_that_wrote_it():
    content = json.loads(make_record().to_json()) | {"format": 99}
    with pytest.raises(ModelFileError, match=r"format 99.*reads format 1.*wrote it: \d"):
        ModelRecord.from_json(json.dumps(content))
    with pytest.raises(ModelFileError, match="wrote it: unknown"):
        ModelRecord.from_json('{"format": 2, "library": 5}')


def test_what_could_not_be_read_is_not_written():
    with pytest.raises(ModelFileError, match=r"Test cannot be saved.*threshold is inf"):
        make_record(threshold=np.inf).to_json()
    with pytest.raises(ModelFileError, match=r"cannot be saved.*calibration\.slope is nan"):
        make_record(calibration=SigmoidCalibration(float("nan"))).to_json()
