import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import helper

from detectorkit import ModelFileError, OnnxDetector, load_detector


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "model.onnx"
    fitted.save(path)
    return path


def rewrite(path, change):
    model = onnx.load(path)
    record = json.loads(model.metadata_props[0].value)
    change(record)
    helper.set_model_props(model, {"detectorkit": json.dumps(record)})
    onnx.save(model, path)
    return path


def test_loaded_equals_fitted(fitted, saved, upsampled):
    loaded = load_detector(saved)
    assert_allclose(
        loaded.decision_function(upsampled.data),
        fitted.decision_function(upsampled.data),
        atol=2e-4,
    )
    assert loaded.record_.training == fitted.training_summary_
    assert loaded.calibration_ == fitted.calibration_


def test_a_changed_threshold_is_saved(saved, upsampled, tmp_path):
    loaded = load_detector(saved)
    loaded.threshold_ = 1e9
    loaded.save(tmp_path / "other.onnx")
    again = load_detector(tmp_path / "other.onnx")
    assert again.threshold_ == 1e9
    assert not again.predict(upsampled.data).any()


def test_what_cannot_be_made_replaces_nothing(fitted, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(type(fitted), "to_onnx", lambda _: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        fitted.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.onnx"]


def test_saving_replaces_whole_files_only(saved):
    """Writing that breaks off in the middle, as on a full disk, leaves the old file."""
    pytest.importorskip("resource")  # not on Windows
    before = saved.read_bytes()
    code = (
        "import resource; from detectorkit import load_detector\n"
        f"detector = load_detector({str(saved)!r})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, {len(before) // 2}))\n"
        f"detector.save({str(saved)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1].startswith("OSError")
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04pickle"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.onnx is not an ONNX model"):
        load_detector(tmp_path / "model.onnx")


def test_models_without_a_record_are_refused(saved):
    model = onnx.load(saved)
    del model.metadata_props[:]
    onnx.save(model, saved)
    with pytest.raises(ModelFileError, match="has no detectorkit record"):
        load_detector(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("classes"), "damaged"),
        (lambda record: record.update(format=99), "reads format 1"),
        (lambda record: record.update(classes=[0]), "two labels was expected"),
        (lambda record: record["preprocessing"].update(color_space="cmyk"), "cmyk"),
        (lambda record: record["preprocessing"].update(image_size=None), "damaged"),
    ],
)
def test_damaged_records_are_refused(saved, change, message):
    with pytest.raises(ModelFileError, match=message):
        load_detector(rewrite(saved, change))


def test_fit_loads_and_checks_labels(saved, upsampled):
    detector = OnnxDetector(saved).fit(upsampled.data, upsampled.target)
    assert_array_equal(detector.classes_, [0, 1])
    with pytest.raises(ValueError, match="the detector knows"):
        OnnxDetector(saved).fit(upsampled.data, upsampled.target + 1)


def test_predicting_imports_neither_torch_nor_onnx_nor_the_solvers(saved):
    code = (
        "import sys, numpy as np; from detectorkit import load_detector;"
        f"load_detector({str(saved)!r}).predict(np.zeros((1, 64, 64), np.uint8));"
        "print([m for m in ('torch', 'onnx', 'sklearn.svm', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_uint8_and_rounded_floats_agree(saved, upsampled):
    loaded = load_detector(saved)
    assert_array_equal(
        loaded.decision_function(upsampled.data), loaded.decision_function(upsampled.data / 255)
    )
    assert np.isfinite(loaded.decision_function(upsampled.data)).all()
