"""Backbones in files of their own, to which saved heads refer by their checksum.

The file of a backbone is an ONNX graph from scaled images to features. Where it returns the joined
features of several layers, its record tells which, and a head may take some of them. So running a
head needs neither the package onnx nor another form of the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import BackboneNotFoundError, ModelFileError
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.sessions import Session, make_session, read_model_file
from detectorkit.models import SHIPPED_BACKBONES
from detectorkit.utils.fields import Fields

__all__ = [
    "BACKBONE_KEY",
    "POOLS",
    "BackboneReference",
    "BackboneRun",
    "Pool",
    "backbone_folder",
    "compute_features",
    "find_columns",
    "layers_of_record",
    "open_backbone",
]

BACKBONE_KEY: Final = "detectorkit-backbone"
"""Key of the record among the metadata properties of the ONNX model of a backbone."""

Pool = Literal["cls", "mean", "cls+mean"]
POOLS: Final = ("cls", "mean", "cls+mean")


def backbone_folder() -> Path:
    """Return the folder of the installed backbones."""
    home = os.environ.get("DETECTORKIT_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "detectorkit") / "backbones"


@dataclass(frozen=True)
class BackboneReference:
    """What a head needs to find its backbone and to compute its features.

    Attributes
    ----------
    name : str
        Name of the backbone; its file is ``<name>.onnx``.
    sha256 : str
        SHA-256 checksum of that file, in hexadecimal.
    network_input : NetworkInput
        Size, colours and scaling of the images that the network takes.
    layers : tuple of int or None, default=None
        Numbers of the layers whose features are joined, from 1. None means the output of the
        network.
    pool : {"cls", "mean", "cls+mean"} or None, default=None
        What is taken of the tokens of each layer; None with `layers` None.
    """

    name: str
    sha256: str
    network_input: NetworkInput
    layers: tuple[int, ...] | None = None
    pool: Pool | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the form that is saved with a head.

        Returns
        -------
        record : dict
            Attributes by name, ready for JSON.
        """
        return {
            "name": self.name,
            "sha256": self.sha256,
            "network_input": self.network_input.to_record(),
            "layers": None if self.layers is None else list(self.layers),
            "pool": self.pool,
        }

    @classmethod
    def from_record(cls, fields: Fields) -> BackboneReference:
        """Read the form that `to_record` returns.

        Parameters
        ----------
        fields : Fields
            Fields of a record, read from JSON.

        Returns
        -------
        reference : BackboneReference
            Reference with the attributes of the record.

        Raises
        ------
        ModelFileError
            If a field is missing or wrong; the message names it.
        """
        name = fields.text("name")
        if Path(name).name != name:
            raise fields.error("name", "a name without a folder")
        layers, pool = layers_of_record(fields)
        network_input = NetworkInput.from_record(fields.part("network_input"))
        return cls(name, fields.text("sha256"), network_input, layers, pool)

    def read(self, beside: Path) -> bytes:
        """Read the file of the backbone and check its checksum.

        Parameters
        ----------
        beside : Path
            Folder of the head, which is searched after those of the shipped and of the installed
            backbones.

        Returns
        -------
        content : bytes
            Content of the file.

        Raises
        ------
        BackboneNotFoundError
            If there is no such file; the message says how to get it.
        """
        others = []
        for folder in (SHIPPED_BACKBONES, backbone_folder(), beside):
            path = folder / f"{self.name}.onnx"
            if path.is_file():
                content = read_model_file(path)
                if sha256(content).hexdigest() == self.sha256:
                    return content
                others.append(f" {path} is another version.")
        raise BackboneNotFoundError(
            self.name,
            f"Its file {self.name}.onnx, with the sha256 {self.sha256}, is needed."
            f"{''.join(others)} Install it (see `detectorkit backbones list`): detectorkit "
            f"backbones add {self.name}. Or put it beside the head.",
        )


def layers_of_record(fields: Fields) -> tuple[tuple[int, ...] | None, Pool | None]:
    """Read the layers of a backbone and their pooling from a record."""
    layers = fields.get("layers")
    if layers is None:
        return None, None
    if not isinstance(layers, list) or not layers or not all(type(one) is int for one in layers):
        raise fields.error("layers", "a list of whole numbers or null")
    pool: Any = fields.text("pool", POOLS)
    return tuple(layers), pool


@dataclass(frozen=True)
class BackboneRun:
    """A backbone that is ready to compute the features of a head.

    Attributes
    ----------
    content : bytes
        Content of an ONNX file: the graph that is run.
    network_input : NetworkInput
        Scaling of the pixels.
    columns : ndarray of int or None
        Places of the wanted features among those of the graph. None means all.
    session : Session
        Session that runs the graph; None where it is only joined with a head.
    """

    content: bytes
    network_input: NetworkInput
    columns: NDArray[np.intp] | None
    session: Any = None

    @property
    def n_features(self) -> Any:
        """Number of features of an image, or what the graph says in its place."""
        if self.columns is not None:
            return len(self.columns)
        return _last_size(self.session)

    def run(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the features of images."""
        rows = compute_features(self.session, self.network_input.scale(pixels))
        return rows if self.columns is None else np.ascontiguousarray(rows[:, self.columns])


def compute_features(session: Session, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a backbone on scaled images, and check that it gives one row of features for each."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or not outputs:
        raise ModelFileError(
            f"{session.name} takes {len(inputs)} inputs and gives {len(outputs)} outputs; one "
            "input was expected, the images, and one output, their features."
        )
    found = session.run([outputs[0].name], {inputs[0].name: scaled})[0]
    shape = getattr(found, "shape", ())
    if shape[:1] != scaled.shape[:1] or 0 in shape or found.dtype.kind not in "fiu":
        raise ModelFileError(
            f"{session.name} gives {outputs[0].type} of shape {shape} for {len(scaled)} images; "
            "one row of numbers for each was expected."
        )
    rows: NDArray[np.float32] = found.reshape(len(scaled), -1).astype(np.float32, copy=False)
    return rows


def _last_size(session: Session) -> Any:
    """Return the last dimension of the first output, if there is any."""
    outputs = session.get_outputs()
    return outputs[0].shape[-1] if outputs and outputs[0].shape else 0


def open_backbone(reference: BackboneReference, beside: Path, *, n_threads: int = 1) -> BackboneRun:
    """Find the backbone of a head, check it, and prepare its features."""
    content = reference.read(beside)
    session = make_session(content, reference.name, n_threads=n_threads)
    text = session.get_modelmeta().custom_metadata_map.get(BACKBONE_KEY, "{}")
    known, pool = layers_of_record(Fields.from_json(text, reference.name))
    columns = None
    if reference.layers is not None and known is not None and pool is not None:
        columns = find_columns(reference, known, pool, _last_size(session))
    if is_dynamic(content) or (reference.layers is not None and columns is None):
        from detectorkit.graph.layers import feature_content

        content = feature_content(
            content, reference.layers, reference.pool, reference.network_input, reference.name
        )
        session = make_session(content, reference.name, n_threads=n_threads)
        columns = None
    return BackboneRun(content, reference.network_input, columns, session)


def find_columns(
    reference: BackboneReference, known: tuple[int, ...], pool: Pool, n_features: Any
) -> NDArray[np.intp] | None:
    """Return the places of a head's features among those of a file, or None if it lacks some."""
    order = [(one, part) for one in known for part in pool.split("+")]
    wanted = [
        (one, part) for one in reference.layers or () for part in str(reference.pool).split("+")
    ]
    if not set(wanted) <= set(order):
        return None
    if not isinstance(n_features, int) or n_features % len(order):
        raise ModelFileError(
            f"The backbone {reference.name!r} computes {n_features} features, which cannot be "
            f"those of the layers {list(known)} and pool={pool!r} of its record."
        )
    places = np.arange(n_features).reshape(len(order), -1)
    return np.concatenate([places[order.index(one)] for one in wanted])
