"""Images that are too small or of one colour have no verdict, however sure the score is."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

from detectorkit import EnsembleDetector, ForensicDetector, HoGSVMDetector, load_detector
from detectorkit.images import sequence
from detectorkit.images.treatment import Treatment
from detectorkit.images.unfit import MIN_SIDE, is_one_color


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "model.onnx")
    return load_detector(tmp_path / "model.onnx")


def test_images_that_cannot_be_judged_have_no_verdict(fitted, saved, odd_images):
    paths = list(odd_images.values())
    contents = [Path(path).read_bytes() for path in paths]
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    for detector in (fitted, saved):
        normal = "generated" if detector.predict(paths[-1:])[0] else "real"
        for X in (paths, contents, pictures, arrays, [array / 255 for array in arrays]):
            assert detector.predict_verdict(X).tolist() == ["can't tell"] * 4 + [normal]
        (black,) = detector.predict_verdict(np.zeros((1, 200, 200, 3), np.uint8))
        assert black == "can't tell"


def test_scores_and_labels_stay(fitted, odd_images):
    paths = list(odd_images.values())
    scores = fitted.decision_function(paths)
    fitted.predict_verdict(paths)
    np.testing.assert_array_equal(fitted.decision_function(paths), scores)
    np.testing.assert_array_equal(fitted.predict(paths), (scores > 0).astype(int))


@pytest.mark.parametrize("treatment", [None, Treatment(side=100)])
def test_each_file_is_decoded_once(upsampled, odd_images, monkeypatch, treatment):
    detector = HoGSVMDetector(treatment=treatment).fit(upsampled.data[:40], upsampled.target[:40])
    decoded = []
    decode = sequence.decode_image
    monkeypatch.setattr(
        sequence, "decode_image", lambda *a, **k: decoded.append(k["path"]) or decode(*a, **k)
    )
    detector.predict_verdict(list(odd_images.values()))
    assert sorted(decoded) == sorted(odd_images.values())


def test_the_verdicts_are_the_same_in_other_processes(fitted, odd_images):
    """Notes that are made there are lost."""
    paths = list(odd_images.values())
    expected = fitted.predict_verdict(paths).tolist()
    with joblib.parallel_config("loky", n_jobs=2):
        assert fitted.predict_verdict(paths).tolist() == expected
    images = sequence.check_images(paths)
    assert [reason is None for reason in images.unfit(MIN_SIDE)] == [False] * 4 + [True]


def test_what_has_the_size_that_the_detector_uses_is_large_enough(upsampled):
    X = np.ascontiguousarray(upsampled.data[:40, :32, :32])
    small = HoGSVMDetector(image_size=(32, 32)).fit(X, upsampled.target[:40])
    large = HoGSVMDetector().fit(upsampled.data[:40], upsampled.target[:40])
    whole = ForensicDetector(["lbp"], image_size=None).fit(
        upsampled.data[:40], upsampled.target[:40]
    )
    assert small.record_.min_side == 32
    assert large.record_.min_side == whole.record_.min_side == MIN_SIDE
    assert "can't tell" not in small.predict_verdict(X)
    for detector in (large, whole):
        assert set(detector.predict_verdict(X)) == {"can't tell"}
    # Of several detectors, each must be able to judge it.
    both = EnsembleDetector([("small", small), ("large", large)], cv="prefit")
    both.fit(upsampled.data[:40], upsampled.target[:40])
    assert both.record_.min_side == MIN_SIDE
    assert set(both.predict_verdict(X)) == {"can't tell"}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(50, 70), (50, 70, 3)])
def test_a_colour_may_vary_by_the_error_of_rounding_only(dtype, shape):
    image = np.full(shape, 90, np.float64)
    image[..., :1] += 50
    image[20, 30] += 2
    unit = 1 if dtype == np.uint8 else 255
    assert is_one_color((image / unit).astype(dtype)) == (len(shape) == 3)
    image[20, 30] += 1
    assert not is_one_color((image / unit).astype(dtype))
