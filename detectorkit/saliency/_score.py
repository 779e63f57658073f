"""The score of a detector with its gradient, by onnxruntime."""

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

__all__ = ["ScoreGradient", "content_of", "score_gradient"]

_RUN_SIZE: Final = 4  # images in one run; the activations of all stay in memory on the way back


def content_of(detector: Any) -> bytes:
    """Give a detector as the content of an ONNX file.

    Parameters
    ----------
    detector : estimator
        Fitted.

    Returns
    -------
    content : bytes
        The content.

    Raises
    ------
    ModelFileError
        If it has none; the message names a way that needs none.
    """
    known: bytes | None = getattr(detector, "onnx_model_", None)
    if known is not None:
        return known
    if not hasattr(detector, "to_onnx"):
        raise ModelFileError(
            f"{type(detector).__name__} is no graph, so it has no gradient here. Use "
            "OcclusionSaliency, which needs predictions only."
        )
    content: bytes = detector.to_onnx().SerializeToString()
    return content


@dataclass(frozen=True)
class ScoreGradient:
    """A session that gives the score and its gradient.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        Of the graph that `gradient_graph` makes.
    record : ModelRecord
        What the detector says of itself.
    scale : float
        What the session's gradient is multiplied by.
    """

    session: Any
    record: ModelRecord
    scale: float

    def read(self, images: ImageSequence, index: int) -> NDArray[np.float32]:
        """Read an image as the detector sees it.

        Parameters
        ----------
        images : ImageSequence
            The images.
        index : int
            Which.

        Returns
        -------
        pixels : ndarray of shape (n, height, width) or (n, height, width, 3), dtype float32
            Levels from 0 to 255; n is 1, or the number of crops.
        """
        return read_pixels(images, index, self.record.preprocessing)

    def run(self, pixels: NDArray[np.float32], *outputs: str) -> list[NDArray[np.float32]]:
        """Compute outputs for any number of images.

        Parameters
        ----------
        pixels : ndarray of shape (n, height, width) or (n, height, width, 3), dtype float32
            Levels from 0 to 255.
        *outputs : str
            Names of the outputs: "score", "gradient", "activation".

        Returns
        -------
        found : list of ndarray
            Each of length n. A gradient by the pixels is that by pixels whose range is 0 to 1.
        """
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
    """Make the gradient of a detector's score.

    Parameters
    ----------
    detector : estimator
        Fitted.
    kept : Kept
        Where it is kept until the detector is another one.
    wrt : str, default=None
        The tensor by which the score is differentiated; None takes the pixels.
    n_jobs : int, default=None
        Threads that work on one run together.

    Returns
    -------
    gradient : ScoreGradient
        Ready to run.

    Raises
    ------
    ModelFileError
        If it is no graph from pixels to a score, or has an operator without a gradient.
    """
    from joblib import effective_n_jobs

    name = type(detector).__name__
    return kept.make(_make, content_of(detector), wrt, effective_n_jobs(n_jobs), name)


def _make(content: bytes, wrt: str | None, n_threads: int, name: str) -> ScoreGradient:
    model = gradient_graph(content, wrt=wrt, name=name)
    session = make_session(model.SerializeToString(), name, n_threads=n_threads)
    # Pixels are levels in the graph, and from 0 to 1 for everyone else.
    return ScoreGradient(session, record_of(session), 255.0 if wrt is None else 1.0)
