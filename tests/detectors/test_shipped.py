"""The detectors that come with the library, whichever they are."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from detectorkit import ModelFileError, OnnxDetector, load_detector, models
from detectorkit.models import default_detector, find_detector, model_card, shipped_detectors

SHIPPED = shipped_detectors()
SECTIONS = ("Data", "Protocol", "Figures", "Thresholds", "Limits", "Licence")
MOST_BYTES = 10_000_000

each = pytest.mark.parametrize("name", SHIPPED)


@pytest.fixture
def place(fitted, tmp_path, monkeypatch):
    """An installation with other detectors than this one has."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("hog-svm", "forensic"):
        fitted.save(folder / f"{name}.onnx")
    (folder / "forensic.md").write_text("# forensic", encoding="utf-8")
    monkeypatch.setattr(models, "_FOLDER", folder)
    return folder


@each
def test_it_is_small_and_has_a_card(name):
    assert SHIPPED[name].stat().st_size < MOST_BYTES
    headings = re.findall(r"^#+ +(.*?)\s*$", model_card(name), flags=re.MULTILINE)
    assert not set(SECTIONS) - set(headings)


def test_its_name_is_its_parameter(place, upsampled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = upsampled.data[:4], upsampled.target[:4]
    detector = load_detector("forensic", n_jobs=1)
    assert repr(load_detector()) == repr(load_detector("forensic"))
    assert repr(load_detector()) == "OnnxDetector(model='forensic')"
    expected = detector.decision_function(X)
    for other in (
        pickle.loads(pickle.dumps(detector)),
        clone(detector).fit(X, y),
        OnnxDetector("forensic").fit(X, y),
    ):
        assert other.model == "forensic"
        np.testing.assert_array_equal(other.decision_function(X), expected)
    path = place / "hog-svm.onnx"
    assert load_detector(path).model == path
    assert load_detector(str(path)).model == str(path)
    with pytest.raises(ValueError, match=r"^'forensc' is neither .* Did you mean 'forensic'\?$"):
        find_detector("forensc")
    with pytest.raises(ValueError, match=r" Did you mean 'hog-svm'\?$"):
        model_card("hogsvm")
    with pytest.raises(ValueError, match="'other' is neither a file nor one of the shipped"):
        OnnxDetector("other").fit(X, y)
    (tmp_path / "forensic").write_text("a file of that name, of something else")
    assert load_detector().model == place / "forensic.onnx"
    (place / "forensic.onnx").write_bytes(b"broken")
    (tmp_path / "forensic").unlink()
    with pytest.raises(ModelFileError, match=r"models.forensic\.onnx is not an ONNX model"):
        load_detector("forensic")


@each
def test_it_gives_verdicts(name, upsampled):
    detector = load_detector(name)
    assert isinstance(detector, OnnxDetector)
    assert np.isfinite(detector.decision_function(upsampled.data[:4])).all()
    chance = detector.predict_proba(upsampled.data[:4])
    assert np.allclose(chance.sum(axis=1), 1)
    assert set(detector.predict(upsampled.data[:4]).tolist()) <= {0, 1}


@each
def test_it_knows_thresholds_for_false_positive_rates(name):
    thresholds = load_detector(name).record_.training["thresholds"]
    strict, usual, loose = (thresholds[f"fpr_{percent}"] for percent in (1, 5, 10))
    assert strict >= usual >= loose


@each
def test_it_needs_neither_torch_nor_onnx(name):
    code = (
        "import sys, numpy as np; from detectorkit import load_detector;"
        f"load_detector({name!r}).predict(np.zeros((1, 64, 64, 3), np.uint8));"
        "print([m for m in ('torch', 'onnx', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not SHIPPED, reason="no detector is shipped yet")
def test_one_is_the_default():
    assert default_detector() in SHIPPED
    assert load_detector().onnx_model_ == SHIPPED[default_detector()].read_bytes()


def test_the_default_is_the_first_of_those_that_are_there(place):
    assert default_detector() == "forensic"
    assert find_detector() == place / "forensic.onnx"
    assert load_detector().onnx_model_ == (place / "forensic.onnx").read_bytes()
    (place / "forensic.onnx").unlink()
    assert default_detector() == "hog-svm"
    for name in ("transfer", models.DEFAULT):
        (place / f"{name}.onnx").write_bytes(b"")
        assert default_detector() == name
    for name in ("transfer", models.DEFAULT):
        (place / f"{name}.onnx").unlink()
    (place / "hog-svm.onnx").unlink()
    with pytest.raises(ValueError, match="no detector is shipped"):
        load_detector()
    with pytest.raises(ValueError, match=r"shipped detectors \(none\)"):
        load_detector("cnn")


def test_names_and_paths(place, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_detector("hog-svm") == place / "hog-svm.onnx"
    Path("hog-svm").mkdir()  # no file
    assert find_detector("hog-svm") == place / "hog-svm.onnx"
    fitted.save("forensic")
    assert find_detector("forensic") == Path("forensic")
    assert find_detector(Path("hog-svm")) == Path("hog-svm")
    for path in ("none.onnx", "./hog-svm", "folder/cnn"):
        assert find_detector(path) == Path(path)


@pytest.mark.parametrize("path", ["none.onnx", "folder/none", Path("none")])
def test_what_looks_like_a_path_is_a_missing_file(path, place):
    with pytest.raises(FileNotFoundError):
        load_detector(path)


def test_other_names_are_refused(place):
    with pytest.raises(ValueError, match=r"'nonsense' is neither .* \(forensic, hog-svm\)"):
        load_detector("nonsense")


def test_cards_are_read(place):
    assert model_card("forensic") == "# forensic"
    with pytest.raises(ValueError, match="the shipped detectors: forensic, hog-svm"):
        model_card("nonsense")


@each
def test_no_path_of_a_machine_is_in_it(name):
    content = SHIPPED[name].read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content
