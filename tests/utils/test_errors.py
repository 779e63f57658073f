"""Mistakes that are easily made are told in words of this library, with the cure."""

import subprocess
import sys

import numpy as np
import pytest

import detectorkit
from detectorkit import BackboneDetector, HoGSVMDetector, load_detector
from detectorkit.datasets import audit
from detectorkit.evaluation import evaluate, robustness_report
from detectorkit.exceptions import BackboneNotFoundError
from detectorkit.saliency import DeepFeatureFactorization, OcclusionSaliency

X = np.zeros((4, 32, 32), np.uint8)
Y = [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda _: BackboneDetector("clip").fit(X, Y),
            BackboneNotFoundError,
            r"Known names are (.*, )?clip-vit-b16-4bit, ",
        ),
        (lambda _: audit(list(X), Y), TypeError, r"audit: paths\[0\] is of the type ndarray. Pass"),
        (
            lambda fitted: robustness_report(fitted, X, Y, perturbations=["jpeg"]),
            TypeError,
            r"perturbations\[0\]='jpeg' must be a Perturbation, such as .* jpeg\(75\)",
        ),
        (
            lambda _: load_detector(HoGSVMDetector),
            TypeError,
            r"model=<class .*HoGSVMDetector'> must be the path .* name of a shipped .*hog-svm",
        ),
        (
            lambda _: HoGSVMDetector(n_jobs="all").fit(X, Y),
            ValueError,
            "n_jobs='all' must be None or a whole number. -1 means all processors",
        ),
        (
            lambda _: load_detector("hog-svm", n_jobs="all").predict(X),
            ValueError,
            "n_jobs='all' must be None or a whole number",
        ),
        (
            lambda _: OcclusionSaliency("hog-svm").transform(X),
            TypeError,
            "OcclusionSaliency: detector='hog-svm' must be a fitted .* Call load_detector first",
        ),
        (
            lambda _: DeepFeatureFactorization("hog-svm").fit(X),
            TypeError,
            "detector='hog-svm' must be a fitted detector.* Call load_detector first",
        ),
        (
            lambda _: evaluate("hog-svm", X, Y),
            TypeError,
            "evaluate: detector='hog-svm' must be a fitted detector.* Call load_detector first",
        ),
        (
            lambda _: robustness_report("hog-svm", X, Y),
            TypeError,
            "robustness_report: detector='hog-svm' must be .* Call load_detector first",
        ),
    ],
)
def test_a_mistake_is_told_with_its_cure(call, error, message, fitted):
    with pytest.raises(error, match=message):
        call(fitted)


def test_a_device_that_does_not_exist_is_told():
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    detector = detectorkit.CNNDetector((8, 8), n_conv=1, device="gpu")
    with pytest.raises(ValueError, match="CNNDetector: device='gpu' must be 'auto' or a device of"):
        detector.fit(X, Y)


@pytest.mark.parametrize("name", ["make_pairs", "TinyAutoencoder"])
def test_without_torch_training_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=rf'{name} needs torch.* extra "train": pip install'):
        getattr(detectorkit.training, name)


def test_subpackages_are_imported_when_they_are_used():
    code = (
        "import sys, detectorkit\n"
        "assert not {'numpy', 'sklearn', 'detectorkit.evaluation'} & set(sys.modules)\n"
        "assert callable(detectorkit.evaluation.evaluate)\n"
        "assert 'evaluation' in dir(detectorkit)\n"
        "try:\n    detectorkit.evaluations\nexcept AttributeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "has no attribute 'evaluations'" in done.stdout
