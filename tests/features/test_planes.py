import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit.features import BlockDCTTransformer, block_dct_statistics
from detectorkit.features._planes import split_planes
from detectorkit.features.spectrum import RadialSpectrumTransformer
from detectorkit.images.levels import round_to_levels

SPACES = ["gray", "rgb", "ycbcr"]


def make(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def describe(image, color_space):
    """Describe one image plane by plane."""
    planes = split_planes(image[None], color_space)
    return np.concatenate([block_dct_statistics(plane) for plane in planes], axis=1)


def test_levels_are_rounded_and_clipped():
    floats = np.array([-0.5, 0, 0.49 / 255, 0.51 / 255, 1, 2])
    assert_array_equal(round_to_levels(floats), np.array([0, 0, 0, 1, 255, 255], np.uint8))
    levels = make((4, 4))
    assert round_to_levels(levels) is levels


def test_grey_is_the_luma_of_opencv():
    images = make((3, 17, 20, 3))
    (gray,) = split_planes(images, "gray")
    assert_array_equal(gray, [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


def test_rgb_is_cut_into_its_channels():
    images = make((3, 17, 20, 3))
    assert_array_equal(np.stack(split_planes(images, "rgb"), axis=3), images)


@pytest.mark.parametrize("size", [(16, 20), (17, 20), (16, 21), (17, 21), (3, 3), (2, 2)])
def test_ycbcr_is_luma_and_halved_differences_of_colour(size):
    images = make((3, *size, 3))
    y, cb, cr = split_planes(images, "ycbcr")
    half = size[0] // 2, size[1] // 2
    assert y.shape == (3, *size)
    assert cb.shape == cr.shape == (3, *half)
    for index, image in enumerate(images):
        whole = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
        assert_array_equal(y[index], whole[..., 0])
        for plane, channel in ((cb, 2), (cr, 1)):
            blocks = whole[: 2 * half[0], : 2 * half[1], channel].astype(int)
            total = blocks.reshape(half[0], 2, half[1], 2).sum(axis=(1, 3))
            assert_array_equal(plane[index], (total + 2) // 4)


def test_ycbcr_is_in_the_order_of_jpeg():
    red, blue = np.zeros((2, 1, 4, 4, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 255
    for image, expected in ((red, (76, 85, 255)), (blue, (29, 255, 107))):
        assert [int(plane[0, 0, 0]) for plane in split_planes(image, "ycbcr")] == list(expected)


def test_grey_images_have_no_differences_of_colour():
    gray = make((2, 16, 16))
    assert_array_equal(np.stack(split_planes(gray, "rgb")), [gray, gray, gray])
    y, cb, cr = split_planes(gray, "ycbcr")
    assert_array_equal(y, gray)
    assert set(np.concatenate([cb, cr]).ravel()) == {128}


@pytest.mark.parametrize("color_space", SPACES)
def test_planes_can_be_handed_to_opencv(color_space):
    for plane in split_planes(make((2, 9, 11, 3))[:, ::-1, ::-1], color_space):
        assert plane.flags.c_contiguous
        assert plane.dtype == np.uint8


@pytest.mark.parametrize("color_space", SPACES)
def test_features_are_those_of_the_planes_one_after_the_other(color_space):
    image = make((37, 50, 3))
    actual = BlockDCTTransformer(color_space=color_space).fit_transform([image])
    assert_array_equal(actual, describe(image, color_space))


@pytest.mark.parametrize("color_space", SPACES)
@pytest.mark.parametrize(
    ("size", "corner"), [((100, 120), (32, 32)), ((33, 50), (0, 0)), ((32, 40), (0, 0))]
)
def test_a_crop_is_the_centre_in_step_with_jpeg_blocks(color_space, size, corner):
    # The exact corners would be (34, 40), (0, 5) and (0, 0).
    image = make((*size, 3))
    cropped = image[corner[0] : corner[0] + 32, corner[1] : corner[1] + 40]
    actual = BlockDCTTransformer(color_space=color_space, crop_size=(32, 40)).fit_transform([image])
    assert_array_equal(actual, describe(cropped, color_space))


@pytest.mark.parametrize("color_space", SPACES)
def test_tiles_are_described_one_by_one_and_averaged(color_space):
    image = make((70, 57, 3))
    tiles = [
        image[top : top + 32, left : left + 16] for top in (0, 32) for left in (0, 16, 32)
    ]  # 6 rows and 9 columns are left over
    expected = np.mean([describe(tile, color_space) for tile in tiles], axis=0)
    actual = BlockDCTTransformer(color_space=color_space, tile_size=(32, 16)).fit_transform([image])
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_tiles_are_cut_from_the_crop():
    image = make((100, 120))
    both = BlockDCTTransformer(crop_size=(40, 40), tile_size=(16, 16)).fit_transform([image])
    tiles = BlockDCTTransformer(tile_size=(16, 16)).fit_transform([image[16:56, 32:72]])
    assert_array_equal(both, tiles)


def test_image_size_comes_before_everything():
    image = make((90, 110, 3))
    small = cv2.resize(image, (48, 40), interpolation=cv2.INTER_AREA)
    settings = {"color_space": "rgb", "crop_size": (32, 32), "tile_size": (16, 16)}
    resized = BlockDCTTransformer(image_size=(40, 48), **settings).fit_transform([image])
    assert_array_equal(resized, BlockDCTTransformer(**settings).fit_transform([small]))


@pytest.mark.parametrize("color_space", SPACES)
@pytest.mark.parametrize("kind", [BlockDCTTransformer, RadialSpectrumTransformer])
def test_images_of_several_sizes_give_the_same_as_one_by_one(kind, color_space):
    sizes = [(40, 40), (40, 40), (33, 61), (90, 20), (40, 40)]
    images = [make((*size, 3), seed) for seed, size in enumerate(sizes)]
    transformer = kind(color_space=color_space).fit(images)
    one_by_one = np.concatenate([transformer.transform([image]) for image in images])
    assert_array_equal(transformer.transform(images), one_by_one)
    assert_array_equal(transformer.set_params(n_jobs=2).transform(images), one_by_one)


@pytest.mark.parametrize("color_space", SPACES)
def test_floats_give_the_same_as_levels(color_space):
    images = make((2, 24, 28, 3))
    transformer = BlockDCTTransformer(color_space=color_space).fit(images)
    for dtype in (np.float32, np.float64):
        floats = (images / 255).astype(dtype)
        assert_array_equal(transformer.transform(floats), transformer.transform(images))


@pytest.mark.parametrize("color_space", SPACES)
def test_rows_take_the_shape_that_input_shape_says(color_space):
    images = make((3, 24, 20, 3))
    rows = images.reshape(3, -1)
    expected = BlockDCTTransformer(color_space=color_space).fit_transform(images)
    for shape in [(24, 20, 3), (24, -1, 3)]:
        by_shape = BlockDCTTransformer(color_space=color_space, input_shape=shape)
        assert_array_equal(by_shape.fit_transform(rows), expected)
    with pytest.raises(ValueError, match=r"input_shape=\(23, 20, 3\) must be .* of 1440 values"):
        BlockDCTTransformer(input_shape=(23, 20, 3)).fit(rows)


def test_rows_of_floats_are_rounded_to_levels():
    rows = make((3, 24 * 20))
    transformer = BlockDCTTransformer(input_shape=(24, 20)).fit(rows)
    assert_array_equal(transformer.transform(rows / 255), transformer.transform(rows))
    scaled = rows / 100 - 1  # as by a step of a pipeline
    clipped = np.clip(scaled, 0, 1)
    assert_array_equal(transformer.transform(scaled), transformer.transform(clipped))


@pytest.mark.parametrize("color_space", SPACES)
@pytest.mark.parametrize(
    ("transformer", "family"),
    [
        (BlockDCTTransformer(), "block_dct"),
        (RadialSpectrumTransformer(n_rings=9, n_angles=4), "spectrum"),
    ],
)
def test_every_feature_has_a_name_of_its_own(transformer, family, color_space):
    transformer = transformer.set_params(color_space=color_space).fit(make((1, 32, 32, 3)))
    names = transformer.get_feature_names_out()
    planes = {"gray": ["gray"], "rgb": ["r", "g", "b"], "ycbcr": ["y", "cb", "cr"]}[color_space]
    assert len(set(names)) == len(names) == transformer.n_features_out_
    per_plane = len(names) // len(planes)
    for plane, part in zip(planes, names.reshape(-1, per_plane), strict=True):
        assert all(name.startswith(f"{family}_{plane}_") for name in part)


def test_feature_names_of_rows_are_checked():
    rows = make((2, 64))
    transformer = BlockDCTTransformer(input_shape=(8, 8)).fit(rows)
    assert len(transformer.get_feature_names_out([f"pixel_{i}" for i in range(64)])) == 128
    with pytest.raises(ValueError, match="input_features should have length equal"):
        transformer.get_feature_names_out(["one", "two"])


@pytest.mark.parametrize(
    ("settings", "size", "words"),
    [
        ({}, (7, 30), r"an image of 7 x 30 pixels .* at least 8 x 8"),
        ({"color_space": "ycbcr"}, (15, 30), r"an image of 15 x 30 pixels .* at least 16 x 16"),
        ({"tile_size": (16, 20)}, (15, 30), r"of 15 x 30 pixels .* at least 16 x 20"),
        ({"tile_size": (4, 4)}, (30, 30), r"tile_size=\(4, 4\) .* at least 8 x 8"),
        (
            {"tile_size": (8, 24), "color_space": "ycbcr"},
            (30, 30),
            r"tile_size=\(8, 24\) .* at least 16 x 24",
        ),
    ],
)
def test_too_small_images_are_named_with_their_size_and_a_cure(settings, size, words):
    with pytest.raises(ValueError, match=rf"BlockDCTTransformer: .*{words}.*set `image_size`"):
        BlockDCTTransformer(**settings).fit([make(size)])


@pytest.mark.parametrize("size", [(31, 60), (60, 31)])
def test_images_smaller_than_the_crop_are_named_with_their_size_and_a_cure(size):
    words = (
        rf"an image of {size[0]} x {size[1]} pixels .* crop_size=\(32, 32\)\. Use a smaller crop"
    )
    with pytest.raises(ValueError, match=rf"BlockDCTTransformer: {words}.*set `image_size`"):
        BlockDCTTransformer(crop_size=(32, 32)).fit([make(size)])


def test_one_too_small_image_among_others_is_found():
    transformer = BlockDCTTransformer().fit([make((30, 30))])
    with pytest.raises(ValueError, match="an image of 5 x 30 pixels is too small"):
        transformer.transform([make((30, 30)), make((5, 30))])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color_space", "lab"),
        ("color_space", None),
        ("crop_size", 32),
        ("crop_size", (32, 1)),
        ("tile_size", (32,)),
        ("tile_size", (1, 32)),
        ("tile_size", (16.0, 16)),
        ("image_size", (0, 32)),
    ],
)
@pytest.mark.parametrize("kind", [BlockDCTTransformer, RadialSpectrumTransformer])
def test_wrong_parameters_are_named(kind, name, value):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {name}=.* must be"):
        kind(**{name: value}).fit([make((64, 64))])
