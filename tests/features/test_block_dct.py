import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.fft import dctn

from detectorkit.features import BlockDCTTransformer, block_dct_statistics


def make(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reference(image):
    """Go through the blocks of an image one by one."""
    rows, columns = (side // 8 for side in image.shape)
    blocks = [
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].astype(np.float64)
        for row in range(rows)
        for column in range(columns)
    ]
    magnitudes = np.abs([dctn(block, norm="ortho").ravel() for block in blocks])
    return np.log(np.concatenate([magnitudes.mean(axis=0), magnitudes.std(axis=0)]) + 0.1)


@settings(max_examples=50, deadline=None)
@given(size=st.tuples(st.integers(8, 50), st.integers(8, 50)), seed=st.integers(0, 3))
def test_equals_the_statistics_of_scipys_transform(size, seed):
    images = make((2, *size), seed)
    actual = block_dct_statistics(images)
    assert actual.dtype == np.float32
    expected = np.array([reference(image) for image in images])
    # Of one block the deviation is 0, which rounding may miss by a hundredth of a grey level.
    assert_allclose(actual, expected, atol=0.3)
    # So it does for the lowest frequency of any number of blocks: its mean is near 1000.
    assert_allclose(np.exp(actual[:, 64]), np.exp(expected[:, 64]), rtol=2e-3, atol=0.02)
    several = min(size[0] // 8, size[1] // 8) >= 2
    exact = np.r_[:64, 65:128] if several else np.r_[:64]
    assert_allclose(actual[:, exact], expected[:, exact], atol=2e-3)


def test_floats_are_rounded_to_whole_levels():
    floats = np.random.default_rng(0).random((2, 27, 35))
    expected = [reference(np.rint(255 * image).astype(np.uint8)) for image in floats]
    assert_allclose(block_dct_statistics(floats), expected, atol=2e-3)
    assert_array_equal(
        block_dct_statistics(make((1, 24, 24)) / 255), block_dct_statistics(make((1, 24, 24)))
    )


def test_a_constant_block_has_only_its_mean():
    # Of an orthonormal transform of 8 x 8 pixels, the lowest frequency is 8 times the mean.
    means, deviations = block_dct_statistics(np.full((1, 8, 8), 50, np.uint8)).reshape(2, 64)
    assert_allclose(means[0], np.log(400.1), rtol=1e-6)
    assert_allclose(means[1:], np.log(0.1), atol=1e-2)
    assert_allclose(deviations, np.log(0.1), atol=1e-2)


@pytest.mark.parametrize(("axis", "place"), [(1, 3), (0, 24)])
def test_one_cosine_is_in_one_place(axis, place):
    # The third frequency from left to right is in place 3, from top to bottom in 3 rows of 8.
    wave = np.cos(np.pi * (np.arange(8) + 0.5) * 3 / 8)
    image = np.expand_dims(wave, 1 - axis) * np.ones((8, 8))
    image = np.rint(128 + 100 * image).astype(np.uint8)
    means = np.exp(block_dct_statistics(image[None])[0, :64])
    # The amplitude times the norm of the wave, 2 along it, and of a constant, sqrt(8) across.
    assert_allclose(means[place], 100 * 2 * np.sqrt(8), rtol=0.01)
    others = np.delete(means, [0, place])
    assert others.max() < 3  # of rounding


def test_mean_and_deviation_are_those_of_magnitudes():
    # Four blocks of 10, 20, 30 and 40: means of 80, 160, 240 and 320.
    image = np.kron([[10, 20], [30, 40]], np.ones((8, 8))).astype(np.uint8)
    features = block_dct_statistics(image[None])[0]
    assert_allclose(features[0], np.log(200.1), rtol=1e-6)
    assert_allclose(features[64], np.log(np.std([80, 160, 240, 320]) + 0.1), rtol=1e-5)


def test_pixels_that_fill_no_block_do_not_matter():
    images = make((2, 29, 38))
    expected = block_dct_statistics(images)
    assert_array_equal(block_dct_statistics(images[:, :24, :32]), expected)
    images[:, 24:] = 0
    images[:, :, 32:] = 255
    assert_array_equal(block_dct_statistics(images), expected)


def test_other_images_beside_it_do_not_matter():
    images = make((5, 30, 37))
    one_by_one = np.concatenate([block_dct_statistics(image[None]) for image in images])
    assert_array_equal(block_dct_statistics(images), one_by_one)


@pytest.mark.parametrize("size", [(7, 20), (20, 7)])
def test_less_than_a_block_is_refused(size):
    with pytest.raises(
        ValueError, match=rf"block_dct_statistics: .* of {size[0]} x {size[1]} .* at least 8 x 8"
    ):
        block_dct_statistics(make((1, *size)))
    with pytest.raises(ValueError, match=r"BlockDCTTransformer: .* at least 8 x 8"):
        BlockDCTTransformer().fit([make(size)])


def test_no_array_of_grey_images_is_refused():
    for images in (make((16, 16)), make((1, 16, 16, 3)), make((1, 16, 16)).astype(int)):
        with pytest.raises(ValueError, match=r"block_dct_statistics: .* Expected grey images"):
            block_dct_statistics(images)


def test_transformer_equals_the_function():
    image = make((40, 44))
    assert_array_equal(
        BlockDCTTransformer().fit_transform([image]), block_dct_statistics(image[None])
    )
