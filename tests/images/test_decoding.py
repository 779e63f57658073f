import io
import pickle

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import load_image
from detectorkit.images.preprocessing import resize_image


@pytest.fixture
def picture():
    """A smooth picture that no transposition or channel swap leaves as it is."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(noise, (60, 40), interpolation=cv2.INTER_CUBIC)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


LOSSLESS = [("a.png", {}), ("a.bmp", {}), ("a.tif", {}), ("a.webp", {"lossless": True})]


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_lossless_formats_give_the_pixels(tmp_path, picture, name, options):
    path = save(tmp_path / name, picture, **options)
    assert_array_equal(load_image(path), picture)
    expected = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert_array_equal(load_image(path, color_space="gray"), expected)


@pytest.mark.parametrize("name", ["a.jpg", "a.gif", "a.avif"])
def test_lossy_formats_give_nearly_the_pixels(tmp_path, picture, name):
    decoded = load_image(save(tmp_path / name, picture))
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).mean() < 8


def test_gray_of_a_jpeg_is_the_stored_luma(tmp_path, picture):
    path = save(tmp_path / "a.jpg", picture, quality=90)
    assert_array_equal(load_image(path, color_space="gray"), cv2.imread(str(path), 0))
    from_rgb = cv2.cvtColor(load_image(path), cv2.COLOR_RGB2GRAY)
    difference = np.abs(load_image(path, color_space="gray").astype(int) - from_rgb)
    assert np.mean(difference > 1) < 0.2


def test_format_is_known_by_content_not_by_name(tmp_path, picture):
    path = save(tmp_path / "a.png", picture)
    assert_array_equal(load_image(path.rename(tmp_path / "a.jpg")), picture)


@pytest.mark.parametrize(
    ("suffix", "options"), [("jpg", {}), ("png", {}), ("webp", {"lossless": True}), ("tif", {})]
)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("color_space", ["rgb", "gray"])
def test_exif_orientation_is_applied(tmp_path, suffix, options, orientation, color_space):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = 200  # bright top left quarter
    upright[:20, 30:] = 90
    # What has to be stored so that this orientation makes it upright again.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x112] = orientation
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif, **options)
    decoded = load_image(path, color_space=color_space)
    assert decoded.shape[:2] == (40, 60)
    expected = upright if color_space == "rgb" else upright[..., 0]
    assert np.abs(decoded.astype(int) - expected).mean() < 3


def test_alpha_is_dropped_not_blended(tmp_path, picture):
    alpha = np.random.default_rng(1).integers(0, 256, (*picture.shape[:2], 1), dtype=np.uint8)
    rgba = np.concatenate([picture, alpha], axis=2)
    for name, options in [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.webp", {"lossless": True, "exact": True}),
    ]:
        assert_array_equal(load_image(save(tmp_path / name, rgba, **options)), picture)
    gray_alpha = np.dstack([picture[..., 0], alpha[..., 0]])
    Image.merge("LA", [Image.fromarray(gray_alpha[..., i]) for i in (0, 1)]).save(
        tmp_path / "la.png"
    )
    assert_array_equal(load_image(tmp_path / "la.png", color_space="gray"), picture[..., 0])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_upper_8_of_16_bits_are_kept(tmp_path, suffix):
    deep = np.random.default_rng(0).integers(0, 65536, (40, 60), dtype=np.uint16)
    path = str(tmp_path / f"a.{suffix}")
    assert cv2.imwrite(path, deep)
    assert_array_equal(load_image(path, color_space="gray"), deep >> 8)


def test_palette_and_bilevel_files_are_expanded(tmp_path, picture):
    palette = Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "p.png")
    assert_array_equal(load_image(tmp_path / "p.png"), np.asarray(palette.convert("RGB")))
    bilevel = Image.fromarray(picture).convert("1")
    bilevel.save(tmp_path / "b.png")
    assert_array_equal(
        load_image(tmp_path / "b.png", color_space="gray"), np.asarray(bilevel) * 255
    )


def test_float_files_have_no_known_range(tmp_path):
    path = str(tmp_path / "a.tif")
    assert cv2.imwrite(path, np.random.default_rng(0).random((40, 60), dtype=np.float32))
    with pytest.raises(ImageReadError, match="float32 pixels have no known range"):
        load_image(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *LOSSLESS,
        ("a.jpg", {"quality": 90}),
        ("progressive.jpg", {"progressive": True}),
        ("a.gif", {}),
        ("a.avif", {}),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_errors(tmp_path, name, options, share):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    path = save(tmp_path / name, noise, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageReadError) as info:
        load_image(path, index=4)
    assert info.value.path == path
    assert info.value.index == 4
    assert str(path) in str(info.value)
    assert "image 4" in str(info.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, this is text" * 50, "whatever its name"),
        (b"\xff\xd8\xff\xe0 not really", "whatever its name"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "whatever its name"),
    ],
)
def test_what_is_no_image_is_an_error(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=message):
        load_image(path)


def test_missing_files_and_folders_are_errors(tmp_path):
    with pytest.raises(ImageReadError, match=r"No such file"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageReadError, match=r"directory"):
        load_image(tmp_path)


def test_image_read_error_is_an_oserror_and_survives_pickling():
    error = ImageReadError("a.png", "broken.", index=3)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, OSError)
    assert (copy.path, copy.index, copy.reason, str(copy)) == (
        error.path,
        error.index,
        error.reason,
        str(error),
    )


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tif", "avif"])
def test_the_size_is_checked_before_decoding(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", np.zeros((50, 80, 3), np.uint8))
    assert load_image(path, max_pixels=4000).shape == (50, 80, 3)
    with pytest.raises(ImageReadError, match="50 x 80 pixels are more than max_pixels=3999"):
        load_image(path, max_pixels=3999)


def test_a_decompression_bomb_is_refused_by_default(tmp_path):
    data = bytearray(
        io.BytesIO(save(tmp_path / "a.png", np.zeros((8, 8), np.uint8)).read_bytes()).getvalue()
    )
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(ImageReadError, match="more than max_pixels=100000000"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("color_space", ["gray", "rgb"])
def test_shrinking_on_load_hardly_changes_the_result(tmp_path, color_space):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    large = cv2.resize(noise, (2400, 1800), interpolation=cv2.INTER_CUBIC)
    path = save(tmp_path / "a.jpg", large, quality=90)
    shrunk = load_image(path, color_space=color_space, image_size=(64, 64))
    full = load_image(path, color_space=color_space)
    assert shrunk.shape[0] == full.shape[0] / 2  # 14 decoded pixels are left for each wanted
    difference = resize_image(shrunk, (64, 64)).astype(int) - resize_image(full, (64, 64))
    assert np.abs(difference).max() <= 2
    assert np.abs(difference).mean() < 0.1
    assert load_image(path, image_size=(128, 128)).shape[:2] == (1800, 2400)
