"""Detectors as ONNX graphs: pixels to probability, with a record of everything else."""

# Nothing is imported here: running a graph needs its record, but not the onnx package.
