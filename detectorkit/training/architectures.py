"""Networks to train: torch modules that compute logits or features from scaled pixels.

All take float32 tensors of shape (n, 3, height, width) and consist of layers that ONNX has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "EfficientNetLite0",
    "HeadedNetwork",
    "ModifiedCNN",
    "ResNet18",
    "TransformersBackbone",
    "attach_head",
    "load_weights",
]

CNN_FILTERS: Final = ((32, 2), (64, 3), (128, 4), (256, 5), (512, 6))
"""Number and side of the filters of each convolution of the modified CNN."""

CNN_DENSE: Final = (256, 128, 64)


class ModifiedCNN(nn.Module):
    """Convolutions of growing width, each with max-pooling, and three dense layers."""

    def __init__(
        self,
        image_size: tuple[int, int],
        *,
        n_conv: int = 5,
        dropout: float = 0.3,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        height, width, channels = *image_size, 3
        for filters, size in CNN_FILTERS[:n_conv]:
            # Padded as Keras's "same": even filters see one pixel more below and on the right.
            before, after = (size - 1) // 2, size // 2
            layers += [
                nn.ZeroPad2d((before, after, before, after)),
                nn.Conv2d(channels, filters, size),
                nn.BatchNorm2d(filters) if batch_norm else nn.Identity(),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            height, width, channels = height // 2, width // 2, filters
        self.features = nn.Sequential(*layers, nn.Flatten())
        dense: list[nn.Module] = []
        length = channels * height * width
        for units in CNN_DENSE:
            dense += [nn.Linear(length, units), nn.ReLU(), nn.Dropout(dropout)]
            length = units
        self.head = nn.Sequential(*dense, nn.Linear(length, 2))
        for module in self.modules():
            # Initialised as in Keras. With torch's own weights, the signal fades from layer to
            # layer, and so does learning; with He's, the first scores are so large that the first
            # steps only undo them.
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of both classes."""
        logits: Tensor = self.head(self.features(images))
        return logits


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ResNet18(nn.Module):
    """The residual network of 18 layers, without its classification layer.

    Its parameters have the names of torchvision, so that torchvision's state dictionaries load.
    """

    n_features = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for number, (inputs, outputs) in enumerate(pairwise(widths), 1):
            stride = 1 if number == 1 else 2
            blocks = [_BasicBlock(inputs, outputs, stride), _BasicBlock(outputs, outputs, 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x.mean(dim=(2, 3))


# Expansion, kernel, stride, width and number of blocks of each stage.
_LITE0_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_SPREAD_EPS: Final = 1e-6  # keeps the gradient of a square root finite
_LITE0_EPS: Final = 1e-3  # epsilon of its batch normalisation, as in TensorFlow


class _SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME", for images of even size at each step."""

    def forward(self, x: Tensor) -> Tensor:
        size, stride = self.kernel_size[0], self.stride[0]
        total = [max(size - (n % stride or stride), 0) for n in x.shape[-2:]]
        top, left = (t // 2 for t in total)
        padded = functional.pad(x, (left, total[1] - left, top, total[0] - top))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class _InvertedBottleneck(nn.Module):
    """Convolutions that expand, filter each channel and project, with a shortcut if possible."""

    def __init__(self, inputs: int, outputs: int, expansion: int, size: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, middle, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(middle, _LITE0_EPS)
        self._depthwise_conv = _SameConv2d(middle, middle, size, stride, groups=middle, bias=False)
        self._bn1 = nn.BatchNorm2d(middle, _LITE0_EPS)
        self._project_conv = nn.Conv2d(middle, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, _LITE0_EPS)
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        out = functional.relu6(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return out + x if self.has_shortcut else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classification layer, with features of all its levels.

    The names of its parameters are those of the published checkpoint.

    Notes
    -----
    The features before the classification layer tell what is in a picture. The levels below tell
    more about how it was made, so their means and standard deviations are features too.
    """

    n_features = 1280 + 2 * sum(width for *_, width, _ in _LITE0_STAGES[:-1])

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, _LITE0_EPS)
        self._blocks = nn.ModuleList()
        inputs = 32
        for expansion, size, stride, outputs, repeats in _LITE0_STAGES:
            for repeat in range(repeats):
                first = stride if repeat == 0 else 1
                self._blocks.append(_InvertedBottleneck(inputs, outputs, expansion, size, first))
                inputs = outputs
        self._conv_head = nn.Conv2d(inputs, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, _LITE0_EPS)
        repeats_of_stages = [repeats for *_, repeats in _LITE0_STAGES]
        self._ends = {int(end) - 1 for end in np.cumsum(repeats_of_stages[:-1])}

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        x = functional.relu6(self._bn0(self._conv_stem(images)))
        levels: list[Tensor] = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._ends:
                mean = x.mean(dim=(2, 3), keepdim=True)
                spread = ((x - mean) ** 2).mean(dim=(2, 3))
                levels += [mean.flatten(1), (spread + _SPREAD_EPS).sqrt()]
        last = functional.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))
        return torch.cat([*levels, last], dim=1)


class HeadedNetwork(nn.Sequential):
    """A network that computes features, followed by the layers of a head."""

    def __init__(
        self, backbone: nn.Module, *layers: nn.Module, keeps_statistics: bool = False
    ) -> None:
        super().__init__(backbone, *layers)
        self.keeps_statistics = keeps_statistics

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - as in torch
        """Switch between training and prediction."""
        super().train(mode)
        if self.keeps_statistics:
            for module in self[0].modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def attach_head(
    backbone: nn.Module,
    n_features: int,
    bottleneck: Sequence[int],
    dropout: float,
    *,
    keeps_statistics: bool = False,
) -> HeadedNetwork:
    """Attach a bottleneck and a layer of two logits to a network that computes features."""
    layers: list[nn.Module] = [nn.BatchNorm1d(n_features)]  # features may have any scale
    for units in bottleneck:
        layers += [nn.Dropout(dropout), nn.Linear(n_features, units), nn.ReLU()]
        n_features = units
    layers += [nn.Dropout(dropout), nn.Linear(n_features, 2)]
    return HeadedNetwork(backbone, *layers, keeps_statistics=keeps_statistics)


class TransformersBackbone(nn.Module):
    """A vision model of the library transformers, without its classification layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        config: Any = model.config
        self.has_token = config.model_type in {"deit", "vit", "dinov2", "beit"}
        if self.has_token and hasattr(model, "pooler"):
            model.pooler = None  # its weights are not in checkpoints
        self.model = model
        self.n_features = config.hidden_size if self.has_token else config.hidden_sizes[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        found = self.model(pixel_values=images)
        if self.has_token:
            token: Tensor = found.last_hidden_state[:, 0]
            return token
        pooled: Tensor = found.pooler_output.flatten(1)
        return pooled


def load_weights(network: nn.Module, path: Path, *, ignored: tuple[str, ...] = ()) -> None:
    """Load a state dictionary from a file; only tensors are unpickled."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    state = {key: value for key, value in state.items() if not key.startswith(ignored)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights of this network: {error}") from error
