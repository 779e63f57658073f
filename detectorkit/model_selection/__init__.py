"""Split images into training and test sets, with copies together or whole origins left out."""

from detectorkit.model_selection.duplicates import near_duplicate_groups, perceptual_hash
from detectorkit.model_selection.sources import LeaveSourcesOut, cap_images, merge_sources
from detectorkit.model_selection.split import train_val_test_split
from detectorkit.model_selection.splitters import (
    GeneratorDateSplit,
    LeaveOneFamilyOut,
    LeaveOneGeneratorOut,
    LeaveOneSourceOut,
    StratifiedGroupShuffleSplit,
)

__all__ = [
    "GeneratorDateSplit",
    "LeaveOneFamilyOut",
    "LeaveOneGeneratorOut",
    "LeaveOneSourceOut",
    "LeaveSourcesOut",
    "StratifiedGroupShuffleSplit",
    "cap_images",
    "merge_sources",
    "near_duplicate_groups",
    "perceptual_hash",
    "train_val_test_split",
]
