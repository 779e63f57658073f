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
    from detectorkit.detectors.ensemble import EnsembleDetector
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
    "EnsembleDetector",
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
    "BackboneNotFoundError": "detectorkit.exceptions",
    "ImageReadError": "detectorkit.exceptions",
    "ModelFileError": "detectorkit.exceptions",
    "NetworkInput": "detectorkit.graph.inputs",
    "__version__": "detectorkit._version",
}
_DETECTORS = [name for name in __all__ if name not in _HOME_OF]  # that package knows their files

_SUBPACKAGES = [
    "backbones",
    "calibration",
    "datasets",
    "detectors",
    "evaluation",
    "features",
    "fingerprint",
    "generation",
    "graph",
    "images",
    "metrics",
    "model_selection",
    "models",
    "provenance",
    "report",
    "saliency",
    "scan",
    "serve",
    "training",
    "utils",
]

__getattr__, __dir__ = lazy_names(
    __name__, _HOME_OF | dict.fromkeys(_DETECTORS, "detectorkit.detectors"), _SUBPACKAGES
)
