"""Reading and writing of the files of installed backbones.

An installed backbone is one ONNX file. Its metadata contain a JSON record of how images are
prepared, the source of the weights, their licence and their sha256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.reference import (
    BACKBONE_KEY,
    BackboneReference,
    Pool,
    backbone_folder,
    find_columns,
    layers_of_record,
)
from detectorkit.graph.sessions import read_model_file
from detectorkit.models import SHIPPED_BACKBONES
from detectorkit.utils.fields import Fields
from detectorkit.utils.files import write_whole
from detectorkit.utils.json import dumps

__all__ = [
    "Backbone",
    "backbone_folder",
    "installed_backbones",
    "read_backbone",
    "take_layers",
    "write_backbone",
]


@dataclass(frozen=True)
class Backbone:
    """Installed backbone: an ONNX network that computes features, and its record.

    Attributes
    ----------
    name : str
        Name of the backbone, or of its file if it has no record.
    content : bytes
        Content of the ONNX file, whose network takes scaled images and whose first output are
        features of shape (n, n_features).
    network_input : NetworkInput
        Size, colours and scaling of the images that the network takes.
    licence : str
        Licence of the weights; "unknown" if the file does not say it.
    source : str
        Package, model hub name or file from which the weights came.
    sha256 : str
        SHA-256 checksum of the original weights, or of the file if it has no record.
    run_size : int or None
        Number of images in a batch: 1 if the features depend on the other images of a batch; None
        allows any number.
    n_features : int or None, default=None
        Number of features of an image; None if the file does not say it.
    reference : BackboneReference or None, default=None
        What a saved head records of the backbone: its file and the layers of the features.
    layers : tuple of int or None, default=None
        Numbers of the layers whose joined features the network returns, if its file tells them.
    pool : {"cls", "mean", "cls+mean"} or None, default=None
        What is taken of the tokens of each of these.
    columns : ndarray of int or None, default=None
        Places of the features among those that the network returns. None means all.
    """

    name: str
    content: bytes
    network_input: NetworkInput
    licence: str
    source: str
    sha256: str
    run_size: int | None
    n_features: int | None = None
    reference: BackboneReference | None = None
    layers: tuple[int, ...] | None = None
    pool: Pool | None = None
    columns: NDArray[np.intp] | None = None


def installed_backbones() -> dict[str, Path]:
    """List the backbones that came along or were installed; the latter take precedence."""
    folders = (SHIPPED_BACKBONES, backbone_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.onnx"))}


def write_backbone(
    model: onnx.ModelProto,
    name: str,
    network_input: NetworkInput,
    *,
    licence: str,
    source: str,
    checksum: str,
    run_size: int | None = None,
    layers: tuple[int, ...] | None = None,
    pool: Pool | None = None,
    output: Path | None = None,
) -> Path:
    """Install a backbone."""
    from onnx import helper

    record: dict[str, Any] = {
        "name": name,
        "network_input": network_input.to_record(),
        "licence": licence,
        "source": source,
        "sha256": checksum,
        "run_size": run_size,
    }
    if layers is not None:
        record |= {"layers": list(layers), "pool": pool}
    helper.set_model_props(model, {BACKBONE_KEY: dumps(record)})
    path = output or backbone_folder() / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, model.SerializeToString())
    return path


def read_backbone(path: Path, network_input: NetworkInput | None = None) -> Backbone:
    """Read a backbone from a file; one that is quantised dynamically computes with floats."""
    from onnx import load_model_from_string

    from detectorkit.graph.exact import make_exact

    content = read_model_file(path)
    try:
        model = load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions have no public base class
        raise ModelFileError(f"{path} is not an ONNX model: {error}") from error
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
    run_size = record.integer("run_size")
    file_checksum = sha256(content).hexdigest()
    if is_dynamic(content):
        model = make_exact(model)
        content = model.SerializeToString()
        run_size = 1 if is_dynamic(content) else None
    name = record.text("name") if "name" in record else path.stem
    layers, pool = layers_of_record(record)
    return Backbone(
        name=name,
        content=content,
        network_input=network_input,
        licence=record.text("licence") if "licence" in record else "unknown",
        source=record.text("source") if "source" in record else path.name,
        sha256=checksum or file_checksum,
        run_size=run_size,
        n_features=_last_size(model),
        reference=BackboneReference(path.stem, file_checksum, network_input),
        layers=layers,
        pool=pool,
    )


def take_layers(backbone: Backbone, layers: Sequence[int], pool: Pool | None) -> Backbone:
    """Return a backbone whose features are those of some of its layers, joined.

    Parameters
    ----------
    backbone : Backbone
        Backbone from `find_backbone`.
    layers : sequence of int
        Numbers of the blocks of a transformer, or of the stages (resolutions) of a convolutional
        network, from 1; negative numbers count from the end.
    pool : {"cls", "mean", "cls+mean"} or None
        Features of each layer: the class token, the mean over the tokens of the image, or both.
        None means the class token if there is one.

    Returns
    -------
    chosen : Backbone
        Backbone whose features are in the order of `layers`; for each layer the class token is
        before the mean. Nodes that these layers do not need are gone, unless the network returns
        the features of several layers already, of which some are then taken.

    Raises
    ------
    ModelFileError
        If the network has no such layers; the message says what was found.

    Notes
    -----
    The idea is that of RINE [1]_. Blocks are found by the additions to the stream of tokens, which
    a network that normalises before each block has. The tokens of the image are the last ones, as
    many as the last convolution makes.

    References
    ----------
    .. [1] C. Koutlis, S. Papadopoulos, "Leveraging representations from intermediate encoder-blocks
       for synthetic image detection", ECCV 2024, :doi:`10.1007/978-3-031-73220-1_23`.
    """
    from onnx import load_model_from_string

    from detectorkit.graph.layers import select_layers

    found = _find_columns(backbone, layers, pool)
    if found is not None:
        return found
    model = load_model_from_string(backbone.content)
    taken = backbone.network_input
    layers, pool = select_layers(model, layers, pool, taken, f"The backbone {backbone.name!r}")
    reference = backbone.reference
    return replace(
        backbone,
        content=model.SerializeToString(),
        n_features=_last_size(model),
        reference=reference and replace(reference, layers=layers, pool=pool),
    )


def _find_columns(backbone: Backbone, layers: Sequence[int], pool: Pool | None) -> Backbone | None:
    """Find the features of some layers among those that the network returns; None if it cannot."""
    known, reference, n_features = backbone.layers, backbone.reference, backbone.n_features
    if known is None or backbone.pool is None or reference is None or n_features is None:
        return None
    if any(-one > len(known) for one in layers):
        return None
    chosen = tuple(int(one) if one > 0 else known[one] for one in layers)
    pool = pool or ("mean" if backbone.pool == "mean" else "cls")
    reference = replace(reference, layers=chosen, pool=pool)
    columns = find_columns(reference, known, backbone.pool, n_features)
    if columns is None:
        return None
    return replace(backbone, reference=reference, columns=columns, n_features=len(columns))


def _last_size(model: onnx.ModelProto) -> int | None:
    """Return the last dimension of a model's first output, or None if it is not a number."""
    if not model.graph.output:
        return None
    sizes = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    return (sizes or [0])[-1] or None
