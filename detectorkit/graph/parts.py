"""Inputs of the graph of an ensemble whose members begin with different pixels or features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ModelFileError
from detectorkit.graph.record import ModelRecord
from detectorkit.graph.sessions import Session
from detectorkit.images.levels import round_to_levels
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence

__all__ = ["Part", "make_stack", "open_parts"]


@dataclass(frozen=True)
class Part:
    """One input of a graph, and how an image is prepared for it.

    Attributes
    ----------
    name : str
        Name of the input.
    preprocessing : Preprocessing
        Preparation of the image.
    stack : FeatureStack or None
        Features that are computed from the image; None for an input of pixels.
    n_features : int
        Number of the features.
    """

    name: str
    preprocessing: Preprocessing
    stack: Any = None
    n_features: int = 0

    def prepare(self, images: ImageSequence) -> NDArray[Any]:
        """Prepare decoded images for this input."""
        batches = list(images.read_stacked(self.preprocessing))
        if self.stack is not None:
            rows = [self.stack.describe(batch, self.n_features) for batch in batches]
            return np.concatenate(rows)
        return round_to_levels(np.concatenate(batches))


def open_parts(session: Session, record: ModelRecord, name: str) -> tuple[Part, ...]:
    """Check the inputs of an ensemble's graph; none if it has a single one like other detectors."""
    wanted = {member.input: member.record for member in record.members}
    if wanted.keys() in ({"pixels"}, {"features"}, set()):
        return ()
    found = {one.name: one for one in session.get_inputs()}
    if found.keys() != wanted.keys():
        raise ModelFileError(
            f"{name} takes {sorted(found)}, but its record has members with the inputs "
            f"{sorted(wanted)}."
        )
    return tuple(_open_part(found[start], part, name) for start, part in wanted.items())


def _open_part(found: Any, record: ModelRecord, name: str) -> Part:
    """Check one input, and make the stack that computes its features."""
    preprocessing = record.preprocessing
    if found.name.startswith("features"):
        if found.type != "tensor(float)" or not isinstance(found.shape[-1], int):
            raise ModelFileError(
                f"{name} takes {found.name!r} of shape {found.shape}; expected (n, number)."
            )
        return Part(found.name, preprocessing, make_stack(record, name), found.shape[-1])
    crops = () if preprocessing.n_crops is None else (None,)
    shape = (*crops, *preprocessing.array_shape)
    is_sized = preprocessing.image_size is not None
    if found.type != "tensor(uint8)" or not is_sized or not _fits(found.shape, shape):
        raise ModelFileError(
            f"{name} takes {found.name!r} of shape {found.shape}, but the record of its member "
            f"prepares images of {preprocessing.array_shape}."
        )
    return Part(found.name, preprocessing)


def _fits(shape: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Return whether a shape has these sizes after the number of images; None allows any."""
    return len(shape) == len(wanted) + 1 and all(
        size == one or one is None or not isinstance(size, int)
        for size, one in zip(shape[1:], wanted, strict=True)
    )


def make_stack(record: ModelRecord, name: str) -> Any:
    """Make the stack that computes the features of a record."""
    from detectorkit.features.stack import FeatureStack

    if not record.features:
        raise ModelFileError(f"{name}: the record is damaged: features is empty.")
    try:
        return FeatureStack.from_record(record.features)
    except (TypeError, ValueError) as error:  # those of the transformers' own checks
        raise ModelFileError(f"{name}: the record is damaged: features: {error}") from error
