"""From checkpoints to ONNX and to trained detectors; needs the extra "train", but no network."""

import importlib.util
import json
import shutil

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose

from detectorkit import BackboneDetector, BackboneNotFoundError, ModelFileError, load_detector
from detectorkit.backbones import REGISTRY, embed_images, find_backbone, read_backbone
from detectorkit.backbones.exporting import export_checkpoint, load_torch_backbone
from detectorkit.images.sequence import check_images

PREPROCESSOR = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}


@pytest.fixture
def torch(monkeypatch):
    module = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    module.manual_seed(0)
    return module


@pytest.fixture(params=["deit", "resnet"])
def checkpoint(request, torch, tmp_path):
    """A folder with a small network of random weights, as transformers saves it."""
    import transformers

    if request.param == "deit":
        config = transformers.DeiTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
        )
        model = transformers.DeiTForImageClassification(config)
    else:
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        )
        model = transformers.ResNetForImageClassification(config)
    place = tmp_path / f"my-{request.param}"
    model.eval().save_pretrained(place)
    size = {"crop_size": 32, "size": 36}
    (place / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | size))
    return place


def expected_features(checkpoint, scaled):
    """What transformers itself computes: the class token, or means over the last map."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        found = model(torch.from_numpy(scaled))
    if checkpoint.name == "my-deit":
        return found.last_hidden_state[:, 0].numpy()
    return found.last_hidden_state.mean(dim=(2, 3)).numpy()


def test_the_export_says_what_torch_says(checkpoint, home):
    path = export_checkpoint(str(checkpoint))
    assert path == home / "backbones" / f"{checkpoint.name}.onnx"
    backbone = find_backbone(checkpoint.name)
    scaled = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(backbone.content, providers=["CPUExecutionProvider"])
    expected = expected_features(checkpoint, scaled)
    (found,) = session.run(None, {session.get_inputs()[0].name: scaled})
    assert_allclose(found, expected, atol=1e-4)
    assert backbone.n_features == expected.shape[1] == 16
    assert backbone.source == checkpoint.name
    assert backbone.licence == "see its page"


def test_features_of_images_are_those_of_torch(checkpoint):
    export_checkpoint(str(checkpoint))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    mean, std = (np.array(PREPROCESSOR[key]) for key in ("image_mean", "image_std"))
    scaled = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    found = embed_images(find_backbone(checkpoint.name), check_images(images))
    assert_allclose(found, expected_features(checkpoint, scaled), atol=1e-4)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"crop_size": 48, "size": 64}, (48, 48)),
        ({"crop_size": {"height": 40, "width": 48}}, (40, 48)),
        ({"size": {"height": 40, "width": 48}}, (40, 48)),
        ({"size": {"shortest_edge": 64}}, (224, 224)),
        ({}, (224, 224)),
    ],
)
@pytest.mark.parametrize("checkpoint", ["resnet"], indirect=True)
def test_the_input_is_read_from_the_file_beside_the_weights(checkpoint, said, size):
    (checkpoint / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | said))
    taken = load_torch_backbone(str(checkpoint)).network_input
    assert (taken.image_size, taken.mean, taken.std) == (size, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


@pytest.mark.parametrize("checkpoint", ["deit"], indirect=True)
def test_without_that_file_the_input_is_that_of_imagenet(checkpoint):
    (checkpoint / "preprocessor_config.json").unlink()
    taken = load_torch_backbone(str(checkpoint)).network_input
    assert (taken.image_size, taken.mean) == ((32, 32), (0.485, 0.456, 0.406))


@pytest.mark.parametrize("checkpoint", ["resnet"], indirect=True)
def test_networks_of_convolutions_take_other_sizes(checkpoint, home, tmp_path):
    path = export_checkpoint(str(checkpoint), image_size=(48, 64))
    assert path.name == "my-resnet-48x64.onnx"
    assert read_backbone(path).network_input.image_size == (48, 64)
    output = tmp_path / "here.onnx"
    assert export_checkpoint(str(checkpoint), output=output) == output
    assert read_backbone(output).name == "my-resnet"


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint):
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    kept = {key: value for key, value in list(weights.items())[::2] if "encoder" in key}
    save_file(kept, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match="lacks the weights"):
        load_torch_backbone(str(checkpoint))


@pytest.mark.usefixtures("torch")
def test_what_is_nowhere_is_not_found(tmp_path):
    with pytest.raises(BackboneNotFoundError, match="is not on this machine and cannot be loaded"):
        load_torch_backbone(str(tmp_path / "nothing"))
    with pytest.raises(BackboneNotFoundError, match="which torch cannot train"):
        load_torch_backbone("clip-vit-b16")


def test_the_whole_network_is_trained_from_a_checkpoint(checkpoint, tmp_path):
    random = np.random.default_rng(0)
    y = np.arange(48) % 2
    X = random.integers(0, 190, (48, 32, 32, 3))
    X[..., 2] += 64 * y[:, np.newaxis, np.newaxis]
    X = X.astype(np.uint8)
    detector = BackboneDetector(
        checkpoint,
        fine_tune=True,
        bottleneck=4,
        max_epochs=10,
        learning_rate=0.01,
        batch_size=16,
        dropout=0,
        augmentation=None,
        random_state=0,
    ).fit(X, y)
    assert len(detector.history_) <= 10
    assert np.mean(detector.predict(X) == y) > 0.75
    detector.save(tmp_path / "model.onnx")
    shutil.rmtree(checkpoint)
    loaded = load_detector(tmp_path / "model.onnx")
    assert_allclose(loaded.decision_function(X), detector.decision_function(X), atol=1e-5)
    assert loaded.record_.training["fine_tune"] is True


def test_the_weights_that_come_with_the_extra_are_exported_when_they_are_wanted(torch, home):
    package = REGISTRY["efficientnet-lite0"].member.partition("/")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    backbone = find_backbone("efficientnet-lite0", image_size=(64, 64))
    assert (home / "backbones" / "efficientnet-lite0-64x64.onnx").exists()
    found = load_torch_backbone("efficientnet-lite0")
    assert (backbone.n_features, backbone.licence) == (found.n_features, "Apache-2.0")
    scaled = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(backbone.content, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = found.network.eval()(torch.from_numpy(scaled)).numpy()
    assert_allclose(session.run(None, {"images": scaled})[0], expected, atol=1e-4)


def test_without_torch_the_extra_is_named():
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed")
    with pytest.raises(ImportError, match=r'needs torch.*the extra "train"'):
        export_checkpoint("deit-tiny")
