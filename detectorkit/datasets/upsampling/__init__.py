"""Images and their reconstructions by small decoders: fixtures of generated images."""

from detectorkit.datasets.upsampling.reconstructions import make_upsampling_images

__all__ = ["make_upsampling_images"]
