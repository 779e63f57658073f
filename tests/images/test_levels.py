import numpy as np
from numpy.testing import assert_array_equal

from detectorkit.images.levels import as_levels


def test_levels_of_floats_have_white_at_255():
    assert_array_equal(as_levels(np.array([0, 0.5, 1])), [0, 127.5, 255])
    levels = np.array([0, 128, 255], np.uint8)
    assert as_levels(levels) is levels
