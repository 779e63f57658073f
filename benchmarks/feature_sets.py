"""The features that are measured, by name: what is fast and what is accurate is the same thing.

Each is made when it is asked for, and none is imported before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["DETECTORS", "FEATURES"]

HOG = {
    "image_size": (256, 256),
    "orientations": 12,
    "pixels_per_cell": (8, 8),
    "cells_per_block": (1, 1),
    "block_norm": "L2",
}
PIXEL_FAMILIES = {
    "block-dct": "BlockDCTTransformer",
    "spectrum": "RadialSpectrumTransformer",
    "smoothness": "SmoothnessTransformer",
    "lbp": "LBPTransformer",
    "residual": "ResidualTransformer",
}


def _factory(module: str, name: str, **parameters: Any) -> Callable[[], Any]:
    return lambda: getattr(import_module(module), name)(**parameters)


FEATURES: dict[str, Callable[[], Any]] = {
    "hog": _factory("detectorkit.features", "HoGTransformer", **HOG)
}
"""Transformers; those of pixels in grey and, with "-ycbcr", on luma and colour differences."""

for family, transformer in PIXEL_FAMILIES.items():
    FEATURES[family] = _factory("detectorkit.features", transformer, color_space="gray")
    FEATURES[f"{family}-ycbcr"] = _factory("detectorkit.features", transformer, color_space="ycbcr")

# As they are in ForensicDetector.
for space in ("gray", "ycbcr"):
    FEATURES["lbp-grid" + "-ycbcr" * (space == "ycbcr")] = _factory(
        "detectorkit.features", "LBPTransformer", radius=2, grid=(12, 12), color_space=space
    )

DETECTORS: dict[str, Callable[[], Any]] = {
    "forensic": _factory("detectorkit", "ForensicDetector", random_state=0)
}
"""Detectors that are made of several of them."""
