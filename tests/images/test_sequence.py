import io
import pickle
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.exceptions import ImageReadError
from detectorkit.features import HoGTransformer
from detectorkit.images.batches import map_batches
from detectorkit.images.crops import cut_crops, enlarge_to_cover
from detectorkit.images.decoding import load_image
from detectorkit.images.levels import as_levels
from detectorkit.images.preprocessing import Preprocessing, resize_image
from detectorkit.images.sequence import check_images

RGB = Preprocessing(None, "rgb")
GRAY = Preprocessing(None, "gray", as_uint8=False)


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
    for name, options in [("a.png", {}), ("a.webp", {"lossless": True, "exact": True})]:
        assert_array_equal(load_image(save(tmp_path / name, rgba, **options)), picture)
    with pytest.raises(ImageReadError, match="TIFF with transparent pixels"):
        load_image(save(tmp_path / "a.tif", rgba))
    rgba[..., 3] = 255
    assert_array_equal(load_image(save(tmp_path / "b.tif", rgba)), picture)
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
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "broken or truncated|more than max_pixels"),
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


def test_checked_images_with_another_limit_are_taken_by_estimators(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((50, 80), np.uint8))
    transformer = HoGTransformer().fit([path])
    with pytest.raises(ImageReadError, match="max_pixels=3999"):
        transformer.transform(check_images([path], max_pixels=3999))
    assert len(transformer.transform(check_images([path], max_pixels=4000))) == 1


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


def test_resizing_averages_downwards_and_interpolates_upwards():
    image = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    means = image.reshape(10, 4, 15, 4).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (10, 15)) - means).max() <= 0.5
    expected = cv2.resize(image, (120, 80), interpolation=cv2.INTER_LINEAR)
    assert_array_equal(resize_image(image, (80, 120)), expected)
    assert resize_image(image, (20, 90)).shape == (20, 90)
    assert resize_image(image, (40, 60)) is image


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.one_of(
            st.tuples(*[st.integers(1, 9)] * 3),
            st.tuples(*[st.integers(1, 9)] * 3, st.sampled_from([1, 3, 4])),
        ),
    )
)
def test_every_uint8_batch_is_read_as_it_is(batch):
    images = check_images(batch)
    assert len(images) == len(batch)
    for index, image in enumerate(batch):
        expected = (
            image[..., :3]
            if image.ndim == 3 and image.shape[2] > 1
            else image.reshape(image.shape[:2])
        )
        actual = images[index]
        assert_array_equal(actual, expected if expected.ndim == 3 else np.dstack([expected] * 3))
    stacked = np.concatenate(list(images.read_stacked(RGB)))
    assert_array_equal(stacked, np.stack([images[i] for i in range(len(images))]))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (2, 4, 5), elements=st.floats(0, 1, width=32)))
def test_floats_round_trip_through_8_bits_when_resized(batch):
    images = check_images(batch)
    assert_array_equal(images.read(1, GRAY), batch[1])
    resized = images.read(1, Preprocessing((4, 5), "gray"))
    assert resized.dtype == np.uint8
    assert np.abs(resized / 255 - batch[1]).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("scale", [-0.01, 1.01, np.inf, np.nan])
def test_floats_out_of_range_are_errors_that_name_the_index(scale):
    images = check_images([np.zeros((4, 4)), np.full((4, 4), scale)])
    images.read(0, GRAY)
    with pytest.raises(ValueError, match="Image 1 "):
        images.read(1, GRAY)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], r"0 sample\(s\)"),
        (np.zeros((0, 4, 4), np.uint8), r"0 sample\(s\)"),
        (np.zeros((4, 4), np.uint8), "needs `input_shape`"),
        (np.zeros((1, 2, 3, 3, 3), np.uint8), r"shape \(1, 2, 3, 3, 3\)"),
        (np.zeros((2, 4, 4, 5), np.uint8), "5 channels"),
        (np.zeros((2, 4, 4), np.int32), "dtype int32"),
        ([np.zeros((4, 4), np.uint8), "a.png"], "item 1 is a path"),
        (["a.png", np.zeros((4, 4), np.uint8)], "item 1 is no path"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8)], "item 1 of X .* 2 channels"),
        ([np.zeros((4, 4), np.uint8), None], "item 1 of X is a NoneType"),
        ([[[0, 1], [1, 0]]], "item 0 of X is a list"),
    ],
)
def test_what_is_no_set_of_images_is_a_value_error(X, message):
    with pytest.raises(ValueError, match=message):
        check_images(X, caller="Caller")


@pytest.mark.parametrize("X", ["a.png", {"a": 1}, 3, (x for x in "ab")])
def test_what_is_no_sequence_is_a_type_error(X):
    with pytest.raises(TypeError, match="Caller"):
        check_images(X, caller="Caller")


def test_slices_remember_the_index_that_the_user_knows(tmp_path):
    images = check_images([tmp_path / f"{i}.png" for i in range(10)])
    with pytest.raises(ImageReadError, match=r"image 7,.*7\.png"):
        images[5:][2]
    with pytest.raises(ValueError, match="step 1"):
        images[::2]


def test_batches_keep_order_and_split_where_sizes_change():
    sizes = [(4, 4)] * 3 + [(5, 4)] * 2 + [(4, 4)] * 70
    images = [np.full(size, i, np.uint8) for i, size in enumerate(sizes)]
    for n_jobs in (1, 2):
        batches = list(map_batches(lambda b: b[:, 0, 0], check_images(images), GRAY, n_jobs=n_jobs))
        assert_array_equal(np.concatenate(batches), np.arange(75))
        assert [len(batch) for batch in batches] == [3, 2, 59, 11]


def test_few_decoded_images_are_held_at_a_time(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((64, 64), np.uint8))
    alive, most, lock = 0, 0, threading.Lock()

    def count(batch):
        nonlocal alive, most
        with lock:
            alive += len(batch)
            most = max(most, alive)
        result = batch[:, 0, 0].copy()
        with lock:
            alive -= len(batch)
        return result

    images = check_images([path] * 1000)
    total = sum(len(b) for b in map_batches(count, images, GRAY, n_jobs=2, batch_size=16))
    assert total == 1000
    assert most <= 32


def places(image, size, n_crops):
    """Where the crops begin, in an image of which each pixel says where it is."""
    rows, columns = np.indices(image.shape)
    return [
        (int(row[0, 0]), int(column[0, 0]))
        for row, column in zip(
            *(cut_crops(part.astype(np.uint8), size, n_crops) for part in (rows, columns)),
            strict=True,
        )
    ]


@pytest.mark.parametrize(
    ("n_crops", "expected"),
    [
        (1, [(10, 5)]),
        (4, [(0, 0), (0, 10), (20, 0), (20, 10)]),
        (5, [(0, 0), (0, 10), (20, 0), (20, 10), (10, 5)]),
        (9, [(a, b) for a in (0, 10, 20) for b in (0, 5, 10)]),
    ],
)
def test_crops_lie_at_fixed_places_from_edge_to_edge(n_crops, expected):
    image = np.zeros((50, 40), np.uint8)
    assert places(image, (30, 30), n_crops) == expected
    assert len(places(image, (30, 30), 25)) == 25


def test_crops_that_are_the_same_count_once():
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    assert_array_equal(cut_crops(image, (30, 30), 4), [image[:, :30], image[:, 11:]])
    assert_array_equal(cut_crops(image[:, :30], (30, 30), 9), [image[:, :30]])


def test_images_smaller_than_a_crop_are_enlarged_to_cover_it(picture):
    enlarged = enlarge_to_cover(picture, (60, 75))
    assert_array_equal(enlarged, resize_image(picture, (60, 90)))
    assert_array_equal(cut_crops(picture, (60, 75), 1), [enlarged[:, 7:82]])
    assert enlarge_to_cover(picture, (40, 20)) is picture


def test_crops_are_read_at_native_resolution(tmp_path, picture):
    wanted = Preprocessing((16, 16), "gray", n_crops=4)
    path = save(tmp_path / "a.png", picture)
    expected = cut_crops(load_image(path, color_space="gray"), (16, 16), 4)
    assert expected.shape == (4, 16, 16)
    for X in ([path, path], [picture, picture], np.stack([picture, picture])):
        images = check_images(X)
        assert_array_equal(images.read(1, wanted), expected)
        assert_array_equal(np.concatenate(list(images.read_stacked(wanted))), [expected] * 2)
    assert wanted.to_record()["n_crops"] == 4


def test_images_of_other_numbers_of_crops_are_stacked_apart(picture):
    wanted = Preprocessing((40, 40), "rgb", n_crops=4)
    images = check_images([picture, picture, picture[:, :40], picture])
    shapes = [stack.shape for stack in images.read_stacked(wanted)]
    assert shapes == [(2, 2, 40, 40, 3), (1, 1, 40, 40, 3), (1, 2, 40, 40, 3)]


def test_some_images_are_taken_in_order():
    X = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    for images in (check_images(X), check_images(list(X))):
        taken = images.take(np.array([3, 0, 3]))
        assert [int(taken[i][0, 0, 0]) for i in range(len(taken))] == [3, 0, 3]


def test_levels_of_floats_have_white_at_255():
    assert_array_equal(as_levels(np.array([0, 0.5, 1])), [0, 127.5, 255])
    levels = np.array([0, 128, 255], np.uint8)
    assert as_levels(levels) is levels
