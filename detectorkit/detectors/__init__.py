"""Detectors: classifiers with scikit-learn's interface that take images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.detectors.backbone import BackboneDetector
    from detectorkit.detectors.cnn import CNNDetector
    from detectorkit.detectors.deit import DeiTDetector
    from detectorkit.detectors.ensemble import EnsembleDetector
    from detectorkit.detectors.forensic import ForensicDetector
    from detectorkit.detectors.hog_svm import HoGSVMDetector
    from detectorkit.detectors.onnx import OnnxDetector, load_detector
    from detectorkit.detectors.resnet import ResNetDetector

__all__ = [
    "BackboneDetector",
    "CNNDetector",
    "DeiTDetector",
    "EnsembleDetector",
    "ForensicDetector",
    "HoGSVMDetector",
    "OnnxDetector",
    "ResNetDetector",
    "load_detector",
]

_HOME_OF = {
    "BackboneDetector": "detectorkit.detectors.backbone",
    "CNNDetector": "detectorkit.detectors.cnn",
    "DeiTDetector": "detectorkit.detectors.deit",
    "EnsembleDetector": "detectorkit.detectors.ensemble",
    "ForensicDetector": "detectorkit.detectors.forensic",
    "HoGSVMDetector": "detectorkit.detectors.hog_svm",
    "OnnxDetector": "detectorkit.detectors.onnx",
    "ResNetDetector": "detectorkit.detectors.resnet",
    "load_detector": "detectorkit.detectors.onnx",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
