"""Writing of backbones as small files, to which heads may refer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detectorkit.backbones.find import find_backbone
from detectorkit.backbones.store import take_layers, write_backbone
from detectorkit.graph.reference import Pool

if TYPE_CHECKING:
    from detectorkit.graph.compact import PackedMatrix

__all__ = ["write_compact"]


def write_compact(
    backbone: str | os.PathLike[str],
    output: Path,
    *,
    layers: Sequence[int] | None = None,
    pool: Pool | None = None,
    matrices: Mapping[str, PackedMatrix] | None = None,
    bits: int = 4,
    block_size: int = 64,
) -> Path:
    """Write a backbone with weights of few bits and only the layers that are used.

    Parameters
    ----------
    backbone : str or Path
        Name of an installed backbone, or path of an ONNX file.
    output : Path
        File to write. Its name, without the suffix, is that of the new backbone.
    layers : sequence of int, default=None
        Numbers of the layers whose features are kept. None keeps the output of the network.
    pool : {"cls", "mean", "cls+mean"}, default=None
        Features of each layer. None means the class token if there is one.
    matrices : mapping of str to PackedMatrix, default=None
        Matrices that were rounded elsewhere, by the names of their MatMul nodes. All others are
        rounded to the nearest level.
    bits : {4, 8}, default=4
        Number of bits of the weights that are rounded here.
    block_size : int, default=64
        Number of inputs that have a common scale in 4 bits.

    Returns
    -------
    path : Path
        The file that was written.

    Raises
    ------
    BackboneNotFoundError
        If the backbone is not installed.
    ModelFileError
        If the network does not have these layers.
    ValueError
        If `matrices` has names or shapes that do not fit the network.

    Notes
    -----
    Arithmetic is float32: matrices of 4 bits are unpacked block by block while they are multiplied,
    by the operator `MatMulNBits` of onnxruntime, and those of 8 bits once, when the file is loaded.
    The other large weights become 16-bit floats. A head that was fitted on some of the layers of
    the file finds them by its record.
    """
    from onnx import load_model_from_string

    from detectorkit.graph.compact import pack_weights

    found = find_backbone(backbone)
    if layers is not None:
        found = take_layers(found, layers, pool)
    model = pack_weights(
        load_model_from_string(found.content), matrices, bits=bits, block_size=block_size
    )
    # Stages of convolutions have different widths, so heads cannot take some of the columns.
    are_stages = any(node.op_type == "GlobalAveragePool" for node in model.graph.node)
    known = None if are_stages else found.reference
    return write_backbone(
        model,
        output.stem,
        found.network_input,
        licence=found.licence,
        source=found.source,
        checksum=found.sha256,
        run_size=found.run_size,
        layers=None if known is None else known.layers,
        pool=None if known is None else known.pool,
        output=output,
    )
