"""The networks that are trained from random weights, from images to a saved file."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("torch")

from detectorkit import CNNDetector, ResNetDetector, load_detector
from detectorkit.images import Treatment
from detectorkit.images.crops import cut_crops
from detectorkit.training import Augmentation

pytestmark = pytest.mark.usefixtures("fast_export")

SETTINGS = {
    "image_size": (32, 32),
    "n_conv": 3,
    "learning_rate": 1e-3,
    "batch_size": 16,
    "max_epochs": 6,
    "validation_fraction": 0.2,
    "augmentation": None,
    "random_state": 0,
}


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(name, *_):
        assert name.partition(".")[0] != "torch"
sys.meta_path.insert(0, NoTorch)
"""


def make_images(n, size=(32, 32), seed=0):
    """Noise, and as generated images smooth noise."""
    random = np.random.default_rng(seed)
    X = random.integers(0, 256, (n, *size, 3), dtype=np.uint8)
    y = np.arange(n) % 2
    X[y == 1] = [cv2.GaussianBlur(image, (0, 0), 1) for image in X[y == 1]]
    return X, y


@pytest.fixture(scope="module")
def dataset():
    return make_images(160)


@pytest.fixture(scope="module")
def cnn(dataset):
    return CNNDetector(**SETTINGS).fit(*dataset)


def small(detector=CNNDetector, **parameters):
    """A detector that has learned next to nothing, soon."""
    return detector(**SETTINGS | {"max_epochs": 1, "n_conv": 1} | parameters)


def test_cnn_learns_an_easy_task(cnn):
    X, y = make_images(100, seed=1)
    assert cnn.score(X, y) > 0.9
    assert_array_equal(cnn.predict(X), (cnn.predict_proba(X)[:, 1] > 0.5).astype(int))
    assert 0 < cnn.training_summary_["export_difference"] <= 1e-4
    assert cnn.training_summary_["n_validation"] == 32
    assert len(cnn.history_) == cnn.training_summary_["n_epochs"] <= 6
    assert cnn.history_[-1]["loss"] < cnn.history_[0]["loss"]


def test_resnet_learns_an_easy_task(dataset):
    X, y = make_images(60, seed=1)
    settings = {k: v for k, v in SETTINGS.items() if k != "n_conv"} | {"max_epochs": 2}
    detector = ResNetDetector(**settings).fit(*dataset)
    assert detector.score(X, y) > 0.9
    assert detector.training_summary_["export_difference"] <= 1e-4
    assert len(detector.onnx_model_) > 40e6  # 11 million weights


def test_resnet_starts_from_weights_in_a_file(dataset, tmp_path):
    import torch

    from detectorkit.training.architectures import ResNet18

    state = ResNet18().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    network, _ = ResNetDetector(weights=tmp_path / "weights.pth")._make_network()
    assert_array_equal(
        network[0].state_dict()["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"]
    )
    with pytest.raises(FileNotFoundError):
        ResNetDetector((32, 32), weights=tmp_path / "none.pth").fit(*dataset)


def test_a_saved_network_needs_no_torch(cnn, dataset, tmp_path):
    path, X = tmp_path / "model.onnx", dataset[0][:20]
    cnn.save(path)
    np.save(tmp_path / "X.npy", X)
    code = WITHOUT_TORCH + (
        "import json, numpy as np; from detectorkit import load_detector\n"
        f"detector = load_detector({str(path)!r}); X = np.load({str(tmp_path / 'X.npy')!r})\n"
        "print(json.dumps(detector.decision_function(X).tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert_allclose(json.loads(done.stdout), cnn.decision_function(X), atol=1e-6)
    loaded = load_detector(path)
    assert_allclose(loaded.predict_proba(X), cnn.predict_proba(X), atol=1e-6)
    assert loaded.record_.detector == "CNNDetector"
    assert loaded.record_.training == cnn.training_summary_


@pytest.mark.parametrize(
    ("how", "share", "change"), [("static", 0.4, 1), ("dynamic", 0.5, 1), ("float16", 0.51, 0.01)]
)
def test_a_quantized_network_says_what_it_costs(cnn, dataset, tmp_path, how, share, change):
    X, y = make_images(100, seed=1)
    detector = CNNDetector(**SETTINGS, quantize=how).fit(*dataset)
    said = detector.quantization_
    assert said["method"] == how
    assert said["n"] == 32
    assert min(said["accuracy"], said["accuracy_float"]) > 0.9
    assert 0 < said["largest_score_change"] < change
    assert said["bytes_float"] == pytest.approx(len(cnn.onnx_model_), rel=0.01)
    assert said["bytes"] == len(detector.onnx_model_) < share * said["bytes_float"]
    assert detector.training_summary_["quantization"] == said
    assert detector.score(X, y) > 0.9
    detector.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    assert_array_equal(loaded.decision_function(X), detector.decision_function(X))


def test_dynamic_quantization_sees_one_image_at_a_time(dataset):
    X = dataset[0]
    detector = small(quantize="dynamic").fit(*dataset)
    together = detector.decision_function(X[:11])
    alone = [detector.decision_function(X[i : i + 1])[0] for i in range(11)]
    assert_array_equal(together, alone)
    assert detector.record_.run_size == 1


@pytest.mark.parametrize("n_crops", [1, 5, 9])
def test_scores_of_crops_are_averaged(dataset, n_crops):
    X, y = make_images(40, size=(30, 41))
    detector = small(image_size=(16, 16), n_crops=n_crops, augmentation=Augmentation.world()).fit(
        X, y
    )
    scores = detector.decision_function(X[:6])
    for image, score in zip(X[:6], scores, strict=True):
        crops = cut_crops(image, (16, 16), n_crops)
        assert len(crops) == n_crops
        assert_allclose(detector.decision_function(crops).mean(), score, atol=1e-5)


def test_quantization_of_crops_and_of_rows(dataset):
    X, y = dataset[0][:40], dataset[1][:40]
    detector = small(image_size=(16, 16), n_crops=4, quantize="static").fit(X, y)
    assert detector.quantization_["n"] == 8
    rows = small(input_shape=X.shape[1:], quantize="static").fit(X.reshape(40, -1) / 255, y)
    images = small(quantize="static").fit(X, y)
    assert_allclose(rows.decision_function(X), images.decision_function(X), atol=0.01)


def test_rows_are_images(dataset):
    X, y = dataset[0][:40], dataset[1][:40]
    images = small().fit(X, y)
    rows = small(input_shape=X.shape[1:]).fit(X.reshape(40, -1) / 255, y)
    scores = rows.decision_function(X.reshape(40, -1) / 255)
    assert_allclose(scores, images.decision_function(X), atol=1e-4)
    assert rows.history_[-1]["loss"] == pytest.approx(images.history_[-1]["loss"], abs=1e-5)


def test_any_two_numbers_and_weights_of_classes(dataset):
    X, y = dataset[0][:60], dataset[1][:60]
    detector = small(class_weight={-1: 100.0, 1: 1.0}, max_epochs=3).fit(X, 2 * y - 1)
    assert_array_equal(detector.classes_, [-1, 1])
    plain = small(max_epochs=3).fit(X, y)
    assert detector.decision_function(X).mean() < plain.decision_function(X).mean()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 32),
        ("image_size", (8, 7)),
        ("n_conv", 0),
        ("n_conv", 6),
        ("dropout", 1),
        ("learning_rate", 0),
        ("learning_rate", None),
        ("batch_size", 1),
        ("max_epochs", 0),
        ("patience", 0.5),
        ("validation_fraction", -0.1),
        ("validation", "generators"),
        ("balance", True),
        ("augmentation", "strong"),
        ("augmentation", [0.5]),
        ("n_crops", 3),
        ("quantize", "int4"),
    ],
)
def test_wrong_parameters_are_named(dataset, name, value):
    settings = {"n_conv": 3} | {name: value}
    with pytest.raises(ValueError, match=rf"CNNDetector: {name}=.* must be"):
        CNNDetector(**settings).fit(*dataset)


def test_resnet_wants_images_of_its_stride(dataset):
    with pytest.raises(ValueError, match=r"ResNetDetector: image_size=\(31, 64\) must be at least"):
        ResNetDetector((31, 64)).fit(*dataset)


@pytest.mark.parametrize("setting", [{"validation": "origins"}, {"balance": "origin"}])
def test_settings_that_need_the_origin_say_so(dataset, setting):
    with pytest.raises(ValueError, match=r"CNNDetector: (validation|balance)=.* needs `origin`"):
        small(**setting).fit(*dataset)


def test_unknown_origins_say_when_to_stop(dataset):
    X, y = dataset
    origin = np.array(["camera", "web", "gan", "diffusion"])[2 * y + np.arange(160) // 2 % 2]
    detector = small(validation="origins", balance="origin").fit(X, y, origin=origin)
    assert detector.training_summary_["n_validation"] == 80
    with pytest.raises(ValueError, match="Two or more are needed"):
        small(validation="origins").fit(X, y, origin=np.array(["camera", "gan"])[y])
    with pytest.raises(ValueError, match="inconsistent"):
        small(balance="origin").fit(X, y, origin=origin[:-1])


def test_progress_is_said_on_standard_error(dataset, tmp_path, capsys):
    X, y = dataset[0][:40], dataset[1][:40]
    settings = {"checkpoint": tmp_path / "training.pt", "verbose": True}
    small(**settings).fit(X, y)
    assert "Epoch 1/1: loss " in capsys.readouterr().err
    small(**settings | {"max_epochs": 2}).fit(X, y)
    said = capsys.readouterr()
    assert "Going on after epoch 1 from " in said.err
    assert "Epoch 2/2: loss " in said.err
    assert not said.out


def test_no_path_of_the_machine_is_in_the_file(cnn):
    """torch notes the lines of code of each node in an export."""
    assert b"networks.py" not in cnn.onnx_model_
    assert b"site-packages" not in cnn.onnx_model_


@pytest.mark.parametrize("augmentation", [None, "default"])
def test_images_are_treated_as_their_copies_were(augmentation, tmp_path):
    X, y = make_images(24, (40, 50))
    treatment = Treatment("crop", side=36)
    copies = np.stack([treatment.apply(image) for image in X])
    parameters = {"max_epochs": 1, "augmentation": augmentation, "quantize": "static"}
    plain = small(**parameters).fit(copies, y)
    treating = small(treatment=treatment, **parameters).fit(X, y)
    assert treating.history_[0]["loss"] == plain.history_[0]["loss"]
    treating.save(tmp_path / "model.onnx")
    loaded = load_detector(tmp_path / "model.onnx")
    assert_array_equal(loaded.decision_function(X), plain.decision_function(copies))
    assert loaded.record_.preprocessing.treatment == treatment
