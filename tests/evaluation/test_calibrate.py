import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from detectorkit import load_detector
from detectorkit.evaluation import (
    IsotonicCalibration,
    SigmoidCalibration,
    calibrate,
    fit_calibration,
)


def test_fifty_images_mend_a_threshold_that_is_off():
    """The published cure: good ranking, wrong threshold."""
    random = np.random.default_rng(0)
    y = np.arange(4000) % 2
    scores = random.normal(size=4000) + 4 * y - 5  # one half would be at -3
    before = np.mean((scores > 0) == y)
    shifted = fit_calibration(scores[:50], y[:50], method="shift", slope=1.5)
    after = np.mean((scores > shifted.threshold) == y)
    assert before < 0.6
    assert after > 0.95


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "shift"])
def test_a_calibrated_detector_is_saved_and_its_graph_agrees(method, upsampled, fitted, tmp_path):
    X, y = upsampled.data, upsampled.target
    calibrated = calibrate(fitted, X, y, method=method)
    assert fitted.threshold_ == 0  # the first one is left as it was
    calibrated.save(tmp_path / "a.onnx")
    loaded = load_detector(tmp_path / "a.onnx")
    assert loaded.calibration_ == calibrated.calibration_
    assert loaded.threshold_ == calibrated.threshold_
    again = calibrate(loaded, X[:40], y[:40], method="isotonic")
    again.save(tmp_path / "b.onnx")
    # The detector prepares the images as the graph wants them.
    pixels = np.concatenate(
        [
            loaded._validate_images(X, reset=False).read(i, loaded.record_.preprocessing)[None]
            for i in range(20)
        ]
    )
    for detector, name in ((calibrated, "a"), (again, "b")):
        session = onnxruntime.InferenceSession((tmp_path / f"{name}.onnx").read_bytes())
        score, probability = session.run(["score", "probability"], {"pixels": pixels})
        assert_allclose(probability, detector.predict_proba(X[:20])[:, 1], atol=1e-4)
        assert_allclose(score, fitted.decision_function(X[:20]), atol=1e-4)
    assert roc_auc_score(y, again.decision_function(X)) == pytest.approx(
        roc_auc_score(y, fitted.decision_function(X)), abs=1e-3
    )


def test_an_isotonic_map_that_never_crosses_one_half_calls_all_alike():
    never, always = ((0.0, 1.0), (0.1, 0.4)), ((0.0, 1.0), (0.6, 0.7))
    assert IsotonicCalibration(*never).threshold > 1e38
    assert IsotonicCalibration(*always).threshold < -1e38
    assert np.isfinite(IsotonicCalibration(*never).threshold)  # for JSON
    assert IsotonicCalibration((0.0, 1.0, 2.0), (0.2, 0.5, 0.8)).threshold == 1.0
    assert SigmoidCalibration(2.0, 3.0).predict(np.array([3.0])) == 0.5


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([0, 0], {}, "no generated images"),
        ([0, 1], {"method": "shift"}, "slope=None must be a number above 0"),
        ([0, 1], {"method": "beta"}, "method='beta' must be"),
    ],
)
def test_what_makes_no_sense_is_an_error(y, options, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(np.array([0.0, 1.0]), y, **options)


def test_an_isotonic_detector_cannot_be_shifted(upsampled, fitted):
    isotonic = calibrate(fitted, upsampled.data, upsampled.target, method="isotonic")
    with pytest.raises(ValueError, match="keeps the slope of a sigmoid"):
        calibrate(isotonic, upsampled.data, upsampled.target, method="shift")


def test_unknown_labels_are_named(upsampled, fitted):
    with pytest.raises(ValueError, match=r"has the labels \[2\], but the detector knows"):
        calibrate(fitted, upsampled.data, upsampled.target + 1)
