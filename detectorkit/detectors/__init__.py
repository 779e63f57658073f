"""Detectors: classifiers that take images and say which were generated."""

from detectorkit.detectors.hog_svm import HoGSVMDetector
from detectorkit.detectors.onnx import OnnxDetector, load_detector

__all__ = ["HoGSVMDetector", "OnnxDetector", "load_detector"]
