import numpy as np
import pytest
from PIL import Image

from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import SUBSAMPLINGS, encode_image


@pytest.fixture(scope="module")
def picture(upsampled):
    return upsampled.data[0]


def test_png_gives_the_same_pixels_back(picture):
    assert (decode_image(encode_image(picture, "PNG")) == picture).all()
    grey = picture[..., 0]
    assert (decode_image(encode_image(grey, "PNG"), color_space="gray") == grey).all()


@pytest.mark.parametrize("file_format", ["JPEG", "WebP"])
def test_lower_quality_means_fewer_bytes_and_larger_differences(picture, file_format):
    sizes, errors = [], []
    for quality in (95, 75, 30):
        data = encode_image(picture, file_format, quality=quality)
        sizes.append(len(data))
        errors.append(np.abs(decode_image(data).astype(int) - picture).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert errors[0] < 5  # and the colours are in their places


def test_subsampling_is_what_was_asked(picture, tmp_path):
    factors = {"4:4:4": 0x11, "4:2:2": 0x21, "4:2:0": 0x22}
    for name in SUBSAMPLINGS:
        data = encode_image(picture, "JPEG", subsampling=name)
        (tmp_path / "a.jpg").write_bytes(data)
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.layer[0][1] * 16 + image.layer[0][2] == factors[name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file_format": "BMP"}, "file_format='BMP' must be one of"),
        ({"file_format": "JPEG", "quality": 0}, "quality=0 must be from 1 to 100"),
        ({"file_format": "JPEG", "subsampling": "4:1:0"}, "subsampling='4:1:0' must be"),
    ],
)
def test_wrong_options_are_named(picture, options, message):
    with pytest.raises(ValueError, match=message):
        encode_image(picture, **options)


def test_float_images_are_refused(picture):
    with pytest.raises(ValueError, match="it must be uint8"):
        encode_image(picture / 255)
