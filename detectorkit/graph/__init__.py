"""Detectors as ONNX graphs: pixels to probability, with a record of everything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.graph.converters import register_converters
    from detectorkit.graph.pipelines import export_pipeline

# Imported when first used: running a graph needs its record, but not the onnx package.
__all__ = ["export_pipeline", "register_converters"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "export_pipeline": "detectorkit.graph.pipelines",
        "register_converters": "detectorkit.graph.converters",
    },
)

# Otherwise onnxruntime, when it is imported, writes to the user's home and may send it. Whoever
# wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
