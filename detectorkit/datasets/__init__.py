"""Data sets of images with labels: find, check, treat, split and make them."""

from detectorkit.datasets.aligning import TREATMENTS, align, align_image
from detectorkit.datasets.audit.audit import Audit, audit
from detectorkit.datasets.generated_faces import sample_generated_faces
from detectorkit.datasets.ledger import Ledger, LedgerRow, read_ledger
from detectorkit.datasets.loading import load_images
from detectorkit.datasets.upsampling.reconstructions import make_upsampling_images
from detectorkit.images.image_files import find_images
from detectorkit.model_selection.duplicates import near_duplicate_groups, perceptual_hash
from detectorkit.model_selection.split import train_val_test_split

__all__ = [
    "TREATMENTS",
    "Audit",
    "Ledger",
    "LedgerRow",
    "align",
    "align_image",
    "audit",
    "find_images",
    "load_images",
    "make_upsampling_images",
    "near_duplicate_groups",
    "perceptual_hash",
    "read_ledger",
    "sample_generated_faces",
    "train_val_test_split",
]
