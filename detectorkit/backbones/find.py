"""Search for a backbone by name or path; it is exported if the extra "train" has its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.backbones.registry import how_to_get
from detectorkit.backbones.store import Backbone

if TYPE_CHECKING:
    pass
import os
from pathlib import Path

from detectorkit.backbones.registry import REGISTRY
from detectorkit.backbones.store import installed_backbones, read_backbone
from detectorkit.exceptions import BackboneNotFoundError
from detectorkit.graph.inputs import NetworkInput

__all__ = ["find_backbone"]


def find_backbone(
    name: str | os.PathLike[str],
    network_input: NetworkInput | None = None,
    *,
    image_size: tuple[int, int] | None = None,
) -> Backbone:
    """Find a backbone by its name or path and read it.

    Parameters
    ----------
    name : str or Path
        Name in `REGISTRY`, other name of an installed backbone, or path of an ONNX file.
    network_input : NetworkInput, default=None
        Size, colours and scaling of the images. None takes those in the file.
    image_size : tuple of (int, int), default=None
        Height and width of the images. None takes the size in the file. Only backbones whose
        weights come with the extra "train" are available in other sizes.

    Returns
    -------
    backbone : Backbone
        Content of the file and its record.

    Raises
    ------
    BackboneNotFoundError
        If the backbone is not installed. The message says how to install it.
    ModelFileError
        If the file is not a backbone.
    ValueError
        If the backbone takes images of another size than `image_size`.
    """
    as_path, known = Path(name), os.fspath(name)
    is_file = as_path.suffix == ".onnx" and as_path.exists()
    entry = REGISTRY.get(known)
    if entry is not None and image_size not in {None, entry.network_input.image_size}:
        known = "{}-{}x{}".format(known, *image_size)
    path = as_path if is_file else installed_backbones().get(known)
    if path is None:
        if entry is None or not entry.comes_with_extra:
            raise BackboneNotFoundError(known, how_to_get(os.fspath(name), image_size))
        from detectorkit.backbones.exporting import export_checkpoint

        path = export_checkpoint(entry.name, image_size=image_size)
    backbone = read_backbone(path, network_input)
    if image_size not in {None, backbone.network_input.image_size}:
        raise ValueError(
            f"The backbone {os.fspath(name)!r} takes images of "
            f"{backbone.network_input.image_size}, not image_size={image_size}. Leave "
            "image_size=None."
        )
    return backbone
