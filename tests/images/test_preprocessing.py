import cv2
import numpy as np
from numpy.testing import assert_array_equal

from detectorkit.images.preprocessing import resize_image


def test_resizing_averages_downwards_and_interpolates_upwards():
    image = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    means = image.reshape(10, 4, 15, 4).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (10, 15)) - means).max() <= 0.5
    expected = cv2.resize(image, (120, 80), interpolation=cv2.INTER_LINEAR)
    assert_array_equal(resize_image(image, (80, 120)), expected)
    assert resize_image(image, (20, 90)).shape == (20, 90)
    assert resize_image(image, (40, 60)) is image
