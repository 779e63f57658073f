import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit.features.spectrum import RadialSpectrumTransformer, radial_spectrum


def make(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def wave(size, by_row, by_column):
    """Give the cosine of a frequency, in cycles a pixel."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    image = 128 + 100 * np.cos(2 * np.pi * (by_row * rows + by_column * columns) + 0.5)
    return np.rint(image).astype(np.uint8)


def full_spectrum(image):
    """Give power and place of all frequencies by the sum that defines them."""
    image = image.astype(np.float64) - image.mean()
    for axis, side in enumerate(image.shape):
        places = np.arange(side)
        hann = np.sin(np.pi * (places + 0.5) / side) ** 2
        hann /= np.sqrt(np.mean(hann**2))
        image = image * np.expand_dims(hann, 1 - axis)
        waves = np.exp(-2j * np.pi * np.outer(places, places) / side)
        image = np.tensordot(waves, image, (1, axis)).swapaxes(0, axis)
    by_row, by_column = (np.fft.fftfreq(side) for side in image.shape)
    return np.abs(image) ** 2 / image.size, by_row[:, None], by_column[None]


def fill(values, *, is_round=False):
    """Interpolate what is missing, on a circle or on a line."""
    known = np.flatnonzero(~np.isnan(values))
    period = len(values) if is_round else None
    return np.interp(np.arange(len(values)), known, values[known], period=period)


def reference(image, n_rings, n_angles):
    """Go through the rings and the angles of the full spectrum, one by one."""
    power, by_row, by_column = full_spectrum(image)
    radius = np.hypot(by_row, by_column)
    edges = np.sqrt(0.5) * np.arange(n_rings + 1) / n_rings
    edges[-1] = 1
    rings = np.full(n_rings, np.nan)
    for ring in range(n_rings):
        inside = (radius >= edges[ring] - 1e-12) & (radius < edges[ring + 1] - 1e-12) & (radius > 0)
        if inside.any():
            rings[ring] = np.log(power[inside].mean() + 0.01)
    rings = fill(rings)
    angles = np.full(n_angles, np.nan)
    clear = (radius > 0.1) & (abs(by_row) < 0.5) & (abs(by_column) < 0.5)
    turn = np.rad2deg(np.arctan2(by_row, by_column)) % 180
    for angle in range(n_angles):
        away = (turn - angle * 180 / n_angles + 90) % 180 - 90
        inside = clear & (away >= -90 / n_angles - 1e-9) & (away < 90 / n_angles - 1e-9)
        if inside.any():
            angles[angle] = np.log(power[inside].mean() + 0.01)
    if n_angles:
        angles = fill(angles, is_round=True)
        angles -= angles.mean()
    return np.concatenate([rings - rings.mean(), angles])


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 11), (13, 10), (15, 32), (40, 27)])
@pytest.mark.parametrize(("n_rings", "n_angles"), [(2, 1), (5, 4), (12, 16), (64, 0), (128, 7)])
def test_equals_the_sum_that_defines_the_transform(size, n_rings, n_angles):
    image = make(size)
    actual = radial_spectrum(image[None], n_rings=n_rings, n_angles=n_angles)[0]
    assert actual.dtype == np.float32
    assert_allclose(actual, reference(image, n_rings, n_angles), atol=1e-5)


def test_white_noise_is_equally_strong_everywhere():
    features = radial_spectrum(make((1, 512, 512)), n_rings=32)
    assert_allclose(features, 0, atol=0.3)


@pytest.mark.parametrize("size", [(64, 64), (63, 65), (80, 48)])
@pytest.mark.parametrize(
    ("by_row", "by_column", "angle"),
    [(0, 0.25, 0), (0.125, 0.125, 4), (0.25, 0, 8), (0.3, -0.3, 12), (-0.3, 0.3, 12)],
)
def test_a_cosine_is_in_its_ring_and_at_its_angle(size, by_row, by_column, angle):
    # Of 13 rings, no frequency of the list is near an edge.
    features = radial_spectrum(wave(size, by_row, by_column)[None], n_rings=13)[0]
    assert features[:13].argmax() == int(np.hypot(by_row, by_column) / np.sqrt(0.5) * 13)
    assert features[13:].argmax() == angle


def test_the_highest_frequency_is_in_the_last_ring():
    checkerboard = np.indices((32, 32)).sum(axis=0) % 2 * np.uint8(255)
    features = radial_spectrum(checkerboard[None].astype(np.uint8), n_rings=10, n_angles=0)[0]
    assert features.argmax() == 9


def test_brightness_does_not_matter():
    image = make((1, 40, 50)) // 2
    assert_allclose(radial_spectrum(image + 100), radial_spectrum(image), atol=1e-4)


def test_contrast_does_not_matter_where_there_is_power():
    image = make((1, 64, 64)) // 3
    assert_allclose(radial_spectrum(image * 3), radial_spectrum(image), atol=1e-3)


def test_mirror_images_and_half_turns_have_the_same_rings():
    image = make((1, 33, 48))
    expected = radial_spectrum(image)
    assert_allclose(radial_spectrum(image[:, ::-1, ::-1]), expected, atol=1e-4)
    assert_allclose(radial_spectrum(image[:, :, ::-1])[:, :128], expected[:, :128], atol=1e-4)


def test_a_transposed_image_has_its_angles_in_another_order():
    image = make((1, 33, 48))
    features, turned = (radial_spectrum(i)[0] for i in (image, image.swapaxes(1, 2)))
    assert_allclose(turned[:128], features[:128], atol=1e-4)
    assert_allclose(turned[128:], features[128:][(8 - np.arange(16)) % 16], atol=1e-4)


def test_a_flat_image_has_zeros():
    assert_array_equal(radial_spectrum(np.full((2, 20, 24), 77, np.uint8)), np.zeros((2, 144)))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    n_rings=st.integers(2, 200),
    n_angles=st.integers(0, 40),
    seed=st.integers(0, 3),
)
def test_every_size_has_as_many_finite_features(size, n_rings, n_angles, seed):
    features = radial_spectrum(make((2, *size), seed), n_rings=n_rings, n_angles=n_angles)
    assert features.shape == (2, n_rings + n_angles)
    assert np.isfinite(features).all()


def test_other_images_beside_it_do_not_matter():
    images = make((5, 30, 37))
    one_by_one = np.concatenate([radial_spectrum(image[None]) for image in images])
    assert_array_equal(radial_spectrum(images), one_by_one)


def test_images_are_not_changed():
    images = make((3, 24, 24))
    before = images.copy()
    radial_spectrum(images)
    assert_array_equal(images, before)


@pytest.mark.parametrize("numbers", [{"n_rings": 1}, {"n_angles": -1}])
def test_the_function_refuses_numbers_out_of_range(numbers):
    with pytest.raises(ValueError, match=r"radial_spectrum: n_rings=.* must be at least 2"):
        radial_spectrum(make((1, 16, 16)), **numbers)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (make((16, 16)), r"shape \(16, 16\) and dtype uint8"),
        (make((1, 16, 16)).astype(int), "dtype int64"),
        (make((1, 7, 16)), "of 7 x 16 pixels .* at least 8 x 8"),
    ],
)
def test_the_function_refuses_what_is_no_grey_image(images, words):
    with pytest.raises(ValueError, match=rf"radial_spectrum: .*{words}"):
        radial_spectrum(images)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_rings", 1), ("n_rings", 8.0), ("n_rings", True), ("n_angles", -1), ("n_angles", "4")],
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"RadialSpectrumTransformer: {name}=.* must be"):
        RadialSpectrumTransformer(**{name: value}).fit([make((32, 32))])


def test_transformer_equals_the_function():
    image = make((40, 44))
    actual = RadialSpectrumTransformer(n_rings=20, n_angles=6).fit_transform([image])
    assert_array_equal(actual, radial_spectrum(image[None], n_rings=20, n_angles=6))


def test_tiles_give_all_sizes_the_same_frequencies():
    period = 4  # of stripes
    sizes = [(32, 32), (64, 96), (100, 70)]
    images = [wave(size, 0, 1 / period) for size in sizes]
    features = RadialSpectrumTransformer(tile_size=(32, 32)).fit_transform(images)
    assert_allclose(features[1:], features[[0, 0]], atol=1e-4)
