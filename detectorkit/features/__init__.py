"""Features of images: plain functions on arrays, and transformers on images of every form."""

from detectorkit.features.block_dct import BlockDCTTransformer, block_dct_statistics
from detectorkit.features.hog import HoGTransformer, hog_features

__all__ = ["BlockDCTTransformer", "HoGTransformer", "block_dct_statistics", "hog_features"]
