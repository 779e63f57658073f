"""What a fitted detector says of itself is what it is now, whatever was set since."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from detectorkit import (
    BackboneDetector,
    CNNDetector,
    EnsembleDetector,
    ForensicDetector,
    HoGSVMDetector,
    OnnxDetector,
    load_detector,
)
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.evaluation import calibrate, evaluate
from detectorkit.graph.record import ModelRecord
from detectorkit.report import make_report


@pytest.fixture(scope="module")
def forensic(upsampled):
    detector = ForensicDetector(feature_set=["block_dct"], image_size=(48, 48), random_state=0)
    return detector.fit(upsampled.data[:60], upsampled.target[:60])


@pytest.fixture(params=["hog", "forensic", "onnx"])
def detector(request, fitted, forensic, tmp_path):
    if request.param == "forensic":
        return copy.deepcopy(forensic)
    if request.param == "hog":
        return copy.deepcopy(fitted)
    fitted.save(tmp_path / "model.onnx")
    return load_detector(tmp_path / "model.onnx")


def record_in(model):
    return ModelRecord.from_json(
        {one.key: one.value for one in model.metadata_props}["detectorkit"]
    )


def test_the_record_follows_the_attributes(detector):
    detector.threshold_ = np.float64(0.25)
    detector.calibration_ = SigmoidCalibration(3.0, 0.125)
    detector.training_summary_["note"] = "mine"
    record = detector.record_
    assert record.threshold == 0.25
    assert record.calibration == SigmoidCalibration(3.0, 0.125)
    assert record.training["note"] == "mine"
    assert record_in(detector.to_onnx()) == record
    assert "record_" not in vars(detector)
    with pytest.raises(AttributeError):
        detector.record_ = record


@pytest.mark.parametrize("kind", ["hog", "views", "forensic", "backbone", "ensemble", "network"])
def test_generators_and_sources_are_in_the_summary(kind, upsampled):
    if kind == "network":
        pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
    hog = HoGSVMDetector(image_size=(32, 32), random_state=0)
    detector = {
        "hog": hog,
        "views": clone(hog).set_params(n_views=1),
        "forensic": ForensicDetector(["block_dct"], image_size=(48, 48), random_state=0),
        "backbone": BackboneDetector(
            "clip-vit-b16-4bit", layers=[1], bottleneck=None, max_epochs=1, random_state=0
        ),
        "ensemble": EnsembleDetector([("a", hog)], cv=2),
        "network": CNNDetector((8, 8), n_conv=1, max_epochs=1, augmentation=None, random_state=0),
    }[kind]
    rows = np.flatnonzero(np.isin(upsampled.generator, ["photograph", "nearest", "bilinear"]))
    rows = rows[: 10 if kind == "backbone" else 24]  # as that is a large network
    y, generator = upsampled.target[rows], upsampled.generator[rows]
    origin = np.where(y == 1, generator, upsampled.source[rows])
    fitted = detector.fit(upsampled.data[rows], y, origin=origin)
    summary = fitted.record_.training
    assert summary["generators"] == ["bilinear", "nearest"] == sorted(set(generator[y == 1]))
    assert summary["sources"] == sorted(set(origin[y == 0]))
    assert record_in(fitted.to_onnx()).training["generators"] == summary["generators"]
    loaded = OnnxDetector(fitted.to_onnx().SerializeToString())
    assert loaded.fit(upsampled.data[rows], y, origin=origin).training_summary_ == summary
    assert "generators" not in detector.fit(upsampled.data[rows], y).training_summary_
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        detector.fit(upsampled.data[rows], y, origin=origin[1:])


def test_origin_is_routed_to_fit(upsampled):
    X, y = upsampled.data[:24], upsampled.target[:24]
    hog = HoGSVMDetector(image_size=(32, 32), random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(hog.set_fit_request(origin=True), {"C": [0.1]}, cv=2)
        search.fit(X, y, origin=upsampled.generator[:24])
    assert search.best_estimator_.training_summary_["sources"] == ["photograph"]


def test_what_is_saved_says_the_same(detector, tmp_path):
    detector.threshold_ = 0.25
    detector.save(tmp_path / "again.onnx")
    assert load_detector(tmp_path / "again.onnx").record_ == detector.record_


def test_after_calibration_record_and_report_say_the_new_values(detector, upsampled):
    X, y = upsampled.data[60:], upsampled.target[60:]
    calibrated = calibrate(detector, X, y)
    assert calibrated.record_.threshold == calibrated.threshold_ != detector.record_.threshold
    assert calibrated.record_.calibration == calibrated.calibration_
    report = make_report(evaluate(calibrated, X, y), title="t", record=calibrated.record_)
    said = report.to_dict()["record"]
    assert said["threshold"] == calibrated.threshold_
    assert said["calibration"] == calibrated.calibration_.to_record()
    assert report.to_dict()["evaluation"]["threshold"] == said["threshold"]


def test_copies_have_the_record_and_clones_have_none(detector):
    record = detector.record_
    for copied in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert copied.record_ == record
    assert not hasattr(clone(detector), "record_")
    copied = copy.deepcopy(detector)
    copied.training_summary_["note"] = "mine"
    assert detector.record_ == record


def test_parameters_that_are_set_afterwards_change_no_score_of_a_forensic_detector(
    forensic, upsampled, tmp_path
):
    detector, X = copy.deepcopy(forensic), upsampled.data[60:]
    scores, record = detector.decision_function(X), detector.record_
    detector.set_params(
        feature_set=["lbp"],
        image_size=None,
        color_space="gray",
        classifier="logistic",
        C=1e-6,
        n_components=3,
    )
    assert_array_equal(detector.decision_function(X), scores)
    assert detector.record_ == record
    detector.save(tmp_path / "model.onnx")
    assert load_detector(tmp_path / "model.onnx").record_ == record


def test_parameters_that_are_set_afterwards_change_no_score_of_a_loaded_detector(
    fitted, upsampled, tmp_path
):
    fitted.save(tmp_path / "model.onnx")
    detector = OnnxDetector.from_file(tmp_path / "model.onnx")
    scores = detector.decision_function(upsampled.data)
    detector.set_params(model="nowhere.onnx", output="logits", generated_index=0)
    assert_array_equal(detector.decision_function(upsampled.data), scores)
    pickled = pickle.dumps(detector)
    assert len(pickled) < 1.5 * len(detector.onnx_model_)  # its content is in it once
    copied = pickle.loads(pickled)
    assert_array_equal(copied.decision_function(upsampled.data), scores)
