import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import gennorm
from skimage.feature import graycomatrix, graycoprops

from detectorkit.features.glcm import ANGLES, PROPERTIES, glcm_properties
from detectorkit.features.skin import skin_mask
from detectorkit.features.smoothness import (
    SmoothnessTransformer,
    _moments,
    smoothness_statistics,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SKIN = (224, 172, 138)


def make(shape, seed=0, blur=1.0):
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), blur) for image in noise])


def named(images, **parameters):
    """Give the statistics of one image by their names."""
    transformer = SmoothnessTransformer(glcm_distances=(), **parameters).fit(images)
    names = [name.removeprefix("smoothness_gray_") for name in transformer.get_feature_names_out()]
    return dict(zip(names, transformer.transform(images)[0].tolist(), strict=True))


# Skin ----------------------------------------------------------------------------------------


def test_skin_is_a_matter_of_colour():
    image = np.zeros((1, 32, 40, 3), np.uint8)
    image[:, :, :20] = SKIN
    image[:, :, 20:] = 60, 120, 200
    mask = skin_mask(image)
    assert mask.dtype == bool
    assert mask[:, :, :18].all()
    assert not mask[:, :, 22:].any()
    assert_array_equal(skin_mask((image / 255).astype(np.float32)), mask)


@pytest.mark.parametrize(
    "color", [(92, 60, 44), (141, 85, 54), (198, 134, 92), (224, 172, 138), (255, 219, 190)]
)
def test_skin_is_found_from_dark_to_light(color):
    assert skin_mask(np.full((1, 8, 8, 3), color, np.uint8)).all()


def test_grey_has_no_colour_of_skin():
    grey = np.repeat(make((1, 16, 16))[..., np.newaxis], 3, axis=3)
    assert not skin_mask(grey).any()
    for images in (grey[..., 0], grey[..., :1], grey[0], grey.astype(int)):
        with pytest.raises(ValueError, match=r"skin_mask: .* Grey images have no colour of skin"):
            skin_mask(images)


def test_skin_does_not_depend_on_the_batch():
    images = make((5, 24, 24, 3))
    assert_array_equal(skin_mask(images)[3:], skin_mask(images[3:]))


# Co-occurrences ------------------------------------------------------------------------------


def reference(image, distances, levels):
    steps = image.astype(int) * levels // 256
    counts = graycomatrix(
        steps.astype(np.uint8), distances, np.deg2rad(ANGLES), levels, symmetric=True, normed=True
    )
    found = [graycoprops(counts, name) for name in PROPERTIES]
    return np.stack(found, axis=-1).ravel()


@pytest.mark.parametrize("levels", [2, 8, 32, 256])
@pytest.mark.parametrize("distances", [(1,), (1, 2, 3), (7, 4)])
def test_glcm_equals_scikit_image(distances, levels):
    images = make((3, 40, 31))
    actual = glcm_properties(images, distances=distances, levels=levels)
    expected = [reference(image, distances, levels) for image in images]
    assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    levels=st.integers(2, 256),
    n_values=st.integers(1, 256),
    data=st.data(),
)
def test_glcm_equals_scikit_image_for_any_image(size, levels, n_values, data):
    limit = min(size) - 1
    distances = data.draw(st.lists(st.integers(1, limit), min_size=1, max_size=3, unique=True))
    seed = data.draw(st.integers(0, 1000))
    image = np.random.default_rng(seed).integers(0, n_values, size).astype(np.uint8)
    actual = glcm_properties(image[np.newaxis], distances=distances, levels=levels)[0]
    assert_allclose(actual, reference(image, distances, levels), rtol=1e-5, atol=2e-6)


def test_glcm_of_a_matrix_worked_by_hand():
    # The levels 0 and 1 in columns: side by side always different, one above the other the same.
    image = np.tile(np.array([0, 128], np.uint8), (4, 2))
    contrast, homogeneity, energy, correlation = range(4)
    across, _, down, _ = glcm_properties(image[np.newaxis], levels=2).reshape(4, 4)
    assert_allclose(across[[contrast, homogeneity, correlation]], [1, 0.5, -1])
    assert_allclose(down[[contrast, homogeneity, energy, correlation]], [0, 1, np.sqrt(0.5), 1])


def test_glcm_within_a_mask_counts_pairs_with_both_pixels_inside():
    images, mask = make((2, 20, 24)), np.zeros((2, 20, 24), bool)
    mask[0, 3:12, 5:19] = True
    mask[1, 10:, :13] = True
    masked = glcm_properties(images, distances=(1, 3), mask=mask)
    parts = images[0, 3:12, 5:19], images[1, 10:, :13]
    expected = [glcm_properties(part[np.newaxis], distances=(1, 3))[0] for part in parts]
    assert_array_equal(masked, expected)
    everything = np.ones_like(mask)
    assert_array_equal(glcm_properties(images, mask=everything), glcm_properties(images))
    nothing = glcm_properties(images, mask=~everything)
    assert_array_equal(nothing, np.tile(np.float32([0, 0, 0, 1]), (2, 4)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"distances": ()}, r"distances=\(\) must be"),
        ({"distances": (1, 1)}, r"distances=\(1, 1\) must be"),
        ({"distances": (0,)}, r"distances=\(0,\) must be"),
        ({"distances": 2}, "distances=2 must be"),
        ({"distances": (1.5,)}, "distances=.* must be"),
        ({"levels": 1}, "levels=1 must be"),
        ({"levels": 257}, "levels=257 must be"),
        ({"levels": True}, "levels=True must be"),
        ({"distances": (16,)}, "size of at least 17 x 17"),
        ({"mask": np.ones((2, 16, 15), bool)}, "mask of shape"),
        ({"mask": np.ones((2, 16, 16))}, "dtype float64"),
    ],
)
def test_glcm_names_what_is_wrong(parameters, message):
    with pytest.raises(ValueError, match=f"glcm_properties: .*{message}"):
        glcm_properties(make((2, 16, 16)), **parameters)


# Smoothness ----------------------------------------------------------------------------------


def windows(image, size, margin):
    """Give the window around every pixel that counts, one a row."""
    half = size // 2
    places = itertools.product(*(range(margin, side - margin) for side in image.shape))
    return np.array(
        [
            image[i - half : i + half + 1, j - half : j + half + 1].astype(np.float64).ravel()
            for i, j in places
        ]
    )


def slow_normalised(image, margin):
    distance = np.arange(-3, 4)
    weight = np.exp(-(distance**2) / (2 * (7 / 6) ** 2))
    weight = np.outer(weight, weight).ravel() / weight.sum() ** 2
    found = windows(image, 7, margin)
    mean = found @ weight
    variance = ((found - mean[:, np.newaxis]) ** 2) @ weight
    return (found[:, 24] - mean) / (np.sqrt(variance) + 1)


@pytest.mark.parametrize("sizes", [(3, 5, 9), (3,), (11, 3), (31,)])
@pytest.mark.parametrize("kind", ["noise", "smooth", "two levels"])
def test_statistics_equal_slow_formulas(sizes, kind):
    image = {
        "noise": make((1, 39, 45), blur=0.01),
        "smooth": make((1, 39, 45), blur=3) // 8 + 200,
        "two levels": (make((1, 39, 45)) > 128).astype(np.uint8) * 255,
    }[kind][0]
    margin = max(*sizes, 7) // 2
    found = named([image], window_sizes=sizes)
    for size in sizes:
        logs = np.log1p(windows(image, size, margin).var(axis=1))
        actual = [found[f"variance{size}_q{100 * q:02.0f}"] for q in QUANTILES]
        expected = np.quantile(logs, QUANTILES, method="inverted_cdf")
        assert_allclose(actual, expected, atol=1e-3)
    wide = image.astype(int)
    inner = slice(margin, 39 - margin), slice(margin, 45 - margin)
    right, down = (np.abs(np.roll(wide, -1, axis) - wide)[inner] for axis in (1, 0))
    assert found["total_variation"] == pytest.approx((right + down).mean())
    coefficients = slow_normalised(image, margin)
    assert found["mscn_sd"] == pytest.approx(coefficients.std(), rel=1e-3)
    central = coefficients - coefficients.mean()
    kurtosis = (central**4).mean() / (central**2).mean() ** 2
    assert found["mscn_log_kurtosis"] == pytest.approx(np.log(kurtosis), abs=2e-3)


def test_statistics_of_an_image_worked_by_hand():
    # One pixel counts: the centre. It is 9 above the others, so the variance of 3 x 3 is 8, that of
    # 5 x 5 is 81 / 25 - 81 / 625, and that of 9 x 9 is 1 - 1 / 81.
    image = np.full((1, 9, 9), 100, np.uint8)
    image[0, 4, 4] = 109
    found = named(image)
    for size, variance in {3: 8, 5: 81 / 25 - 81 / 625, 9: 1 - 1 / 81}.items():
        for percent in ("05", "50", "95"):
            assert found[f"variance{size}_q{percent}"] == pytest.approx(np.log1p(variance))
    assert found["total_variation"] == 18
    assert found["mscn_sd"] == 0  # a single coefficient


@pytest.mark.parametrize("shape", [0.5, 0.8, 1, 1.5, 2, 3])
@pytest.mark.parametrize("scale", [0.3, 2])
def test_generalised_normal_distribution_is_recovered(shape, scale):
    values = gennorm.rvs(shape, scale=scale, size=200_000, random_state=0)
    sd, log_kurtosis, found_shape, found_scale = _moments(values.astype(np.float32))
    assert found_shape == pytest.approx(shape, rel=0.03)
    assert found_scale == pytest.approx(scale, rel=0.05)
    assert sd == pytest.approx(gennorm.std(shape, scale=scale), rel=0.02)
    assert log_kurtosis == pytest.approx(np.log(3 + gennorm.stats(shape, moments="k")), abs=0.2)


def test_shapes_stay_within_the_table():
    rare = np.zeros(100_000, np.float32)
    rare[0] = 1
    assert _moments(rare)[2] == 0.2
    assert _moments(np.float32([-1, 1] * 50))[2] == 10


def test_blurring_makes_it_smoother():
    sharp = make((4, 64, 64), blur=0.6)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 1.2) for image in sharp])
    before, after = smoothness_statistics(sharp), smoothness_statistics(smooth)
    assert np.all(after[:, :16] < before[:, :16])  # all variances, and the total variation


@pytest.mark.parametrize("size", [(9, 9), (9, 60), (10, 11), (32, 32)])
@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_flat_images_are_finite(size, level):
    images = np.full((2, *size), level, np.uint8)
    expected = np.float32([0] * 16 + [0, np.log(3), 2, 0])
    assert_array_equal(smoothness_statistics(images), np.tile(expected, (2, 1)))
    with_pairs = SmoothnessTransformer(region="skin", color_space="rgb").fit_transform(images)
    assert np.isfinite(with_pairs).all()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    n_values=st.integers(1, 256),
    share=st.sampled_from([0, 0.02, 0.3, 1]),
    seed=st.integers(0, 1000),
)
def test_everything_is_finite(size, n_values, share, seed):
    random = np.random.default_rng(seed)
    images = random.integers(0, n_values, (2, *size)).astype(np.uint8)
    mask = random.random(images.shape) < share
    features = smoothness_statistics(images, mask=mask)
    assert np.isfinite(features).all()
    assert features.min() >= 0
    assert np.isfinite(glcm_properties(images, mask=mask)).all()


def test_a_mask_of_everything_is_no_mask():
    images = make((3, 40, 50))
    expected = smoothness_statistics(images)
    everything = np.ones(images.shape, bool)
    assert_allclose(smoothness_statistics(images, mask=everything), expected, rtol=1e-6)
    few = np.zeros(images.shape, bool)
    few[:, 20, :40] = True  # 36 of them at least 4 pixels from the border
    assert_allclose(smoothness_statistics(images, mask=few), expected, rtol=1e-6)


def test_a_rectangular_mask_is_the_image_cut_out_with_its_margin():
    images, mask = make((2, 60, 70)), np.zeros((2, 60, 70), bool)
    mask[:, 20:40, 30:55] = True
    expected = smoothness_statistics(np.ascontiguousarray(images[:, 16:44, 26:59]))
    assert_allclose(smoothness_statistics(images, mask=mask), expected, rtol=1e-5)


def test_nothing_beyond_the_reach_of_the_mask_counts():
    images = make((1, 60, 60))
    mask = np.zeros(images.shape, bool)
    mask[:, 10:30, 10:30] = True
    expected = smoothness_statistics(images, mask=mask)
    far, near = images.copy(), images.copy()
    far[:, 34:] = far[:, :, 34:] = 255  # the last pixel that counts, 29, and half a window of 9
    near[:, 33:] = 255
    assert_array_equal(smoothness_statistics(far, mask=mask), expected)
    assert not np.array_equal(smoothness_statistics(near, mask=mask), expected)


def test_statistics_do_not_depend_on_the_batch():
    images = make((7, 48, 40))
    together = smoothness_statistics(images)
    assert_array_equal(together, np.concatenate([smoothness_statistics(i[None]) for i in images]))


def test_floats_are_the_same_as_levels():
    images = make((3, 40, 40))
    for dtype in (np.float32, np.float64):
        floats = (images / 255).astype(dtype)
        assert_array_equal(smoothness_statistics(floats), smoothness_statistics(images))
        assert_array_equal(glcm_properties(floats), glcm_properties(images))


def test_statistics_name_what_is_wrong():
    images = make((2, 16, 16))
    for sizes in [(), (4,), (3, 3), (1,), (33,), 3, (3.0,), None]:
        with pytest.raises(ValueError, match=r"smoothness_statistics: window_sizes=.* must be"):
            smoothness_statistics(images, window_sizes=sizes)
    with pytest.raises(ValueError, match="size of at least 17 x 17"):
        smoothness_statistics(images, window_sizes=(17,))
    with pytest.raises(ValueError, match="size of at least 7 x 7"):
        smoothness_statistics(images[:, :6], window_sizes=(3,))
    with pytest.raises(ValueError, match=r"mask of shape \(2, 16, 15\)"):
        smoothness_statistics(images, mask=np.ones((2, 16, 15), bool))


# The transformer -----------------------------------------------------------------------------


def test_transformer_is_both_functions_side_by_side():
    images = make((3, 48, 56, 3))
    green = np.ascontiguousarray(images[..., 1])
    transformer = SmoothnessTransformer(color_space="rgb", glcm_distances=(1, 2))
    features = transformer.fit_transform(images).reshape(3, 3, -1)
    assert_array_equal(features[:, 1, :20], smoothness_statistics(green))
    assert_array_equal(features[:, 1, 20:], glcm_properties(green, distances=(1, 2)))
    names = transformer.get_feature_names_out()
    assert len(names) == 3 * (20 + 32)
    assert names[2] == "smoothness_r_variance3_q50"
    assert {"smoothness_g_total_variation", "smoothness_b_glcm2_135_energy"} < set(names)


def test_skin_is_described_within_its_mask():
    images = make((2, 64, 64, 3), blur=2)
    images[:, :, 20:50] = np.array(SKIN) + images[:, :, 20:50] // 16 - 8
    mask = skin_mask(images)
    assert 0.2 < mask.mean() < 0.6
    for channel, plane in enumerate("rgb"):
        one = np.ascontiguousarray(images[..., channel])
        transformer = SmoothnessTransformer(region="skin", color_space="rgb").fit(images)
        names = transformer.get_feature_names_out()
        chosen = [name.startswith(f"smoothness_{plane}_") for name in names]
        expected = [smoothness_statistics(one, mask=mask), glcm_properties(one, mask=mask)]
        assert_array_equal(transformer.transform(images)[:, chosen], np.hstack(expected))


@pytest.mark.parametrize("color_space", ["gray", "rgb", "ycbcr"])
@pytest.mark.parametrize("tile_size", [None, (32, 32)])
def test_an_image_without_skin_is_described_whole(color_space, tile_size):
    images = make((2, 64, 64, 3))
    images[..., 0] //= 4  # too little red
    assert not skin_mask(images).any()
    same = {"color_space": color_space, "tile_size": tile_size}
    skin = SmoothnessTransformer(region="skin", **same).fit_transform(images)
    assert_allclose(skin, SmoothnessTransformer(**same).fit_transform(images), rtol=1e-5)


def test_skin_is_looked_for_in_colour_whatever_is_described():
    rough, smooth = make((1, 64, 64, 3), blur=0.5), np.full((1, 64, 64, 3), SKIN, np.uint8)
    rough[..., 2] = 255  # blue
    image = np.concatenate([smooth, rough], axis=2)
    gray = SmoothnessTransformer(region="skin").fit_transform(image)
    assert gray[0, 2] == 0  # the median variance
    ycbcr = SmoothnessTransformer(region="skin", color_space="ycbcr").fit_transform(image)
    assert_array_equal(ycbcr.reshape(3, -1)[:, 2], [0, 0, 0])
    assert SmoothnessTransformer().fit_transform(image)[0, 2] > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_sizes", (4,)),
        ("window_sizes", ()),
        ("window_sizes", 3),
        ("glcm_distances", (0,)),
        ("glcm_distances", 1),
        ("glcm_distances", ""),
        ("region", "face"),
        ("color_space", "bgr"),
        ("tile_size", (8,)),
        ("crop_size", 32),
        ("image_size", (128,)),
    ],
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"SmoothnessTransformer: {name}=.* must be"):
        SmoothnessTransformer(**{name: value}).fit(make((1, 64, 64)))


@pytest.mark.parametrize("region", ["image", "skin"])
def test_too_small_images_are_refused(region):
    for parameters, minimum in [
        ({}, 9),
        ({"window_sizes": (3,)}, 7),
        ({"glcm_distances": (12,)}, 13),
        ({"color_space": "ycbcr"}, 18),
    ]:
        transformer = SmoothnessTransformer(region=region, **parameters)
        assert transformer.fit_transform(make((1, minimum, minimum, 3))).shape[0] == 1
        with pytest.raises(ValueError, match=f"size of at least {minimum} x {minimum}"):
            transformer.fit(make((1, minimum - 1, minimum, 3)))
