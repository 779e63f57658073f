"""Train networks with torch (extra "train"); the trained ONNX models work without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectorkit.utils.extras import require_extra
from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.training.augmentation import Augmentation
    from detectorkit.training.file_changes import FileChanges
    from detectorkit.training.pairs import TinyAutoencoder, make_pairs

__all__ = ["Augmentation", "FileChanges", "TinyAutoencoder", "make_pairs"]

_HOME_OF = {
    "Augmentation": "detectorkit.training.augmentation",
    "FileChanges": "detectorkit.training.file_changes",
    "TinyAutoencoder": "detectorkit.training.pairs",
    "make_pairs": "detectorkit.training.pairs",
}

_import, __dir__ = lazy_names(__name__, _HOME_OF)


def __getattr__(name: str) -> Any:
    if _HOME_OF.get(name) == "detectorkit.training.pairs":  # written with torch
        require_extra("train", "torch", caller=name)
    return _import(name)
