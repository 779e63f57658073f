import numpy as np
from numpy.testing import assert_array_equal

from detectorkit.images.levels import from_levels, round_to_levels, to_levels


def test_levels_of_floats_have_white_at_255():
    assert_array_equal(to_levels(np.array([0, 0.5, 1])), [0, 127.5, 255])
    levels = np.array([0, 128, 255], np.uint8)
    assert to_levels(levels) is levels


def test_levels_and_pixels_are_each_others_inverse():
    every = np.arange(256, dtype=np.uint8)
    floats = from_levels(every, np.zeros(1, np.float32))
    assert floats.dtype == np.float32
    assert_array_equal(round_to_levels(floats), every)
    assert_array_equal(from_levels(to_levels(floats), every), every)
    wild = np.array([-9.0, 0.4, 254.6, 300.0])
    assert_array_equal(from_levels(wild, every), [0, 0, 255, 255])
    assert_array_equal(round_to_levels(wild / 255), [0, 0, 255, 255])
