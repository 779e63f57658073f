"""What is read of a file before it is decoded agrees with what the decoder makes of it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import load_image, load_shape
from detectorkit.images.sequence import check_images

BLANK = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
SUFFIXES = ["jpg", "png", "webp", "tif", "avif", "bmp", "gif"]


def encode(file_format, **options):
    file = io.BytesIO()
    BLANK.save(file, file_format, **options)
    return file.getvalue()


def exif(orientation, order="<", kind=3, n_entries=1):
    """EXIF data with one entry; kind 3 are numbers of 16 bits, 4 of 32."""
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *[orientation, 0][: 5 - kind])
    entry = struct.pack(order + "HHI", 0x112, kind, 1) + value
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, n_entries)
    return start + entry + bytes(4)


def exif_with_a_lost_entry(orientation):
    """EXIF data whose first entry points beyond their end; a fuzzer found it."""
    lost = struct.pack("<HHII", 0x10F, 2, 60, 5000)
    data = exif(orientation, n_entries=2)
    return data[:10] + lost + data[10:]


def jpeg(*segments):
    data = encode("JPEG")
    parts = [b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in segments]
    return data[:2] + b"".join(parts) + data[2:]


def png(*contents, before=b"IDAT", checksum=0):
    data = encode("PNG")
    place = data.index(before) - 4
    chunks = [
        struct.pack(">I", len(one))
        + b"eXIf"
        + one
        + struct.pack(">I", zlib.crc32(b"eXIf" + one) ^ checksum)
        for one in contents
    ]
    return data[:place] + b"".join(chunks) + data[place:]


def webp_without_flag():
    data = bytearray(encode("WEBP", exif=exif(6)))
    data[20] &= ~8
    return bytes(data)


def assert_agrees(path):
    shape = load_image(path).shape[:2]
    assert load_shape(path) == shape
    assert check_images([path]).shape_of(0) == shape
    return shape


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_shape_is_that_of_the_decoded_image(tmp_path, suffix, orientation, mode):
    tags = Image.Exif()
    tags[0x112] = orientation
    options = {} if suffix in {"bmp", "gif"} else {"exif": tags}
    path = tmp_path / f"a.{suffix}"
    BLANK.convert(mode).save(path, **options)
    is_turned = orientation > 4 and suffix not in {"bmp", "gif"}
    assert assert_agrees(path) == ((60, 40) if is_turned else (40, 60))


JPEG_EXIF = b"Exif\0\0"
ODD = {
    "big-endian": jpeg(JPEG_EXIF + exif(6, ">")),
    "32 bits": jpeg(JPEG_EXIF + exif(6, kind=4)),
    "32 bits, big-endian": jpeg(JPEG_EXIF + exif(6, ">", kind=4)),
    "XMP first": jpeg(b"http://ns.adobe.com/xap/1.0/\0<x/>", JPEG_EXIF + exif(6)),
    "EXIF twice": jpeg(JPEG_EXIF + exif(6), JPEG_EXIF + exif(1)),
    "EXIF twice, turned": jpeg(JPEG_EXIF + exif(1), JPEG_EXIF + exif(6)),
    "another name": jpeg(b"EXIF\0\0" + exif(6)),
    "orientation 0": jpeg(JPEG_EXIF + exif(0)),
    "orientation 9": jpeg(JPEG_EXIF + exif(9)),
    "entries missing": jpeg(JPEG_EXIF + exif(6, n_entries=4)),
    "an entry beyond the end": jpeg(JPEG_EXIF + exif_with_a_lost_entry(6)),
    "cut behind the value": jpeg(JPEG_EXIF + exif(6)[:20]),
    "cut before the value": jpeg(JPEG_EXIF + exif(6)[:12]),
    "PNG": png(exif(6)),
    "PNG, behind the picture": png(exif(6), before=b"IEND"),
    "PNG, prefix of JPEG": png(JPEG_EXIF + exif(6)),
    "PNG, twice": png(exif(6), exif(1)),
    "PNG, damaged": png(exif(6), checksum=1),
    "WebP": encode("WEBP", exif=exif(6)),
    "WebP, not announced": webp_without_flag(),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_exif_counts_as_far_as_the_decoder_follows_it(tmp_path, name, capfd):
    path = tmp_path / "image"
    path.write_bytes(ODD[name])
    assert_agrees(path)
    capfd.readouterr()  # libpng speaks of damaged chunks


def test_a_shape_needs_a_readable_file_of_allowed_size(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ImageReadError, match="No such file"):
        check_images([path]).shape_of(0)
    path.write_bytes(encode("PNG"))
    with pytest.raises(ImageReadError, match=r"image 1, .*more than max_pixels=100"):
        check_images([path, path], max_pixels=100)[1:].shape_of(0)
    path.write_bytes(b"no image")
    with pytest.raises(ImageReadError, match="not an AVIF"):
        check_images([path]).shape_of(0)


def test_arrays_say_their_shape():
    assert check_images(np.zeros((2, 5, 7, 3), np.uint8)).shape_of(1) == (5, 7)
    assert check_images([np.zeros((5, 7)), np.zeros((4, 6))]).shape_of(1) == (4, 6)
