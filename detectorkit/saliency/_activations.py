"""Activations of the layers between pixels and score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import make_session
from detectorkit.images.batches import iter_slices
from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._base import read_pixels, record_of
from detectorkit.saliency._kept import Kept
from detectorkit.saliency._score import content_of
from detectorkit.utils.parallel import count_threads

__all__ = ["LayerRun", "channel_maps", "check_whole_images", "layer_run"]

_RUN_SIZE: Final = 4  # images in one run, as in all graphs of this library
_RECTIFIERS: Final = {"Relu", "Clip"}  # ReLU6 is a clip; one that goes below 0 shows when it runs


@dataclass(frozen=True)
class LayerRun:
    """A session that computes the activations of a layer.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        Session of a graph from "pixels", as float32 levels, to the layer.
    record : ModelRecord
        Record in the metadata of the detector's graph.
    layer : str
        Name of the tensor that is the layer.
    shape : tuple of (int, int, int)
        Channels, height and width of the activations of an image.
    rectified : tuple of str
        Names of the tensors of this form that come after a ReLU, in the order of computation.
    """

    session: Any
    record: ModelRecord
    layer: str
    shape: tuple[int, int, int]
    rectified: tuple[str, ...]

    def batches(self, images: ImageSequence, *, caller: str) -> Iterator[NDArray[np.float32]]:
        """Run the network on images, a few at a time."""
        for part in iter_slices(len(images), self.record.run_size or _RUN_SIZE):
            batch = images[part]
            pixels = [
                read_pixels(batch, index, self.record.preprocessing) for index in range(len(batch))
            ]
            found = self.session.run([self.layer], {"pixels": np.concatenate(pixels)})
            # Networks in half precision are explained in single precision, as their gradients are.
            activations = np.moveaxis(found[0], 1, 3).astype(np.float32, copy=False)
            if activations.min() < 0:
                raise ValueError(
                    f"{caller}: layer={self.layer!r} has negative activations, which cannot be "
                    f"sums of concepts. {_choose(self.rectified)}"
                )
            yield activations


def layer_run(
    detector: Any, kept: Kept, layer: str | None, *, caller: str, n_jobs: int | None = None
) -> LayerRun:
    """Prepare a session that computes the activations of a layer."""
    name = type(detector).__name__
    n_threads = count_threads(n_jobs)
    return kept.make(_make, content_of(detector), layer, n_threads, name, caller)


def channel_maps(content: bytes, name: str) -> dict[str, tuple[int, int, int]]:
    """List the layers whose activations are maps."""
    from detectorkit.graph.gradients import tensor_shapes

    return {
        tensor: (shape[0], shape[1], shape[2])
        for tensor, shape in tensor_shapes(content, name).items()
        if len(shape) == 3 and min(shape[1:]) > 1
    }


def _make(content: bytes, layer: str | None, n_threads: int, name: str, caller: str) -> LayerRun:
    import onnx

    from detectorkit.graph.builder import expose_tensors

    shapes = channel_maps(content, name)
    model = onnx.load_model_from_string(content)
    outputs = [node.output[0] for node in model.graph.node if node.op_type in _RECTIFIERS]
    rectified = tuple(one for one in outputs if one in shapes)
    chosen = layer if layer is not None else next(reversed(rectified), None)
    if chosen not in shapes:
        raise ValueError(
            f"{caller}: layer={layer!r}, but {name} has no such tensor of shape (n, channels, "
            f"height, width) with height and width above 1. {_choose(rectified)}"
        )
    exposed = expose_tensors(model, [chosen]).SerializeToString()
    session = make_session(exposed, name, n_threads=n_threads)
    record = record_of(session)
    check_whole_images(record, caller)
    return LayerRun(session, record, chosen, shapes[chosen], rectified)


def _choose(rectified: tuple[str, ...]) -> str:
    if not rectified:
        return "No tensor of this detector comes after a ReLU, so it needs another detector."
    return "After a ReLU there are: " + ", ".join(map(repr, rectified)) + "."


def check_whole_images(record: ModelRecord, caller: str) -> None:
    """Check that a detector takes whole images, not crops."""
    n_crops = record.preprocessing.n_crops
    if n_crops is not None:
        raise ModelFileError(
            f"{caller}: the detector takes n_crops={n_crops} crops of each image, but places "
            "in whole images are compared here. Use a detector with n_crops=None."
        )
