"""Files that lie, that never end, or whose picture is not whole: refused at once, never grey."""

import contextlib
import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import decode_image, load_image
from detectorkit.images.sequence import check_images

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PICTURE = cv2.resize(NOISE, (240, 160), interpolation=cv2.INTER_CUBIC)


def encode(file_format, picture=PICTURE, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, file_format, **options)
    return file.getvalue()


def another_size_for_libjpeg():
    """FF 00 looks like a segment with a length, but libjpeg passes over it."""
    small, large = encode("JPEG", NOISE), bytearray(encode("JPEG", NOISE))
    frame = large.index(b"\xff\xc0")
    large[frame + 5 : frame + 9] = struct.pack(">HH", 32000, 32000)
    head = small[2 : small.index(b"\xff\xda")]
    hidden = large[2:]  # the length of the false segment ends before it, for a naive reader
    return b"\xff\xd8\xff\x00" + struct.pack(">H", 2 + len(hidden)) + bytes(hidden) + head


def false_size_before(data, box=b"ispe"):
    """An AVIF whose first ``ispe`` is in a box that no decoder reads."""
    first = struct.unpack(">I", data[:4])[0]
    false = struct.pack(">I", 28) + b"free" + struct.pack(">I4sIII", 20, box, 0, 8, 8)
    return data[:first] + false + data[first:]


def tiff_with_sizes(*sizes):
    """A TIFF of one grey strip with as many widths and heights as wanted."""
    tags = [(256 + i, size[i]) for i in (0, 1) for size in sizes]
    tags += [(258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 60000), (279, 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def scans_again(n):
    """A progressive JPEG whose last scan is repeated."""
    data = encode("JPEG", np.zeros((2000, 2000), np.uint8), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * n + b"\xff\xd9"


def png_chunk(kind, content, length=None):
    body = kind + content
    length = len(content) if length is None else length
    return struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))


def png_with_a_long_chunk():
    data = encode("PNG", NOISE)
    place = data.index(b"IDAT") - 4
    return data[:place] + png_chunk(b"IDAT", b"x", length=0xFFFFFF00)


LIARS = {
    "JPEG, another size for libjpeg": (another_size_for_libjpeg(), "more than max_pixels"),
    "JPEG, 500 scans": (scans_again(500), "scans"),
    "PNG, a chunk of 4 GB": (png_with_a_long_chunk(), "broken or truncated"),
}


@pytest.mark.parametrize("name", LIARS)
def test_what_is_too_much_is_refused_before_it_is_decoded(name):
    data, message = LIARS[name]
    with pytest.raises(ImageReadError, match=message):
        decode_image(data)


@pytest.mark.parametrize("order", [1, -1])
def test_the_size_of_a_tiff_is_the_one_that_is_decoded(order):
    with contextlib.suppress(ImageReadError):
        assert decode_image(tiff_with_sizes(*[(8, 8), (11000, 11000)][::order])).shape[0] == 8


def test_a_progressive_jpeg_of_usual_scans_is_read():
    assert decode_image(scans_again(50)).shape == (2000, 2000, 3)


def test_the_size_of_an_avif_is_the_one_that_is_decoded():
    data = false_size_before(encode("AVIF"))
    with pytest.raises(ImageReadError, match="160 x 240 pixels are more"):
        decode_image(data, max_pixels=1000)
    with contextlib.suppress(ImageReadError):  # the box has moved what is behind it
        assert decode_image(data).shape == PICTURE.shape


JPEGS = {
    "sequential": {},
    "restarts": {"restart_marker_blocks": 15},
    "4:4:4": {"subsampling": 0, "quality": 95},
    "progressive": {"progressive": True},
    "grey": {"picture": PICTURE[..., 0]},
    "grey, progressive": {"picture": PICTURE[..., 0], "progressive": True},
}


@pytest.mark.parametrize("name", JPEGS)
def test_a_whole_jpeg_is_decoded_as_opencv_decodes_it(name):
    data = encode("JPEG", **JPEGS[name])
    plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    followed = data + encode("JPEG", NOISE) + b"\xff\xda" * 50  # as cameras append a second image
    for content in (data, followed, b"\xff\xd8" + b"\xff\xff\xff" + data[3:]):
        assert_array_equal(decode_image(content), plain)


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_jpeg_that_ends_too_early_is_not_filled_with_grey(name, share):
    """libjpeg only warns if the marker of the end comes before the end of the picture."""
    data = encode("JPEG", **JPEGS[name])
    begin = data.index(b"\xff\xda") + 14
    cut = data[: begin + int(share * (len(data) - begin))].rstrip(b"\xff")
    for content in (cut, cut + b"\xff\xd9", cut + b"\xff\xc7\0\x08\x08\0\1\0\1\1" + b"\xff\xd9"):
        with pytest.raises(ImageReadError, match=r"broken or truncated|before its picture"):
            decode_image(content)


def test_lost_restarts_of_a_jpeg_are_found():
    data = encode("JPEG", restart_marker_blocks=15)
    first, last = data.index(b"\xff\xd0"), data.index(b"\xff\xd4")
    with pytest.raises(ImageReadError, match=r"broken or truncated|before its picture"):
        decode_image(data[:first] + data[last:])


def test_a_jpeg_without_sampling_factors_is_refused():
    """A fuzzer found it: the number of units was divided by 0."""
    data = bytearray(encode("JPEG", restart_marker_blocks=15))
    frame = data.index(b"\xff\xc0")
    for component in range(3):
        data[frame + 11 + 3 * component] = 0
    with pytest.raises(ImageReadError, match=r"broken or truncated|before its picture"):
        decode_image(bytes(data))


def test_a_damaged_strip_of_a_tiff_is_not_black():
    data = bytearray(encode("TIFF", compression="tiff_deflate"))
    data[len(data) // 2] ^= 255
    with pytest.raises(ImageReadError, match="TIFF data are broken"):
        decode_image(bytes(data))


def test_a_large_tiff_of_16_bits_with_alpha_takes_little_memory():
    """Its 64 megabytes of pixels were copied several times, with 16 bits for each value."""
    file = io.BytesIO()
    deep = np.zeros((2000, 2000, 4), np.uint16)
    deep[..., 3] = 65535
    assert cv2.imencode(".tiff", deep)[0]
    file.write(cv2.imencode(".tiff", deep)[1].tobytes())
    assert_array_equal(decode_image(file.getvalue()), deep[..., :3] >> 8)


def test_a_tiff_of_giant_strips_is_refused():
    data = tiff_with_sizes((10000, 10000)).replace(
        struct.pack("<HHII", 258, 4, 1, 8), struct.pack("<HHII", 258, 4, 1, 64)
    )
    with pytest.raises(ImageReadError, match=r"strips or tiles of 800000000 bytes|data are broken"):
        decode_image(data)


FORMS = {
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memory": lambda path: io.BytesIO(path.read_bytes()),
    "file": lambda path: path.open("rb"),
    "PIL": Image.open,
    "path": str,
}


def make(form, path, stack):
    item = FORMS[form](path)
    return stack.enter_context(item) if form in {"file", "PIL"} else item


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_forms_of_a_picture_give_the_same_pixels(tmp_path, form, suffix):
    tags = Image.Exif()
    tags[0x112] = 6  # turned
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PICTURE).save(path, exif=tags)
    with contextlib.ExitStack() as stack:
        item = make(form, path, stack)
        images = check_images([item])
        assert images.shape_of(0) == (240, 160)
        for _ in range(2):
            assert_array_equal(images[0], load_image(path))
        with pytest.raises(ImageReadError, match="max_pixels=5000"):
            check_images([make(form, path, stack)], max_pixels=5000)[0]


@pytest.mark.parametrize("form", ["bytes", "memory", "PIL", "path"])
def test_a_single_picture_is_refused_with_the_cure(tmp_path, form):
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    with contextlib.ExitStack() as stack:
        item = make(form, path, stack)
        with pytest.raises(TypeError, match=r"Pass a list, also of one: \[X\]"):
            check_images(item)


def test_bad_forms_name_their_index(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("text")
    with text.open() as file, pytest.raises(ImageReadError, match=r"image 1,.*mode 'rb'"):
        check_images([encode("PNG"), file])
    with pytest.raises(ImageReadError, match=r"image 1, .bytes.: the file is empty"):
        check_images([encode("PNG"), b""])[1]
    with pytest.raises(ValueError, match="masked array"):
        check_images([np.ma.masked_equal(PICTURE, 0)])
    deep = Image.fromarray(np.zeros((4, 4), np.float32))
    with pytest.raises(ImageReadError, match="float32 pixels have no known range"):
        check_images([deep])[0]


def test_heic_is_read_with_the_extra_and_named_without(monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(PICTURE)).save(file, quality=95, chroma=444)
    assert np.abs(decode_image(file.getvalue()).astype(int) - PICTURE).mean() < 8
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    with pytest.raises(ImageReadError, match="pip install pillow-heif"):
        decode_image(file.getvalue())


def test_jpeg_2000_and_files_without_a_suffix_are_read(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(encode("JPEG2000", irreversible=False))
    assert_array_equal(load_image(path), PICTURE)
