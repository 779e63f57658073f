import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit.training import Augmentation

NOTHING = {"flip": 0, "geometric": 0, "resample": 0, "blur": 0, "noise": 0, "jpeg": 0}
SIZE = (24, 32)


@pytest.fixture(params=["rgb", "gray"])
def image(request):
    """A picture with detail, larger than the cut."""
    shape = (40, 50, 3) if request.param == "rgb" else (40, 50)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1)


def change(image, size=SIZE, seed=0, **parameters):
    return Augmentation(**NOTHING | parameters).apply(image, size, np.random.default_rng(seed))


def windows(image, size=SIZE):
    height, width = size
    return np.lib.stride_tricks.sliding_window_view(image, size, (0, 1)).reshape(
        -1, *image.shape[2:], height, width
    )


def test_nothing_but_a_cut_from_anywhere(image):
    cuts = [change(image, seed=seed) for seed in range(20)]
    inside = {window.tobytes() for window in windows(image)}
    assert all(np.moveaxis(cut, -1, 0).tobytes() in inside for cut in cuts if cut.ndim == 3)
    assert all(cut.tobytes() in inside for cut in cuts if cut.ndim == 2)
    assert len({cut.tobytes() for cut in cuts}) > 10


def test_an_image_of_the_size_stays_as_it_is(image):
    assert_array_equal(change(image[:24, :32]), image[:24, :32])


def test_a_mirror_image(image):
    assert_array_equal(change(image[:24, :32], flip=1), image[:24, 31::-1])


@pytest.mark.parametrize("name", ["geometric", "resample", "blur", "noise", "jpeg"])
def test_each_change_changes_a_little_and_keeps_the_form(image, name):
    cut = image[:24, :32]
    changed = change(cut, **{name: 1})
    assert changed.shape == cut.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    difference = np.abs(changed.astype(int) - cut)
    assert difference.any()
    assert difference.mean() < 60


def test_limits_of_the_changes_are_kept(image):
    cut = image[:24, :32]
    assert_array_equal(change(cut, noise=1, noise_std=0), cut)
    assert_array_equal(change(cut, geometric=1, rotation=0, scale=(1, 1)), cut)
    assert_array_equal(change(cut, resample=1, smallest=1), cut)
    errors = [
        np.abs(change(cut, jpeg=1, quality=(q, q)).astype(int) - cut).mean() for q in (10, 60, 95)
    ]
    assert errors == sorted(errors, reverse=True)


def test_a_window_is_turned_around_its_own_centre(image):
    whole = np.full_like(image, 255)
    assert_array_equal(change(whole, geometric=1), whole[:24, :32])  # nothing from outside


def test_small_images_are_enlarged(image):
    small = image[:10, :20]
    enlarged = cv2.resize(small, (48, 24), interpolation=cv2.INTER_LINEAR)
    changed = change(small)
    inside = {window.tobytes() for window in windows(enlarged)}
    channels_first = changed if changed.ndim == 2 else np.moveaxis(changed, -1, 0)
    assert channels_first.tobytes() in inside


def test_the_generator_says_all(image):
    augmentation = Augmentation()
    before = image.copy()
    first, second = (augmentation.apply(image, SIZE, np.random.default_rng(3)) for _ in "ab")
    assert_array_equal(first, second)
    assert_array_equal(image, before)
    several = [augmentation.apply(image, SIZE, np.random.default_rng(i)) for i in range(30)]
    assert {one.shape for one in several} == {(*SIZE, *image.shape[2:])}
    assert {one.dtype for one in several} == {np.dtype(np.uint8)}
    assert len({one.tobytes() for one in several}) == 30
