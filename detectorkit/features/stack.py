"""Several families of features side by side, and the record from which they are restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from detectorkit.base import ImageTransformer
from detectorkit.exceptions import ModelFileError
from detectorkit.features._planes import NativeTransformer
from detectorkit.features.block_dct import BlockDCTTransformer
from detectorkit.features.hog import HoGTransformer
from detectorkit.features.lbp import LBPTransformer
from detectorkit.features.residual import ResidualTransformer
from detectorkit.features.smoothness import SmoothnessTransformer
from detectorkit.features.spectrum import RadialSpectrumTransformer
from detectorkit.images.levels import round_to_levels
from detectorkit.images.preprocessing import ColorSpace, convert_color, resize_image

__all__ = ["FAMILIES", "FeatureStack"]

FAMILIES: Final[dict[str, type[ImageTransformer]]] = {
    kind._family: kind  # noqa: SLF001 - a name that transformers share with the record
    for kind in (
        BlockDCTTransformer,
        HoGTransformer,
        LBPTransformer,
        RadialSpectrumTransformer,
        ResidualTransformer,
        SmoothnessTransformer,
    )
}
"""Transformer of each family of features, by the name of the family in records."""

# The features depend neither on the form of X nor on the number of threads.
_NOT_RECORDED = ("input_shape", "n_jobs")


def _looks_at_planes(transformer: ImageTransformer) -> TypeGuard[NativeTransformer]:
    """Return whether a transformer needs only the planes of an image."""
    return getattr(type(transformer), "_compute", None) is NativeTransformer._compute  # noqa: SLF001


class FeatureStack:
    """Features of several transformers, side by side.

    Attributes
    ----------
    names : list of str
        Name of the family of each transformer, with a number from the second of a family on.
    color_space : {"gray", "rgb"}
        Colour space in which images must be read: "gray" if it is enough for all transformers.
    """

    def __init__(self, transformers: Sequence[ImageTransformer]) -> None:
        self.transformers = list(transformers)
        self.names: list[str] = []
        for transformer in self.transformers:
            family = transformer._family  # noqa: SLF001 - see FAMILIES
            used = sum(name.partition("-")[0] == family for name in self.names)
            self.names.append(f"{family}-{used + 1}" if used else family)
        self._preparations = [t._check_parameters() for t in self.transformers]  # noqa: SLF001
        is_gray = all(p.color_space == "gray" for p in self._preparations)
        self.color_space: ColorSpace = "gray" if is_gray else "rgb"

    def describe(self, batch: NDArray[Any], n_features: int) -> NDArray[np.float32]:
        """Compute all features of images of one size."""
        features = np.concatenate(self.describe_families(batch), axis=1)
        if features.shape[1] != n_features:
            raise ValueError(
                f"ForensicDetector: an image of {batch.shape[1]} x {batch.shape[2]} pixels has "
                f"{features.shape[1]} features, but the first one in `fit` had {n_features}, as "
                "HoG features depend on the size. Set `image_size` of HoGTransformer, or of the "
                "detector, to bring all images to one size."
            )
        return features

    def describe_families(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Compute the features of images of one size, family by family."""
        levels = round_to_levels(batch)
        shared: dict[Any, list[NDArray[np.uint8]]] = {}  # planes that several transformers use
        parts = []
        for transformer, preparation in zip(self.transformers, self._preparations, strict=True):
            images, size = levels, preparation.image_size
            if images.ndim == 4 and preparation.color_space == "gray":
                images = np.stack([convert_color(image, "gray") for image in images])
            if size is not None and images.shape[1:3] != size:
                images = np.stack([resize_image(image, size) for image in images])
            if _looks_at_planes(transformer):
                key = (transformer.color_space, transformer.crop_size, size)
                planes = shared.get(key) or shared.setdefault(key, transformer._split(images))  # noqa: SLF001
                parts.append(transformer._compute_planes(planes, images.shape))  # noqa: SLF001
            else:
                parts.append(transformer._compute(images))  # noqa: SLF001 - as `transform` does
        return parts

    def to_record(self) -> list[dict[str, Any]]:
        """Return the record from which `from_record` restores the stack."""
        return [
            {"name": t._family}  # noqa: SLF001 - see FAMILIES
            | {k: v for k, v in t.get_params().items() if k not in _NOT_RECORDED}
            for t in self.transformers
        ]

    @classmethod
    def from_record(cls, record: Sequence[dict[str, Any]]) -> FeatureStack:
        """Restore the stack with which a model was trained."""
        transformers = []
        for entry in record:
            parameters = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in entry.items()
                if key != "name"
            }
            try:
                transformers.append(FAMILIES[entry["name"]](**parameters))
            except (KeyError, TypeError) as error:
                raise ModelFileError(
                    f"The model's record has features that this version does not know: {entry!r}. "
                    "Install the version of detectorkit that wrote the model, or train it again."
                ) from error
        return cls(transformers)
