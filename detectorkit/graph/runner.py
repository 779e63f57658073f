"""Run saved graphs on images: the only place where images become scores.

scikit-learn is not imported here, so that a verdict on one image does not wait for it. Only graphs
that begin with features need it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.dynamic import is_dynamic
from detectorkit.graph.parts import Part, make_stack, open_parts
from detectorkit.graph.record import RECORD_KEY, ModelRecord
from detectorkit.graph.reference import BackboneRun, open_backbone
from detectorkit.graph.sessions import Session, make_session, read_model_file
from detectorkit.images.batches import (
    BATCH_SIZE,
    concatenate_batches,
    iter_slices,
    map_batches,
)
from detectorkit.images.levels import to_levels
from detectorkit.images.preprocessing import Image
from detectorkit.images.sequence import ImageSequence, stack_images
from detectorkit.utils.parallel import count_threads, map_in_order

__all__ = ["GraphRunner", "make_session", "read_record", "threads_of_run"]

_INPUTS: Final = {"pixels": "tensor(uint8)", "features": "tensor(float)"}
_OUTPUTS: Final = ("score", "probability")
_RUN_SIZE: Final = 4  # images in one run of a graph, whose activations then fit into the cache
_NETWORK_BATCH: Final = 8  # images of a job; small jobs keep all cores busy to the end


class GraphRunner:
    """A graph with its record, ready to score images.

    Attributes
    ----------
    content : bytes
        Content of the ONNX file.
    name : str
        Name of the model in error messages.
    record : ModelRecord
        Record of the model; `record.decision` turns scores into verdicts.

    Notes
    -----
    Sessions cannot be pickled, so an unpickled runner makes its own when it first needs one.
    """

    _parts: tuple[Part, ...] = ()  # inputs of the graph, if there are several

    def __init__(self, content: bytes, name: str = "model", *, n_threads: int = 1) -> None:
        session = make_session(content, name, n_threads=n_threads)
        text = session.get_modelmeta().custom_metadata_map.get(RECORD_KEY)
        if text is None:
            raise ModelFileError(
                f"{name} has no detectorkit record, so how to prepare images for it is unknown. "
                "Use a file that `save` or `detectorkit train` wrote, or say how by "
                "`preprocessing`."
            )
        self.content = content
        self.name = name
        self.record = ModelRecord.from_json(text, name)
        if self.record.run_size is None and is_dynamic(content):
            self.record = replace(self.record, run_size=1)
        self._sessions = {(n_threads, np.dtype(np.uint8)): session}
        self._lock = threading.Lock()
        self._stack: Any = None  # computes the features, if the graph begins with them
        self._backbones: dict[int, BackboneRun] = {}  # compute them, by their number of threads
        _check_outputs(session, name)
        self._parts = open_parts(session, self.record, name)
        if self._parts:
            return
        _check_form(session, self.record, name)
        if self.record.backbone is not None:
            self._check_backbone(session.get_inputs()[0].shape[1], n_threads)
        elif session.get_inputs()[0].name == "features":
            self._stack = make_stack(self.record, name)

    @classmethod
    def from_file(cls, path: str | PathLike[str], *, n_threads: int = 1) -> Self:
        """Read a saved detector."""
        return cls(read_model_file(path), fspath(path), n_threads=n_threads)

    @property
    def graph_input(self) -> str:
        """Name of the input of the whole graph, joined with its backbone."""
        return "pixels" if self._stack is None else "features"

    def score(self, images: ImageSequence, *, n_jobs: int | None = None) -> NDArray[np.float64]:
        """Compute the scores of images."""
        is_network = self._stack is None and not self.record.features
        n_threads = threads_of_run(len(images), n_jobs) if is_network else 1
        if n_threads > 1:
            n_jobs = 1
        batches: Iterator[NDArray[Any]]
        if self._parts:
            slices = (images[part] for part in iter_slices(len(images), _NETWORK_BATCH))
            run_parts = partial(self._run_parts, n_threads=n_threads)
            batches = map_in_order(run_parts, slices, n_jobs=n_jobs)
        else:
            size = _NETWORK_BATCH if is_network else BATCH_SIZE
            function = partial(self._run, n_threads=n_threads)
            taken = self.record.preprocessing
            batches = map_batches(function, images, taken, n_jobs=n_jobs, batch_size=size)
        scores = concatenate_batches(batches, len(images)).astype(np.float64)
        self._check_finite(scores, images.items)
        return scores

    def score_prepared(self, images: Sequence[Image], names: Sequence[str]) -> NDArray[np.float64]:
        """Compute the scores of images that were read with the preprocessing of the record."""
        if self._parts:
            batches = [self._run_parts(ImageSequence(images), n_threads=1)]
        else:
            batches = [self._run(batch, n_threads=1) for batch in stack_images(images)]
        scores = np.concatenate([np.empty(0), *batches])
        self._check_finite(scores, names)
        return scores

    def _check_finite(
        self, scores: NDArray[np.float64], items: Sequence[Any] | NDArray[Any]
    ) -> None:
        """Refuse scores that are not finite, since every comparison with NaN would mean "real"."""
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            item = items[int(wrong[0])]
            which = f", {fspath(item)}" if isinstance(item, str | PathLike) else ""
            raise ModelFileError(
                f"{self.name} gives a score of {scores[wrong[0]]} for image {wrong[0]}{which}; "
                "so it cannot be classified. The model, not the image, is at fault."
            )

    def _run(self, batch: NDArray[Any], *, n_threads: int) -> NDArray[np.float32]:
        """Compute the scores of a batch of images."""
        if self._stack is not None:
            session = self._get_session(n_threads, np.dtype(np.uint8))
            try:
                rows = self._stack.describe(batch, session.get_inputs()[0].shape[1])
            except ValueError as error:  # another number of features than the graph takes
                raise ModelFileError(f"{self.name} cannot be run: {error}") from error
            return self._run_once(session, {"features": rows})
        n_images, pixels = len(batch), batch
        if self.record.preprocessing.n_crops is not None:
            pixels = batch.reshape(-1, *batch.shape[2:])
        has_backbone = self.record.backbone is not None
        start = "features" if has_backbone else "pixels"
        session = self._get_session(n_threads, np.dtype(np.uint8) if has_backbone else pixels.dtype)
        pixels = to_levels(pixels)
        parts = []
        for part in iter_slices(len(pixels), self.record.run_size or _RUN_SIZE):
            rows = pixels[part]
            if has_backbone:
                rows = self._get_backbone(n_threads).run(rows)
            parts.append(self._run_once(session, {start: rows}))
        mean: NDArray[np.float32] = np.concatenate(parts).reshape(n_images, -1).mean(axis=1)
        return mean

    def _run_parts(self, images: ImageSequence, *, n_threads: int) -> NDArray[np.float32]:
        """Decode each image once, prepare it for each input, and run the graph."""
        session = self._get_session(n_threads, np.dtype(np.uint8))
        # The crops of an image need not be as many as those of the next.
        has_crops = any(part.preprocessing.n_crops is not None for part in self._parts)
        scores = [np.empty(0, np.float32)]
        for run in iter_slices(len(images), 1 if has_crops else self.record.run_size or _RUN_SIZE):
            whole = self.record.preprocessing
            decoded = [images.read(index, whole) for index in range(run.start, run.stop)]
            some = ImageSequence(decoded)  # the treatments of the members are yet to come
            try:
                feeds = {part.name: part.prepare(some) for part in self._parts}
            except ValueError as error:  # another number of features than the graph takes
                raise ModelFileError(f"{self.name} cannot be run: {error}") from error
            scores.append(self._run_once(session, feeds))
        return np.concatenate(scores)

    def _run_once(self, session: Session, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Run the graph once and check the scores, since the graph may come from anywhere."""
        scores: NDArray[np.float32] = session.run(["score"], feeds)[0]
        n = len(next(iter(feeds.values())))
        if scores.shape != (n,):
            raise ModelFileError(
                f"{self.name} gives scores of shape {scores.shape} for {n} images; "
                f"({n},) was expected."
            )
        return scores

    def _get_session(self, n_threads: int, dtype: np.dtype[Any]) -> Session:
        key = (n_threads, dtype)
        with self._lock:  # threads that need the same session make it once
            if key not in self._sessions:
                content = self.content if dtype == np.uint8 else _with_float_pixels(self.content)
                self._sessions[key] = make_session(content, self.name, n_threads=n_threads)
            return self._sessions[key]

    def _get_backbone(self, n_threads: int) -> BackboneRun:
        reference = self.record.backbone
        if reference is None:
            raise ModelFileError(f"{self.name} does not refer to a backbone.")
        with self._lock:
            if n_threads not in self._backbones:
                self._backbones.clear()  # a session may take 200 MB, and one is used at a time
                beside = Path(self.name).parent
                self._backbones[n_threads] = open_backbone(reference, beside, n_threads=n_threads)
            return self._backbones[n_threads]

    def _check_backbone(self, n_features: int, n_threads: int) -> None:
        """Check that the backbone computes as many features as the graph takes."""
        found = self._get_backbone(n_threads).n_features
        if found != n_features:
            raise ModelFileError(
                f"{self.name} takes {n_features} features, but its backbone computes {found}."
            )

    def joined(self) -> bytes:
        """Return the whole graph from pixels, also where this one begins with features."""
        if self.record.backbone is None:
            return self.content
        from onnx import load_model_from_string

        from detectorkit.graph.networks import join_head

        head = load_model_from_string(self.content)
        whole = join_head(head, self._get_backbone(1), self.record)
        content: bytes = whole.SerializeToString()
        return content

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_sessions": {}, "_backbones": {}}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock = threading.Lock()


def read_record(path: str | PathLike[str]) -> ModelRecord:
    """Read the record of a saved detector, and nothing else of it."""
    session = make_session(read_model_file(path), fspath(path))
    text = session.get_modelmeta().custom_metadata_map.get(RECORD_KEY, "")
    return ModelRecord.from_json(text, fspath(path))


def threads_of_run(n_images: int, n_jobs: int | None) -> int:
    """Return the number of threads that work on one run of a network together."""
    nobody_says_more = n_jobs is None and "joblib" not in sys.modules  # no `parallel_config`
    if n_images > _NETWORK_BATCH or nobody_says_more:
        return 1
    return count_threads(n_jobs)


def _with_float_pixels(content: bytes) -> bytes:
    """Copy a graph so that it takes floats, for images whose values are not whole levels."""
    from onnx import TensorProto, load_model_from_string

    model = load_model_from_string(content)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    changed: bytes = model.SerializeToString()
    return changed


def _check_outputs(session: Session, name: str) -> None:
    """Check that a graph has the outputs of a detector."""
    outputs = {one.name: one for one in session.get_outputs()}
    for output in _OUTPUTS:
        found = outputs.get(output)
        if found is None or found.type != "tensor(float)" or len(found.shape) != 1:
            raise ModelFileError(
                f"{name} gives {[(one.name, one.type, one.shape) for one in outputs.values()]}; "
                f"an output {output!r} was expected, one float32 for each image."
            )


def _check_form(session: Session, record: ModelRecord, name: str) -> None:
    """Check that the only input of a graph has the form that fits its record."""
    inputs = [(one.name, one.type) for one in session.get_inputs()]
    if len(inputs) != 1 or inputs[0] not in _INPUTS.items():
        raise ModelFileError(
            f"{name} takes {inputs}; one input was expected, 'pixels' of uint8 or 'features' of "
            "float32."
        )
    shape = session.get_inputs()[0].shape
    if record.backbone is not None and inputs[0][0] == "pixels":
        raise ModelFileError(
            f"{name}: the record is damaged: backbone is an object, but the graph takes pixels."
        )
    if inputs[0][0] == "features":
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise ModelFileError(f"{name} takes features of shape {shape}; expected (n, number).")
        if record.backbone is None:
            return
        shape = [None, *record.preprocessing.array_shape]
    if record.preprocessing.image_size is None:
        raise ModelFileError(
            f"{name}: the record is damaged: preprocessing.image_size is null, but the graph takes "
            "pixels."
        )
    wanted = (record.run_size, *record.preprocessing.array_shape)
    if len(shape) != len(wanted) or any(
        isinstance(found, int) and found != size for found, size in zip(shape, wanted, strict=True)
    ):
        raise ModelFileError(
            f"{name} takes pixels of shape {shape}, but its record prepares images of "
            f"{wanted[1:]}, {record.run_size or 'any number'} at a time."
        )
