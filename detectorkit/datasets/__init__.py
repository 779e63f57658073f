"""Images with their labels: finding, splitting and making them."""

from detectorkit.datasets.aligning import TREATMENTS, align, align_image
from detectorkit.datasets.auditing.audit import Audit, audit
from detectorkit.datasets.duplicates import near_duplicate_groups, perceptual_hash
from detectorkit.datasets.fixtures import make_upsampling_images
from detectorkit.datasets.loading import load_images
from detectorkit.datasets.splitting import train_val_test_split
from detectorkit.finding import find_images

__all__ = [
    "TREATMENTS",
    "Audit",
    "align",
    "align_image",
    "audit",
    "find_images",
    "load_images",
    "make_upsampling_images",
    "near_duplicate_groups",
    "perceptual_hash",
    "train_val_test_split",
]
