import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter

from detectorkit.fingerprint import noise_residuals
from detectorkit.fingerprint.residuals import RESIDUALS, _transform


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.normal(128, 400, (3, 50, 66)), (0, 6, 6))
    return (smooth + random.normal(0, 2, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("residual", RESIDUALS)
def test_residuals_are_standardised_in_every_image(images, residual):
    found = noise_residuals(images, residual)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, atol=1e-4)
    flat = np.full((1, 20, 20), 77, np.uint8)
    assert not noise_residuals(flat, residual).any()


@pytest.mark.parametrize("residual", RESIDUALS)
def test_residuals_find_the_noise_of_a_smooth_image(residual):
    random = np.random.default_rng(0)
    noise = random.normal(0, 3, (1, 64, 64))
    slope = np.linspace(60, 180, 64)
    noisy = np.rint(slope + noise).astype(np.uint8)
    found = noise_residuals(noisy, residual)
    assert np.corrcoef(found.ravel(), noise.ravel())[0, 1] > 0.55


def test_high_pass_and_median_are_what_they_say(images):
    kernel = np.array([1, 2, 1]) / 4
    padded = np.pad(images[0].astype(float), 1, mode="reflect")
    rows = sum(k * padded[i : i + 50] for i, k in enumerate(kernel))
    smooth = sum(k * rows[:, i : i + 66] for i, k in enumerate(kernel))
    for name, denoised in (
        ("highpass", smooth),
        ("median", median_filter(images[0], 3, mode="nearest")),
    ):
        expected = np.clip(images[0] - denoised.astype(float), -8, 8)
        expected = (expected - expected.mean()) / expected.std()
        np.testing.assert_allclose(noise_residuals(images[:1], name)[0], expected, atol=1e-4)


def test_wavelet_transform_is_orthogonal():
    for side in (8, 16, 50):
        matrix = _transform(side).astype(float)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(side), atol=1e-6)
    constant = _transform(16) @ np.ones(16)
    np.testing.assert_allclose(constant, [np.sqrt(2)] * 8 + [0] * 8, atol=1e-6)


def test_channels_are_filtered_one_by_one(images):
    colour = np.stack([images[0], images[1], images[2]], axis=2)[np.newaxis]
    found = noise_residuals(colour)[0]
    for channel in range(3):
        alone = noise_residuals(images[channel : channel + 1])[0]
        assert np.corrcoef(found[..., channel].ravel(), alone.ravel())[0, 1] > 0.9999


def test_errors_name_the_cure(images):
    with pytest.raises(ValueError, match="residual='srm' must be one of 'highpass'"):
        noise_residuals(images, "srm")
    with pytest.raises(ValueError, match="Expected shape"):
        noise_residuals(images[0])
    with pytest.raises(ValueError, match="dtype int64"):
        noise_residuals(images.astype(np.int64))
