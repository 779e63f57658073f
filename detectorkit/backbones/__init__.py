"""Backbones: pretrained networks whose features detectors use; registry, files and licences."""

from __future__ import annotations

from detectorkit.backbones.compacting import write_compact
from detectorkit.backbones.embedding import embed_images
from detectorkit.backbones.find import find_backbone
from detectorkit.backbones.registry import REGISTRY, BackboneEntry
from detectorkit.backbones.store import (
    Backbone,
    backbone_folder,
    read_backbone,
    take_layers,
    write_backbone,
)

__all__ = [
    "REGISTRY",
    "Backbone",
    "BackboneEntry",
    "backbone_folder",
    "embed_images",
    "find_backbone",
    "read_backbone",
    "take_layers",
    "write_backbone",
    "write_compact",
]
