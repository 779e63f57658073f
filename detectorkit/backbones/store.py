"""The backbones that are installed: files whose metadata say what they are.

An installed backbone is one ONNX file whose metadata say how images are prepared for it, where it
came from, its licence and the sha256 of the weights that it was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnx
import os
from hashlib import sha256
from pathlib import Path

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.inputs import NetworkInput
from detectorkit.utils.fields import Fields
from detectorkit.utils.files import write_whole
from detectorkit.utils.json import dumps

__all__ = ["Backbone", "backbone_folder", "installed_backbones", "read_backbone", "write_backbone"]

BACKBONE_KEY: Final = "detectorkit-backbone"
"""The key of the record among the metadata properties of the ONNX model."""


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
    from onnx import helper

    record = {
        "name": name,
        "network_input": network_input.to_record(),
        "licence": licence,
        "source": source,
        "sha256": checksum,
        "run_size": run_size,
    }
    helper.set_model_props(model, {BACKBONE_KEY: dumps(record)})
    path = output or backbone_folder() / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, model.SerializeToString())
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
        If the file is no ONNX model, its record is damaged, or nothing is known of how images are
        prepared for it.
    OSError
        If it cannot be read.
    """
    from onnx import load_model_from_string

    content = path.read_bytes()
    try:
        model = load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise ModelFileError(f"{path} is no ONNX model: {error}") from error
    found: dict[str, str] = {one.key: one.value for one in model.metadata_props}
    record = Fields.from_json(found.get(BACKBONE_KEY, "{}"), str(path))
    if network_input is None:
        if BACKBONE_KEY not in found:
            raise ModelFileError(
                f"{path} does not say how images are prepared for it. Pass `network_input`, or "
                "write the file with `detectorkit backbones export`."
            )
        network_input = NetworkInput.from_record(record.part("network_input"))
    checksum = record.text("sha256") if "sha256" in record else None
    return Backbone(
        name=record.text("name") if "name" in record else path.stem,
        content=content,
        network_input=network_input,
        licence=record.text("licence") if "licence" in record else "unknown",
        source=record.text("source") if "source" in record else path.name,
        sha256=checksum or sha256(content).hexdigest(),
        run_size=record.integer("run_size") or (1 if is_dynamic(content) else None),
        n_features=_last_size(model),
    )


def _last_size(model: onnx.ModelProto) -> int | None:
    """Give the last dimension of a model's first output, if it is a number."""
    if not model.graph.output:
        return None
    sizes = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    return (sizes or [0])[-1] or None
