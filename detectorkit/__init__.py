"""Tell real photographs from AI-generated images, in scikit-learn style, on a CPU.

Names are imported when they are first used, so that ``import detectorkit`` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit._version import __version__
from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.detectors.backbone import BackboneDetector
    from detectorkit.detectors.cnn import CNNDetector
    from detectorkit.detectors.deit import DeiTDetector
    from detectorkit.detectors.forensic import ForensicDetector
    from detectorkit.detectors.hog_svm import HoGSVMDetector
    from detectorkit.detectors.onnx import OnnxDetector, load_detector
    from detectorkit.detectors.resnet import ResNetDetector
    from detectorkit.exceptions import BackboneNotFoundError, ImageReadError, ModelFileError
    from detectorkit.graph.inputs import NetworkInput

__all__ = [
    "BackboneDetector",
    "BackboneNotFoundError",
    "CNNDetector",
    "DeiTDetector",
    "ForensicDetector",
    "HoGSVMDetector",
    "ImageReadError",
    "ModelFileError",
    "NetworkInput",
    "OnnxDetector",
    "ResNetDetector",
    "__version__",
    "load_detector",
]

_HOME_OF = {
    "BackboneDetector": "detectorkit.detectors.backbone",
    "CNNDetector": "detectorkit.detectors.cnn",
    "DeiTDetector": "detectorkit.detectors.deit",
    "ForensicDetector": "detectorkit.detectors.forensic",
    "HoGSVMDetector": "detectorkit.detectors.hog_svm",
    "OnnxDetector": "detectorkit.detectors.onnx",
    "ResNetDetector": "detectorkit.detectors.resnet",
    "load_detector": "detectorkit.detectors.onnx",
    "NetworkInput": "detectorkit.graph.inputs",
    "BackboneNotFoundError": "detectorkit.exceptions",
    "ImageReadError": "detectorkit.exceptions",
    "ModelFileError": "detectorkit.exceptions",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF | {"__version__": "detectorkit._version"})
