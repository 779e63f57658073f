import csv
import hashlib
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectorkit.datasets import load_images
from detectorkit.datasets.aligning import align, align_image
from detectorkit.datasets.audit.file_facts import read_file_facts
from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import load_image


def treat(image, treatment, side=160, quality=85):
    """The protocol as the benchmarks spell it out, with OpenCV alone."""
    height, width = image.shape[:2]
    cut = side if treatment == "crop" else min(height, width)
    row, col = (height - cut) // 2, (width - cut) // 2
    image = image[row : row + cut, col : col + cut]
    if cut != side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]


def noise(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(160, 400),
    width=st.integers(160, 400),
    treatment=st.sampled_from(["aligned", "crop"]),
    seed=st.integers(0, 99),
)
def test_the_treatment_is_that_of_the_protocol_bit_for_bit(height, width, treatment, seed):
    image = noise(height, width, seed)
    assert (align_image(image, treatment) == treat(image, treatment)).all()


def test_as_found_changes_nothing():
    image = noise(50, 60)
    assert align_image(image, "as-found") is image


def test_small_images_are_enlarged_by_aligned_and_refused_by_crop():
    image = noise(100, 300)
    assert align_image(image).shape == (160, 160, 3)
    assert align_image(image, "crop", side=100).shape == (100, 100, 3)
    with pytest.raises(ValueError, match=r"side=160 does not fit into 100 x 300 .* smaller side"):
        align_image(image, "crop")


def test_random_crops_come_from_everywhere_and_repeat_with_the_seed():
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = np.arange(60) * 4  # so the red of a crop says where it was cut
    random = np.random.RandomState(0)
    crops = [align_image(image, "crop", side=16, random_state=random) for _ in range(60)]
    assert min(crop[..., 0].mean() for crop in crops) < 50
    assert max(crop[..., 0].mean() for crop in crops) > 180
    one, two = (align_image(image, "crop", side=16, random_state=3) for _ in range(2))
    assert (one == two).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatment": "none"}, r"treatment='none' must be one of \['as-found'"),
        ({"side": 0}, "side=0 must be"),
        ({"quality": 101}, "quality=101 must be"),
    ],
)
def test_senseless_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        align_image(noise(20, 20), **options)


@pytest.fixture
def data(tmp_path):
    """Ten files of many formats and sizes, half of them generated."""
    paths = []
    for number in range(10):
        suffix = ("jpg", "png", "webp", "bmp", "png")[number % 5]
        path = tmp_path / f"file-{number}.{suffix}"
        cv2.imwrite(str(path), noise(170 + 13 * number, 300 - 11 * number, number))
        paths.append(str(path))
    return paths, np.arange(10) % 2


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), treatment=st.sampled_from(["aligned", "crop"]))
def test_both_classes_get_the_same_treatment(tmp_path_factory, seed, treatment):
    """Whatever the labels are, a file of the original becomes the same bytes."""
    folder = tmp_path_factory.mktemp("a")
    paths = [str(folder / f"{i}.png") for i in range(4)]
    for i, path in enumerate(paths):
        cv2.imwrite(path, noise(60 + 7 * i, 90 - 3 * i, seed + i))
    contents = []
    for name, y in (("one", [0, 1, 0, 1]), ("two", [1, 0, 0, 1])):
        align(paths, y, folder / name, treatment=treatment, side=48)
        files = sorted((folder / name).rglob("*.jpg"), key=lambda path: path.name)
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("treatment", ["aligned", "crop"])
def test_the_copy_holds_the_treated_pixels_encoded_once(data, tmp_path, treatment):
    paths, y = data
    assert align(paths, y, tmp_path / "copy", treatment=treatment, quality=70) == []
    found = load_images(tmp_path / "copy" / "manifest.csv")
    assert found.target.tolist() == y.tolist()
    for path, original in zip(found.data, paths, strict=True):
        expected = align_image(load_image(original), treatment, quality=70)
        assert (load_image(path) == expected).all()
        facts = read_file_facts(path)
        assert (facts.jpeg_quality, facts.subsampling) == (70, "4:2:0")
        assert not facts.has_exif
        assert not facts.has_profile


def test_names_and_folders_give_nothing_away_but_the_origin(data, tmp_path):
    paths, y = data
    metadata = {
        "generator": ["", "sdxl", "ffhq", "../../x", "", "a/b", "", "", "..", "."],
        "source": ["flickr", "web", "", "", "C:\\evil\n", "", "", "", "", ""],
    }
    align(paths, y, tmp_path / "copy", metadata=metadata)
    names = sorted(p.relative_to(tmp_path / "copy").as_posix() for p in tmp_path.rglob("0*.jpg"))
    assert names == [
        "generated/a_b/000006.jpg",
        "generated/generated/000008.jpg",
        "generated/generated/000010.jpg",
        "generated/sdxl/000002.jpg",
        "generated/x/000004.jpg",
        "real/C_evil/000005.jpg",
        "real/ffhq/000003.jpg",
        "real/flickr/000001.jpg",
        "real/photographs/000007.jpg",
        "real/photographs/000009.jpg",
    ]
    found = load_images(tmp_path / "copy")
    assert len(found.data) == 10
    kept = load_images(tmp_path / "copy" / "manifest.csv").metadata
    assert kept["generator"].tolist() == metadata["generator"]
    assert kept["original_path"].tolist() == paths


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_not_utf8_are_read_and_copied(data, tmp_path):
    paths, _ = data
    odd = tmp_path / "data" / "real" / os.fsdecode(b"\xff")
    odd.mkdir(parents=True)
    shutil.copy(paths[0], odd / os.fsdecode(b"\xfe.png"))
    found = load_images(tmp_path / "data")
    assert found.metadata["source"].tolist() == found.origin.tolist() == ["\udcff"]
    assert align(found.data, found.target, tmp_path / "copy", metadata=found.metadata) == []
    copy = load_images(tmp_path / "copy" / "manifest.csv")
    assert copy.metadata["source"].tolist() == ["\\udcff"]
    assert copy.metadata["original_path"][0].endswith("\\udcff/\\udcfe.png")
    assert Path(copy.data[0]).exists()


def test_columns_that_would_be_wrong_are_those_of_the_copy(data, tmp_path):
    paths, y = data
    stale = np.array(["?"] * 10)
    metadata = dict.fromkeys(["width", "height", "format", "bytes", "sha256"], stale)
    metadata |= {"processing": np.array(["as found"] + [""] * 9), "original_width": stale}
    align(paths, y, tmp_path / "copy", side=64, metadata=metadata)
    with (tmp_path / "copy" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        content = (tmp_path / "copy" / row["path"]).read_bytes()
        assert (row["width"], row["height"], row["format"]) == ("64", "64", "JPEG")
        assert int(row["bytes"]) == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["original_width"] == "?"
    done = "centre square, area 64 px, JPEG 85 4:2:0"
    assert [row["processing"] for row in rows[:2]] == [f"as found; {done}", done]


def test_threads_do_not_change_the_copy(data, tmp_path):
    paths, y = data
    contents = []
    for name, n_jobs in (("one", 1), ("two", 2)):
        align(paths * 10, np.tile(y, 10), tmp_path / name, n_jobs=n_jobs)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({p.relative_to(tmp_path / name): p.read_bytes() for p in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 101


def test_a_broken_file_leaves_nothing_behind(data, tmp_path):
    paths, y = data
    Path(paths[3]).write_bytes(b"no image")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageReadError, match=r"image 3, .*file-3"):
        align(paths, y, tmp_path / "copy")
    assert sorted(tmp_path.iterdir()) == before


def test_a_broken_file_can_be_left_out(data, tmp_path):
    paths, y = data
    Path(paths[3]).write_bytes(b"no image")
    failures = align(paths, y, tmp_path / "copy", skip_unreadable=True)
    assert [str(failure.path) for failure in failures] == [paths[3]]
    found = load_images(tmp_path / "copy" / "manifest.csv")
    assert found.metadata["original_path"].tolist() == paths[:3] + paths[4:]
    for path in paths:
        Path(path).write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of the 10 images"):
        align(paths, y, tmp_path / "other", skip_unreadable=True)
    assert not (tmp_path / "other").exists()


def test_an_image_too_small_to_crop_is_named_and_leaves_nothing_behind(data, tmp_path):
    paths, y = data
    with pytest.raises(ValueError, match=r"align: .*file-0\.jpg: a crop with side=180"):
        align(paths, y, tmp_path / "copy", treatment="crop", side=180)
    assert not list(tmp_path.glob("*copy*"))


def test_an_output_with_something_in_it_is_refused(data, tmp_path):
    paths, y = data
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        align(paths, y, tmp_path)
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        align(paths, y, paths[0])
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        align(paths, y, tmp_path / "no" / "such")
    (tmp_path / "empty").mkdir()
    align(paths, y, tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.csv").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"treatment": "as-found"}, "treatment='as-found' must be one of"),
        ({"y": [0, 2] * 5}, "0 for real and 1 for generated"),
        ({"y": [0, 1]}, "inconsistent"),
        ({"metadata": {"source": ["a"]}}, "inconsistent"),
    ],
)
def test_senseless_input_is_an_error(data, tmp_path, changed, message):
    arguments = {"paths": data[0], "y": data[1], "output": tmp_path / "copy"} | changed
    with pytest.raises(ValueError, match=message):
        align(**arguments)
    assert not (tmp_path / "copy").exists()
