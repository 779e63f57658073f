import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage.feature import local_binary_pattern

from detectorkit.features import LBPTransformer, lbp_histograms


def make(shape, seed=0, levels=256):
    return np.random.default_rng(seed).integers(0, levels, shape, dtype=np.uint8)


def from_scikit_image(image, radius, method, n_codes):
    codes = local_binary_pattern(image, 8, radius, method=method)
    inner = codes[radius:-radius, radius:-radius].astype(int)
    return np.bincount(inner.ravel(), minlength=n_codes) / inner.size


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    radius=st.integers(1, 3),
    levels=st.sampled_from([1, 3, 256]),  # few levels make many ties
    seed=st.integers(0, 1000),
    codes=st.sampled_from([("default", "default", 256), ("uniform", "nri_uniform", 59)]),
)
def test_on_the_circle_equals_scikit_image(size, radius, levels, seed, codes):
    image = make(size, seed, levels)
    actual = lbp_histograms(image[None], radius=radius, neighborhood="circle", codes=codes[0])[0]
    assert_allclose(actual, from_scikit_image(image, radius, codes[1], codes[2]), atol=1e-7)


def test_square_equals_scikit_image_where_both_look_at_the_same_pixels():
    # Four neighbours lie on whole pixels; they are the even bits of the eight.
    image = make((30, 40), levels=5)
    codes = local_binary_pattern(image, 4, 2, method="default")[2:-2, 2:-2].astype(int)
    expected = np.bincount(codes.ravel(), minlength=16) / codes.size
    actual = lbp_histograms(image[None], radius=2, codes="default")[0]
    four = sum((np.arange(256) >> (2 * bit) & 1) << bit for bit in range(4))
    assert_allclose(np.bincount(four, actual), expected, atol=1e-6)


def test_square_by_hand():
    image = np.array([[9, 1, 5], [4, 5, 6], [5, 0, 7]], np.uint8)
    # From the right, counter-clockwise: 6, 5, 1, 9, 4, 5, 0, 7 against 5.
    code = sum(bit << place for place, bit in enumerate([1, 1, 0, 1, 0, 1, 0, 1]))
    histogram = lbp_histograms(image[None], codes="default")[0]
    assert np.flatnonzero(histogram).tolist() == [code]
    # It changes more than twice around the circle.
    assert lbp_histograms(image[None])[0, 58] == 1


def test_a_flat_image_has_one_code():
    histogram = lbp_histograms(np.full((1, 20, 20), 7, np.uint8))[0]
    assert histogram[57] == 1
    assert histogram.sum() == 1


@pytest.mark.parametrize("radius", [1, 2])
def test_each_tile_of_the_grid_has_its_own_histogram(radius):
    image = make((1, 33, 41), levels=8)
    grid = lbp_histograms(image, radius=radius, grid=(3, 4)).reshape(3, 4, 59)
    height, width = 33 - 2 * radius, 41 - 2 * radius
    for row in range(3):
        for column in range(4):
            top, bottom = (-(-height * k // 3) for k in (row, row + 1))
            left, right = (-(-width * k // 4) for k in (column, column + 1))
            part = image[:, top : bottom + 2 * radius, left : right + 2 * radius]
            assert_allclose(grid[row, column], lbp_histograms(part, radius=radius)[0], atol=1e-7)


def test_brighter_and_more_contrast_is_the_same_pattern():
    image = make((1, 40, 40), levels=60)
    assert_array_equal(lbp_histograms(image), lbp_histograms((image * 3 + 20).astype(np.uint8)))


def test_roots_of_shares():
    images = make((2, 30, 30))
    assert_allclose(lbp_histograms(images, root=True) ** 2, lbp_histograms(images), atol=1e-7)
    described = LBPTransformer(color_space="ycbcr").fit_transform(list(make((2, 30, 30, 3))))
    assert_allclose((described.reshape(2, 3, 59) ** 2).sum(axis=2), 1, atol=1e-5)


def test_names_say_plane_tile_and_code():
    transformer = LBPTransformer(grid=(2, 3), color_space="rgb").fit(make((1, 30, 30, 3)))
    names = transformer.get_feature_names_out()
    assert names[0] == "lbp_r_0_0_0"
    assert names[-1] == "lbp_b_1_2_58"
    assert LBPTransformer().fit(make((1, 9, 9))).get_feature_names_out()[58] == "lbp_gray_58"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("radius", 0),
        ("neighborhood", "hexagon"),
        ("codes", "riu2"),
        ("grid", 4),
        ("root", "yes"),
        ("color_space", "lab"),
        ("crop_size", (8,)),
    ],
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"LBPTransformer: {name}=.* must be"):
        LBPTransformer(**{name: value}).fit(make((1, 30, 30)))


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="lbp_histograms: codes='riu2' must be one of"):
        lbp_histograms(make((1, 9, 9)), codes="riu2")
    with pytest.raises(ValueError, match="lbp_histograms: neighborhood='cross' must be one of"):
        lbp_histograms(make((1, 9, 9)), neighborhood="cross")


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match="at least 8 x 9"):
        lbp_histograms(make((1, 7, 20)), radius=2, grid=(4, 5))
    with pytest.raises(ValueError, match=r"7 x 20 pixels is too small; .* at least 8 x 9"):
        LBPTransformer(radius=2, grid=(4, 5)).fit(make((1, 7, 20)))
