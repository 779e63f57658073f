"""Features of images: functions of arrays, and transformers that take images in any form."""

from detectorkit.features.block_dct import BlockDCTTransformer, block_dct_statistics
from detectorkit.features.glcm import glcm_properties
from detectorkit.features.hog import HoGTransformer, hog_features
from detectorkit.features.lbp import LBPTransformer, lbp_histograms
from detectorkit.features.residual import (
    ResidualTransformer,
    cross_difference_peaks,
    npr_statistics,
    residual_cooccurrences,
)
from detectorkit.features.skin import skin_mask
from detectorkit.features.smoothness import SmoothnessTransformer, smoothness_statistics
from detectorkit.features.spectrum import RadialSpectrumTransformer, radial_spectrum

__all__ = [
    "BlockDCTTransformer",
    "HoGTransformer",
    "LBPTransformer",
    "RadialSpectrumTransformer",
    "ResidualTransformer",
    "SmoothnessTransformer",
    "block_dct_statistics",
    "cross_difference_peaks",
    "glcm_properties",
    "hog_features",
    "lbp_histograms",
    "npr_statistics",
    "radial_spectrum",
    "residual_cooccurrences",
    "skin_mask",
    "smoothness_statistics",
]
