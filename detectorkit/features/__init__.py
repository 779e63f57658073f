"""Features of images: one file a family, each a plain function and a thin transformer."""

from detectorkit.features.hog import HoGTransformer, hog_features

__all__ = ["HoGTransformer", "hog_features"]
