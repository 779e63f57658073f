"""The classifier of ``detectorkit train --pipeline``, in the form of a detector."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Self

__all__ = ["PipelineDetector", "import_pipeline"]

_FORM = "Pass MODULE:OBJECT, such as my_models:pipeline for `pipeline` in my_models.py."


def import_pipeline(name: str) -> Any:
    """Import the unfitted classifier that ``--pipeline`` names; this runs the user's own code."""
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise ValueError(f"--pipeline {name}: {_FORM}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # of an import within the module
        raise ValueError(
            f"--pipeline {name}: there is no module {module_name} in this folder, and none is "
            f"installed. {_FORM}"
        ) from error
    except AttributeError as error:
        raise ValueError(f"--pipeline {name}: {error}. {_FORM}") from error
    finally:
        sys.path.pop(0)
    is_estimator = hasattr(found, "get_params") and not isinstance(found, type)
    classifier = found() if callable(found) and not is_estimator else found
    _check_classifier(name, classifier)
    return classifier


def _check_classifier(name: str, classifier: Any) -> None:
    """Check what can be known before images are read."""
    from detectorkit.base import BaseImageDetector, ImageTransformer

    if not (hasattr(classifier, "fit") and hasattr(classifier, "get_params")):
        raise ValueError(
            f"--pipeline {name}: found an object of the type {type(classifier).__name__}. It must "
            "be a classifier of scikit-learn, or a function without arguments that returns one."
        )
    if isinstance(classifier, BaseImageDetector):
        return
    parts = [classifier, *classifier.get_params().values()]
    if not any(isinstance(part, ImageTransformer) for part in parts):
        raise ValueError(
            f"--pipeline {name}: {type(classifier).__name__} does not contain a transformer of "
            "detectorkit.features. Begin the pipeline with one, such as HoGTransformer."
        )
    if not hasattr(classifier, "predict_proba"):
        raise ValueError(
            f"--pipeline {name}: the classifier has no `predict_proba`. Wrap it in "
            "CalibratedClassifierCV(..., ensemble=False)."
        )


class PipelineDetector:
    """A classifier of scikit-learn with what ``detectorkit train`` needs of a detector.

    Once saved, it predicts with the file that was written.
    """

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier
        self.treatment: Any = None
        self.training_summary_: dict[str, Any] = {}

    def get_params(self) -> dict[str, Any]:
        """Return the parameters of the classifier."""
        parameters: dict[str, Any] = self.classifier.get_params()
        return parameters

    def set_params(self, **parameters: Any) -> Self:
        """Set the treatment, or parameters of the classifier."""
        self.treatment = parameters.pop("treatment", self.treatment)
        self.classifier.set_params(**parameters)
        return self

    def fit(self, X: list[str], y: Any, origin: Any = None) -> Self:
        """Fit the classifier to treated images."""
        from detectorkit.base import summarize_images
        from detectorkit.graph.pipelines import treat_images
        from detectorkit.images.sequence import check_images

        self.classifier.fit(treat_images(check_images(X), self.treatment), y)
        self.training_summary_ = summarize_images(y, origin)
        self._checked = X[:: max(1, len(X) // 50)]
        return self

    def save(self, path: Path) -> None:
        """Write the classifier, compared with its graph on some of the training images."""
        from detectorkit.detectors.onnx import load_detector
        from detectorkit.graph.pipelines import export_pipeline

        export_pipeline(
            self.classifier,
            path,
            self._checked,
            treatment=self.treatment,
            training=self.training_summary_,
        )
        self._loaded = load_detector(path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loaded, name)
