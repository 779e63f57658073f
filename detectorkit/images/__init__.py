"""Reading, checking, cropping, resizing and encoding of images."""

from detectorkit.images.batches import iter_slices, map_batches
from detectorkit.images.decoding import decode_image, load_image
from detectorkit.images.encoding import encode_image
from detectorkit.images.image_files import find_images
from detectorkit.images.preprocessing import Preprocessing, convert_color, resize_image
from detectorkit.images.sequence import ImageSequence, check_images
from detectorkit.images.treatment import Treatment

__all__ = [
    "ImageSequence",
    "Preprocessing",
    "Treatment",
    "check_images",
    "convert_color",
    "decode_image",
    "encode_image",
    "find_images",
    "iter_slices",
    "load_image",
    "map_batches",
    "resize_image",
]
