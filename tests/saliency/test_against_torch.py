"""Gradients of exported networks against torch's own."""

import io
import warnings

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.graph.gradients import gradient_graph
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.networks import network_graph
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import make_session
from detectorkit.training.architectures import (
    EfficientNetLite0,
    ModifiedCNN,
    ResNet18,
    TransformersBackbone,
    attach_head,
)
from detectorkit.training.to_onnx import export_network


def make_deit():
    transformers = pytest.importorskip("transformers")
    config = transformers.DeiTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=64,
        patch_size=16,
    )
    backbone = TransformersBackbone(transformers.AutoModel.from_config(config))
    return attach_head(backbone, backbone.n_features, (8,), 0.0)


NETWORKS = {
    "CNN": lambda: ModifiedCNN((64, 64), n_conv=4),
    "ResNet-18": lambda: attach_head(ResNet18(), ResNet18.n_features, (), 0.0),
    "EfficientNet-Lite0": lambda: attach_head(
        EfficientNetLite0(), EfficientNetLite0.n_features, (8,), 0.0
    ),
    "DeiT": make_deit,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_torch(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    taken = NetworkInput((64, 64))
    record = ModelRecord("test", taken.preprocessing, [], [0, 1], 0.0, SigmoidCalibration(1.0))
    exported = export_network(network, (3, 64, 64))
    content = network_graph(exported, taken, record, output="logits").SerializeToString()
    session = make_session(gradient_graph(content).SerializeToString(), name)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.float32)
    found = session.run(["gradient"], {"pixels": pixels})[0]
    expected, single = (reference(network, taken, pixels, dtype) for dtype in (float, np.float32))
    for image, wide, narrow in zip(found, expected, single, strict=True):
        size = np.abs(wide).max()
        # Where rounding puts a unit on the other side of a kink, torch in single precision is off
        # from torch in double precision too; then it has to agree with one of them.
        assert min(np.abs(image - wide).max(), np.abs(image - narrow).max()) < 1e-4 * size
    assert_allclose(np.median(np.abs(found - expected)), 0, atol=1e-6 * np.abs(expected).max())


class Normalizing(torch.nn.Module):
    """What torch writes with `If` where it exports a script."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.normalize = torch.nn.LocalResponseNorm(3, alpha=0.5)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x):
        x = self.normalize(self.conv(x)).mean((2, 3), keepdim=True)
        return self.head(x.squeeze(3).squeeze(2))


def test_branches_of_scripts_are_differentiated():
    torch.manual_seed(0)
    network = Normalizing().eval()
    taken = NetworkInput((16, 16))
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter of scripts is an old one
        torch.onnx.export(
            torch.jit.script(network),
            torch.zeros(2, 3, 16, 16),
            written,
            input_names=["images"],
            dynamic_axes={"images": {0: "n"}},
            dynamo=False,
            opset_version=17,
        )
    exported = onnx.load_model_from_string(written.getvalue())
    assert any(node.op_type == "If" for node in exported.graph.node)
    record = ModelRecord("test", taken.preprocessing, [], [0, 1], 0.0, SigmoidCalibration(1.0))
    content = network_graph(exported, taken, record, output="logits").SerializeToString()
    session = make_session(gradient_graph(content).SerializeToString(), "script")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.float32)
    found = session.run(["gradient"], {"pixels": pixels})[0]
    expected = reference(network, taken, pixels, float)
    assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def reference(network, taken, pixels, dtype):
    network = network.to(torch.float64 if dtype is float else torch.float32)
    x = torch.from_numpy(pixels.astype(dtype)).requires_grad_()
    factor, offset = (torch.from_numpy(one.astype(dtype)) for one in taken.scaling)
    logits = network((x * factor + offset).permute(0, 3, 1, 2))
    (logits[:, 1] - logits[:, 0]).sum().backward()
    return x.grad.numpy()
