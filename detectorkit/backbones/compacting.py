"""Writing of backbones as small files, to which heads may refer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.backbones.find import find_backbone
from detectorkit.backbones.store import Backbone, take_layers, write_backbone
from detectorkit.graph.reference import Pool
from detectorkit.images.batches import iter_slices
from detectorkit.images.levels import to_levels
from detectorkit.images.sequence import check_images
from detectorkit.images.treatment import Treatment

if TYPE_CHECKING:
    from detectorkit.graph.compact import PackedMatrix

__all__ = ["write_compact"]

_RUN_SIZE: Final = 4


def write_compact(
    backbone: str | os.PathLike[str],
    output: Path,
    *,
    layers: Sequence[int] | None = None,
    pool: Pool | None = None,
    matrices: Mapping[str, PackedMatrix] | None = None,
    bits: int = 4,
    block_size: int = 64,
    calibration: Any = None,
    treatment: Treatment | None = None,
    token_weight: float = 30.0,
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
        rounded here.
    bits : {4, 8}, default=4
        Number of bits of the weights that are rounded here.
    block_size : int, default=64
        Number of inputs that have a common scale in 4 bits.
    calibration : ndarray or sequence, default=None
        Varied images, as arrays or paths, by which errors of rounding are compensated. None rounds
        each weight to the nearest level.
    treatment : Treatment or None, default=None
        Treatment of these images, best that of the heads. None takes them as they are.
    token_weight : float, default=30.0
        Weight of the class token among the tokens of these images, if it is one of the features.

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

    With `calibration`, matrices are rounded in the order of computation by `round_by_moments`, each
    for the inputs that it gets from the network as it is rounded so far. This needs one run of the
    network on all the images, and memory for inputs of one level, some 4 MB per image for CLIP.
    """
    from onnx import load_model_from_string

    from detectorkit.backbones.calibrating import round_network
    from detectorkit.graph.compact import pack_weights
    from detectorkit.graph.layers import has_class_token

    found = find_backbone(backbone)
    whole = found.content
    if layers is not None:
        found = take_layers(found, layers, pool)
    model = load_model_from_string(found.content)
    form: dict[str, Any] = {"bits": bits, "block_size": block_size}
    if calibration is not None:
        uses_token = (found.reference is None or found.reference.pool != "mean") and (
            has_class_token(load_model_from_string(whole), found.network_input)
        )
        matrices = round_network(
            model,
            _scaled_batches(found, calibration, treatment),
            token_weight=token_weight if uses_token else 1.0,
            matrices=matrices,
            **form,
        )
    model = pack_weights(model, matrices, **form)
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


def _scaled_batches(
    backbone: Backbone, X: Any, treatment: Treatment | None
) -> Iterator[NDArray[np.float32]]:
    """Yield batches of images in the form that a backbone takes."""
    images = check_images(X, caller="write_compact")
    taken = replace(backbone.network_input, n_crops=None, treatment=treatment)
    for part in iter_slices(len(images), backbone.run_size or _RUN_SIZE):
        for pixels in images[part].read_stacked(taken.preprocessing):
            yield taken.scale(to_levels(pixels))
