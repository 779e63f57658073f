"""Detectors as ONNX graphs: pixels to probability, with a record of everything else."""

import os

# Nothing of ours is imported here: running a graph needs its record, but not the onnx package.

# Otherwise onnxruntime, when it is imported, writes to the user's home and may send it. Whoever
# wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
