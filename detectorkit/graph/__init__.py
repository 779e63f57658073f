"""Detectors as ONNX graphs: pixels to probability, with a record of everything else."""

from detectorkit.graph.hog import hog_svm_graph
from detectorkit.graph.record import ModelRecord

__all__ = ["ModelRecord", "hog_svm_graph"]
