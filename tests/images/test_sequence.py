import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.exceptions import ImageReadError
from detectorkit.features import HoGTransformer
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images

RGB = Preprocessing(None, "rgb")


GRAY = Preprocessing(None, "gray", as_uint8=False)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_checked_images_with_another_limit_are_taken_by_estimators(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((50, 80), np.uint8))
    transformer = HoGTransformer().fit([path])
    with pytest.raises(ImageReadError, match="max_pixels=3999"):
        transformer.transform(check_images([path], max_pixels=3999))
    assert len(transformer.transform(check_images([path], max_pixels=4000))) == 1


def test_files_are_read_while_another_thread_imports_pillow(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", np.zeros((5, 8), np.uint8))
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))  # as yet without names
    assert check_images([path])[0].shape == (5, 8, 3)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 5, 9])),
            st.tuples(*[st.integers(1, 9)] * 3, st.sampled_from([1, 3, 4])),
        ),
    )
)
def test_every_uint8_batch_is_read_as_it_is(batch):
    images = check_images(batch)
    assert len(images) == len(batch)
    for index, image in enumerate(batch):
        expected = (
            image[..., :3]
            if image.ndim == 3 and image.shape[2] > 1
            else image.reshape(image.shape[:2])
        )
        actual = images[index]
        assert_array_equal(actual, expected if expected.ndim == 3 else np.dstack([expected] * 3))
    stacked = np.concatenate(list(images.read_stacked(RGB)))
    assert_array_equal(stacked, np.stack([images[i] for i in range(len(images))]))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (2, 4, 5), elements=st.floats(0, 1, width=32)))
def test_floats_round_trip_through_8_bits_when_resized(batch):
    images = check_images(batch)
    assert_array_equal(images.read(1, GRAY), batch[1])
    resized = images.read(1, Preprocessing((4, 5), "gray"))
    assert resized.dtype == np.uint8
    assert np.abs(resized / 255 - batch[1]).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("scale", [-0.01, 1.01, np.inf, np.nan])
def test_floats_out_of_range_are_errors_that_name_the_index(scale):
    images = check_images([np.zeros((4, 4)), np.full((4, 4), scale)])
    images.read(0, GRAY)
    with pytest.raises(ValueError, match="Image 1 "):
        images.read(1, GRAY)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], r"0 sample\(s\)"),
        (np.zeros((0, 4, 4), np.uint8), r"0 sample\(s\)"),
        (np.zeros((4, 4), np.uint8), "needs `input_shape`"),
        (np.zeros((1, 2, 3, 3, 3), np.uint8), r"shape \(1, 2, 3, 3, 3\)"),
        (np.zeros((2, 4, 4, 5), np.uint8), "5 channels"),
        (np.zeros((2, 5, 5), np.int32), "dtype int32"),
        ([np.zeros((4, 4), np.uint8), "a.png"], "item 1 is a path"),
        (["a.png", np.zeros((4, 4), np.uint8)], "item 1 is an array, item 0 is a path"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8)], "item 1 of X .* 2 channels"),
        ([np.zeros((4, 4), np.uint8), None], "item 1 of X is a NoneType"),
        ([[[0, 1], [1, 0]]], "item 0 of X is a list"),
    ],
)
def test_what_is_no_set_of_images_is_a_value_error(X, message):
    with pytest.raises(ValueError, match=message):
        check_images(X, caller="Caller")


@pytest.mark.parametrize("X", ["a.png", {"a": 1}, 3, (x for x in "ab")])
def test_what_is_no_sequence_is_a_type_error(X):
    with pytest.raises(TypeError, match="Caller"):
        check_images(X, caller="Caller")


def test_slices_remember_the_index_that_the_user_knows(tmp_path):
    images = check_images([tmp_path / f"{i}.png" for i in range(10)])
    with pytest.raises(ImageReadError, match=r"image 7,.*7\.png"):
        images[5:][2]
    with pytest.raises(ValueError, match="step 1"):
        images[::2]


def test_another_thread_may_be_importing_pillow(monkeypatch):
    """Its module is there before it has any names."""
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))
    assert len(check_images([b"content"])) == 1


def test_some_images_are_taken_in_order():
    X = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 5, 5), np.uint8)
    for images in (check_images(X), check_images(list(X))):
        taken = images.take(np.array([3, 0, 3]))
        assert [int(taken[i][0, 0, 0]) for i in range(len(taken))] == [3, 0, 3]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("n_channels", [3, 4])
def test_one_colour_image_is_not_a_set_of_grey_ones(kind, n_channels):
    """It gave as many verdicts as the image has rows."""
    image = np.zeros((20, 24, n_channels), kind)
    with pytest.raises(ValueError, match=r"looks like one colour image .* Pass \[image\]"):
        check_images(image)
    assert len(check_images([image])) == len(check_images(image[np.newaxis])) == 1
    assert len(check_images(image[..., np.newaxis])) == 20


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_rows_of_another_length_are_an_error_in_every_form(form):
    """For lists and frames it was an AttributeError."""
    transformer = HoGTransformer(input_shape=(8, 8))
    with pytest.raises(ValueError, match=r"input_shape=.* of rows of 60 values"):
        transformer.fit(form(np.zeros((4, 60), np.uint8)))
