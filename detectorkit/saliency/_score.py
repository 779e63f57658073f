"""The score of a detector and its gradient, computed by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.gradients import gradient_graph
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.runner import make_session
from detectorkit.images.batches import iter_slices
from detectorkit.images.sequence import ImageSequence
from detectorkit.saliency._base import read_pixels, record_of
from detectorkit.saliency._kept import Kept
from detectorkit.utils.parallel import count_threads

__all__ = ["ScoreGradient", "content_of", "score_gradient"]

_RUN_SIZE: Final = 4  # images in one run; the activations of all stay in memory on the way back


def content_of(detector: Any) -> bytes:
    """Return a detector as the content of an ONNX file."""
    known: bytes | None = getattr(detector, "onnx_model_", None)
    if known is not None and detector.record_.backbone is None:
        return known
    if not hasattr(detector, "to_onnx"):
        raise ModelFileError(
            f"{type(detector).__name__} is not a graph, so its gradient cannot be computed. "
            "Use OcclusionSaliency, which needs predictions only."
        )
    content: bytes = detector.to_onnx().SerializeToString()
    return content


@dataclass(frozen=True)
class ScoreGradient:
    """A session that computes the score and its gradient.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        Session of a graph made by `gradient_graph`.
    record : ModelRecord
        Record in the metadata of the detector's graph.
    scale : float
        Factor by which the session's gradient is multiplied.
    """

    session: Any
    record: ModelRecord
    scale: float

    def read(self, images: ImageSequence, index: int) -> NDArray[np.float32]:
        """Read an image in the form that the detector takes."""
        return read_pixels(images, index, self.record.preprocessing)

    def run(self, pixels: NDArray[np.float32], *outputs: str) -> list[NDArray[np.float32]]:
        """Compute outputs for any number of images."""
        names = outputs or ("score", "gradient")
        parts = [
            self.session.run(list(names), {"pixels": pixels[part]})
            for part in iter_slices(len(pixels), self.record.run_size or _RUN_SIZE)
        ]
        found = [np.concatenate(column) for column in zip(*parts, strict=True)]
        if "gradient" in names:
            found[names.index("gradient")] *= np.float32(self.scale)
        return found


def score_gradient(
    detector: Any, kept: Kept, *, wrt: str | None = None, n_jobs: int | None = None
) -> ScoreGradient:
    """Prepare a session that computes the gradient of a detector's score."""
    name = type(detector).__name__
    return kept.make(_make, content_of(detector), wrt, count_threads(n_jobs), name)


def _make(content: bytes, wrt: str | None, n_threads: int, name: str) -> ScoreGradient:
    model = gradient_graph(content, wrt=wrt, name=name)
    session = make_session(model.SerializeToString(), name, n_threads=n_threads)
    # Pixels are levels in the graph, and from 0 to 1 for everyone else.
    return ScoreGradient(session, record_of(session), 255.0 if wrt is None else 1.0)
