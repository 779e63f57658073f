"""``detectorkit train --pipeline``, with modules in the current folder."""

import json
import sys

import cv2
import numpy as np
import pytest

from detectorkit import load_detector
from detectorkit.cli import main

MODULE = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from detectorkit import HoGSVMDetector
from detectorkit.features import HoGTransformer, LBPTransformer

hog = make_pipeline(HoGTransformer(image_size=(32, 32)), LogisticRegression())
rows = LogisticRegression()
svc = make_pipeline(LBPTransformer(), LinearSVC())
number = 3

def make_lbp():
    return make_pipeline(LBPTransformer(root=True), LogisticRegression(max_iter=1000))

def make_detector():
    return HoGSVMDetector(pixels_per_cell=(16, 16), random_state=0)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a new module in the current folder."""
    name = f"models_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def train(folder, name, *arguments):
    return main(["train", str(folder), "--pipeline", name, "-o", "model.onnx", *arguments])


def test_a_pipeline_is_fitted_to_treated_images_and_saved(folder, module, capsys):
    options = ("--side", "64", "--set", "logisticregression__C=0.01", "--json")
    assert train(folder, f"{module}:hog", *options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n_train"] + summary["n_test"] == 120
    record = load_detector("model.onnx").record_
    assert record.detector == "Pipeline(HoGTransformer, LogisticRegression)"
    assert record.preprocessing.treatment.side == 64
    assert record.preprocessing.image_size == (32, 32)
    assert record.training["n_samples"] == summary["n_train"]
    assert "nearest" in record.training["generators"]
    assert module not in sys.path


def test_the_saved_pipeline_predicts(folder, module, capsys):
    assert train(folder, f"{module}:make_lbp", "--treatment", "none") == 0
    assert f"Fitted {module}:make_lbp on" in capsys.readouterr().out
    cv2.imwrite("one.png", np.zeros((70, 80, 3), np.uint8))
    assert main(["predict", "one.png", "-m", "model.onnx"]) == 0
    assert "one.png" in capsys.readouterr().out


def test_a_function_may_return_a_detector(folder, module):
    assert train(folder, f"{module}:make_detector", "--side", "64") == 0
    assert load_detector("model.onnx").record_.detector == "HoGSVMDetector"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:hog", "--pipeline nowhere:hog: there is no module nowhere in this folder"),
        ("{}", "Pass MODULE:OBJECT, such as my_models:pipeline"),
        ("{}:nothing", "has no attribute 'nothing'"),
        ("{}:number", "found an object of the type int. It must be a classifier"),
        ("{}:rows", "does not contain a transformer of detectorkit.features"),
        ("{}:svc", "no `predict_proba`. Wrap it in CalibratedClassifierCV"),
    ],
)
def test_errors_name_the_option_and_the_cure(folder, module, capsys, name, message):
    assert train(folder, name.format(module)) == 2
    assert message in capsys.readouterr().err


def test_an_import_that_fails_within_the_module_is_named(folder, module, tmp_path, capsys):
    (tmp_path / f"{module}.py").write_text("import no_such_package")
    assert train(folder, f"{module}:hog") == 2
    err = capsys.readouterr().err
    assert "No module named 'no_such_package'" in err
    assert "there is no module" not in err


def test_a_pipeline_has_no_checkpoint_and_no_model(folder, module, capsys):
    assert train(folder, f"{module}:hog", "--checkpoint", "state.pt") == 2
    assert "--checkpoint: the classifier of --pipeline" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train(folder, f"{module}:hog", "-m", "cnn")
    assert "not allowed with argument" in capsys.readouterr().err
