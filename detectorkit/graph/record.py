"""The JSON record in a model's metadata: everything that a prediction needs beside the graph."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from detectorkit._version import __version__
from detectorkit.calibration.maps import Calibration, calibration_from_record
from detectorkit.exceptions import ModelFileError
from detectorkit.images.preprocessing import COLOR_SPACES, Preprocessing

__all__ = ["RECORD_KEY", "ModelRecord"]

RECORD_KEY = "detectorkit"
"""The key of the record among the metadata properties of the ONNX model."""

_FORMAT = 1


@dataclass(frozen=True)
class ModelRecord:
    """What a saved detector says of itself.

    Attributes
    ----------
    detector : str
        Name of the class that was fitted.
    preprocessing : Preprocessing
        How an image is brought to the graph's input.
    features : list of dict
        Name and parameters of each family of features.
    classes : list
        The two labels; the second means "generated".
    threshold : float
        The score above which an image is called generated.
    calibration : SigmoidCalibration or IsotonicCalibration
        How a score becomes a probability.
    training : dict
        Summary of the training data and of the settings used.
    run_size : int or None, default=None
        Images in one run of the graph, where their number changes what is computed; 1 for graphs
        that are quantised dynamically.
    library_version : str
        The detectorkit that wrote it.
    """

    detector: str
    preprocessing: Preprocessing
    features: list[dict[str, Any]]
    classes: list[Any]
    threshold: float
    calibration: Calibration
    training: dict[str, Any] = field(default_factory=dict)
    run_size: int | None = None
    library_version: str = __version__

    def to_json(self) -> str:
        """Give the record as JSON text.

        Returns
        -------
        text : str
            One object, in which `from_json` finds everything again.
        """
        content = {
            "format": _FORMAT,
            "detector": self.detector,
            "preprocessing": self.preprocessing.to_record(),
            "features": self.features,
            "classes": self.classes,
            "positive_class": "generated",
            "threshold": self.threshold,
            "calibration": self.calibration.to_record(),
            "training": self.training,
            "run_size": self.run_size,
            "library": {"name": "detectorkit", "version": self.library_version},
        }
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ModelRecord:
        """Read a record.

        Parameters
        ----------
        text : str
            What `to_json` gave.

        Returns
        -------
        record : ModelRecord
            The record.

        Raises
        ------
        ModelFileError
            If the text is no such record, or of a newer format.
        """
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise ModelFileError(
                    f"The model's record has format {content['format']}, this detectorkit "
                    f"({__version__}) reads format {_FORMAT}. Use the version that wrote it: "
                    f"{content['library']['version']}."
                )
            return cls(
                detector=content["detector"],
                preprocessing=_preprocessing(content["preprocessing"]),
                features=content["features"],
                classes=_two(content["classes"]),
                threshold=float(content["threshold"]),
                calibration=calibration_from_record(content["calibration"]),
                training=content["training"],
                run_size=content.get("run_size"),
                library_version=content["library"]["version"],
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ModelFileError(f"The model's record is damaged: {error!r}.") from error


def _preprocessing(content: dict[str, Any]) -> Preprocessing:
    if content["color_space"] not in COLOR_SPACES:
        raise ModelFileError(f"The model's record has color_space {content['color_space']!r}.")
    if content["image_size"] is None:
        return Preprocessing(None, content["color_space"])
    height, width = content["image_size"]
    n_crops = content.get("n_crops")
    return Preprocessing(
        (int(height), int(width)),
        content["color_space"],
        n_crops=None if n_crops is None else int(n_crops),
    )


def _two(classes: list[Any]) -> list[Any]:
    if len(classes) != 2:
        raise ModelFileError(f"The model's record has classes {classes}; two were expected.")
    return classes
