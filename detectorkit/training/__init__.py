"""Training networks with torch (extra "train"); the result is ONNX, which needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectorkit.training.augmentation import Augmentation
    from detectorkit.training.pairs import TinyAutoencoder, make_pairs

__all__ = ["Augmentation", "TinyAutoencoder", "make_pairs"]

_HOME_OF = {
    "Augmentation": "detectorkit.training.augmentation",
    "TinyAutoencoder": "detectorkit.training.pairs",
    "make_pairs": "detectorkit.training.pairs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'detectorkit.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
