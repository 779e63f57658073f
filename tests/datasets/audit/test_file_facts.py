import hashlib
import math
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from detectorkit.datasets.audit.file_facts import parse_file_facts, read_file_facts
from detectorkit.exceptions import ImageReadError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8))
PROFILE = ImageCmsProfile(createProfile("sRGB")).tobytes()


def save(path, image=PICTURE, **options):
    image.save(path, **options)
    return read_file_facts(path)


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_is_the_one_that_the_file_was_written_with(tmp_path, quality):
    facts = save(tmp_path / "a.jpg", quality=quality)
    assert facts.jpeg_quality == quality
    assert facts.standard_tables


def test_the_tables_are_those_that_pillow_reads(tmp_path):
    # Every step is doubled and one is odd: no quality of libjpeg is exactly that.
    PICTURE.save(tmp_path / "a.jpg", quality=80)
    with Image.open(tmp_path / "a.jpg") as image:
        tables = image.quantization
    own = {number: [2 * step for step in table] for number, table in tables.items()}
    own[0][0] += 1
    facts = save(tmp_path / "b.jpg", qtables=own)
    assert facts.jpeg_quality == 60  # (200 - 2 * 60) is twice (200 - 2 * 80)
    assert not facts.standard_tables


@settings(max_examples=50, deadline=None)
@given(quality=st.integers(5, 97), seed=st.integers(0, 99))
def test_a_table_that_is_almost_standard_has_almost_its_quality(tmp_path_factory, quality, seed):
    path = tmp_path_factory.mktemp("a") / "a.jpg"
    PICTURE.save(path, quality=quality)
    with Image.open(path) as image:
        table = np.array(image.quantization[0])
    factor = np.random.default_rng(seed).uniform(0.95, 1.05, 64)
    other = np.clip(np.rint(table * factor), 1, 255).astype(int).tolist()
    facts = save(path, qtables=[other, other])
    assert abs(facts.jpeg_quality - quality) <= 2
    assert facts.standard_tables == (other == table.tolist() and facts.jpeg_quality == quality)


@pytest.mark.parametrize("name", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_subsampling_and_progressive(tmp_path, name, progressive):
    facts = save(tmp_path / "a.jpg", subsampling=name, progressive=progressive)
    assert facts.subsampling == name
    assert facts.progressive == progressive


def test_a_grey_jpeg_has_no_colour_to_subsample(tmp_path):
    facts = save(tmp_path / "a.jpg", PICTURE.convert("L"), quality=70)
    assert facts.subsampling == "4:0:0"
    assert facts.jpeg_quality == 70


def test_other_layouts_of_colour_are_named_or_spelt_out(tmp_path):
    PICTURE.save(tmp_path / "a.jpg", subsampling="4:4:4")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    frame = data.index(b"\xff\xc0") + 11  # sampling of luma
    for sampling, name in ((0x41, "4:1:1"), (0x12, "4:4:0"), (0x31, "3x1,1x1,1x1")):
        data[frame] = sampling
        assert parse_file_facts(bytes(data)).subsampling == name


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("with_profile", [False, True])
@pytest.mark.parametrize("with_exif", [False, True])
def test_profile_and_exif_are_found(tmp_path, suffix, with_profile, with_exif):
    options = {"icc_profile": PROFILE} if with_profile else {}
    if with_exif:
        exif = Image.Exif()
        exif[0x010E] = "a picture"
        options["exif"] = exif
    facts = save(tmp_path / f"a.{suffix}", **options)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert facts.has_profile == ("icc_profile" in image.info) == with_profile
        assert facts.has_exif == ("exif" in image.info) == with_exif


@pytest.mark.parametrize("suffix", ["avif", "bmp", "gif", "jpg", "png", "tif", "webp"])
def test_format_size_and_digest_of_every_format(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    facts = save(path)
    data = path.read_bytes()
    with Image.open(path) as image:
        assert facts.format.upper() == image.format
    assert (facts.height, facts.width) == (24, 40)
    assert facts.aspect == 40 / 24
    assert facts.n_bytes == len(data)
    assert facts.bytes_per_pixel == len(data) / 960
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    if suffix != "jpg":
        assert math.isnan(facts.jpeg_quality)
        assert facts[5:8] == (False, "", False)


def test_tables_of_16_bits_are_read(tmp_path):
    facts = save(tmp_path / "a.jpg", quality=75)
    data = (tmp_path / "a.jpg").read_bytes()
    start = data.index(b"\xff\xdb")
    length = struct.unpack_from(">H", data, start + 2)[0]
    table = struct.pack(">64H", *data[start + 5 : start + 69])
    segment = b"\xff\xdb" + struct.pack(">H", 3 + len(table)) + b"\x10" + table
    longer = data[:start] + segment + data[start + 2 + length :]
    assert parse_file_facts(longer).jpeg_quality == facts.jpeg_quality == 75


def test_chunks_are_found_wherever_they_stand(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    end = data.index(b"IEND") - 4
    chunk = struct.pack(">I", 2) + b"eXIfMM" + struct.pack(">I", zlib.crc32(b"eXIfMM"))
    assert parse_file_facts(data[:end] + chunk + data[end:]).has_exif
    assert not parse_file_facts(data).has_exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_is_cut_off_is_an_error_or_has_fewer_facts_and_never_hangs(tmp_path, suffix):
    full = save(tmp_path / f"a.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    for length in range(1, len(data), 7):
        try:
            facts = parse_file_facts(data[:length])
        except ImageReadError:
            continue
        assert facts[:3] == full[:3]
        assert facts.n_bytes == length


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_noise_is_an_image_read_error(data, start):
    with suppress(ImageReadError):  # anything else would stop the command line
        assert parse_file_facts(start + data).format in {"JPEG", "PNG"}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"no image", "whatever its name"), (None, "No such")]
)
def test_what_is_no_image_is_named(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageReadError, match=reason) as info:
        read_file_facts(path)
    assert info.value.path == path


def test_facts_of_real_files_are_those_of_their_manifest(manifest_rows):
    for row in manifest_rows[::10]:
        facts = read_file_facts(row["path"])
        assert facts.format == row["format"]
        assert (facts.width, facts.height) == (int(row["width"]), int(row["height"]))
        assert facts.n_bytes == int(row["bytes"])
        assert facts.sha256 == row["sha256"]
        said = row["processing"].rpartition("JPEG ")[2].split()
        assert not said or not said[0].isdigit() or facts.jpeg_quality == int(said[0])
        with Image.open(row["path"]) as image:
            assert facts.has_profile == ("icc_profile" in image.info)
            assert facts.has_exif == ("exif" in image.info)
            assert facts.progressive == ("progressive" in image.info)
