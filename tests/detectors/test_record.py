"""What a fitted detector says of itself is what it is now, whatever was set since."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from detectorkit import ForensicDetector, OnnxDetector, load_detector
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
