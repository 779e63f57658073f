import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage.feature import hog

from detectorkit.features import HoGTransformer, _hog_choice, hog_features

NORMS = ["L1", "L1-sqrt", "L2", "L2-Hys"]


@pytest.fixture(params=["numpy", "compiled"], scope="module", autouse=True)
def form(request):
    """Count in numpy, and then all again compiled."""
    state, usual = _hog_choice._State(), _hog_choice._state
    state.is_settled = True
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra 'fast' is not installed")
        from detectorkit.features._hog_compiled import CompiledCounter

        state.compiled = CompiledCounter
    _hog_choice._state = state
    yield request.param
    _hog_choice._state = usual


def make(kind, shape, seed=0):
    random = np.random.default_rng(seed)
    if kind == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    if kind == "flat uint8":  # many zero gradients, and exact multiples of 45 degrees
        return (random.integers(0, 3, shape) * 20).astype(np.uint8)
    if kind == "8-bit float":
        return (random.integers(0, 256, shape) / 255).astype(np.float32)
    if kind == "faint":
        return random.random(shape) * 1e-4
    if kind == "wide float16":
        return (random.random(shape) * 255).astype(np.float16)
    return random.random(shape).astype(kind)


def reference(image, **parameters):
    channel_axis = -1 if image.ndim == 3 else None
    return hog(image, channel_axis=channel_axis, **parameters)


@pytest.mark.parametrize("block_norm", NORMS)
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(
    "kind",
    [
        "uint8",
        "flat uint8",
        "float16",
        "wide float16",
        "float32",
        "float64",
        "8-bit float",
        "faint",
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (61, 75)])
def test_equals_scikit_image(kind, channels, block_norm, size):
    image = make(kind, (*size, *channels))
    parameters = {"cells_per_block": (2, 2), "block_norm": block_norm}
    actual = hog_features(image[np.newaxis], **parameters)[0]
    assert_allclose(actual, reference(image, **parameters), rtol=0, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    cell=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    block=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    orientations=st.integers(1, 18),
    block_norm=st.sampled_from(NORMS),
    transform_sqrt=st.booleans(),
    kind=st.sampled_from(["uint8", "flat uint8", "float32"]),
    channels=st.sampled_from([(), (3,)]),
)
def test_equals_scikit_image_for_any_parameters(
    size, cell, block, orientations, block_norm, transform_sqrt, kind, channels
):
    image = make(kind, (*size, *channels))
    parameters = {
        "orientations": orientations,
        "pixels_per_cell": cell,
        "cells_per_block": block,
        "block_norm": block_norm,
        "transform_sqrt": transform_sqrt,
    }
    try:
        expected = reference(image, **parameters)
    except ValueError:
        with pytest.raises(ValueError, match="Use smaller cells or larger images"):
            hog_features(image[np.newaxis], **parameters)
    else:
        actual = hog_features(image[np.newaxis], **parameters)[0]
        assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_every_pair_of_8_bit_gradients_falls_into_the_bin_of_scikit_image():
    # One image whose centre pixels have each of a few thousand pairs of gradients.
    levels = np.array([0, 1, 2, 3, 7, 50, 128, 254, 255], np.uint8)
    pairs = np.array(list(itertools.product(levels, repeat=4)), np.uint8)
    image = np.zeros((3, 3 * len(pairs)), np.uint8)
    image[1, 0::3], image[1, 2::3], image[0, 1::3], image[2, 1::3] = pairs.T
    for orientations in (2, 4, 8, 9, 12):
        parameters = {
            "orientations": orientations,
            "pixels_per_cell": (3, 3),
            "cells_per_block": (1, 1),
            "block_norm": "L1",
        }
        actual = hog_features(image[np.newaxis], **parameters)[0]
        assert_allclose(actual, reference(image, **parameters), rtol=0, atol=1e-6)


def test_of_two_channels_with_gradients_of_one_length_the_one_of_scikit_image_counts():
    # Among others 1, 8 and 4, 7: by the rounding of `hypot`, either may be the longer one.
    numbers = np.arange(40)
    squares = numbers[:, None] ** 2 + numbers**2
    images = []
    for square in np.unique(squares):
        pairs = np.argwhere(squares == square)
        for one, other in itertools.permutations(pairs, 2):
            image = np.zeros((9, 9, 3), np.uint8)
            image[5, 4, :2] = one[0], other[0]
            image[4, 5, :2] = one[1], other[1]
            images.append(image)
    assert len(images) > 1000
    parameters = {"pixels_per_cell": (9, 9), "cells_per_block": (1, 1), "block_norm": "L1"}
    expected = [reference(image, **parameters) for image in images]
    assert_allclose(hog_features(np.stack(images), **parameters), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("transform_sqrt", [False, True])
def test_half_precision_is_computed_in_single_precision(transform_sqrt):
    images = make("wide float16", (2, 32, 32))
    parameters = {"transform_sqrt": transform_sqrt}
    expected = [reference(image, cells_per_block=(2, 2), **parameters) for image in images]
    assert_allclose(hog_features(images, **parameters), expected, rtol=0, atol=1e-6)
    assert_array_equal(
        hog_features(images, **parameters), hog_features(images.astype(np.float32), **parameters)
    )


@pytest.mark.parametrize("block_norm", ["Linf", "l2-hys", None])
def test_an_unknown_norm_is_refused(block_norm):
    with pytest.raises(ValueError, match=r"hog_features: block_norm=.* 'L1-sqrt', 'L2', 'L2-Hys'"):
        hog_features(make("uint8", (1, 32, 32)), block_norm=block_norm)


@pytest.mark.parametrize("shape", [(64, 64), (64,), (1, 64, 64, 3, 1)])
def test_what_is_not_a_batch_of_images_is_refused_by_its_shape(shape):
    message = rf"hog_features: images has shape {re.escape(str(shape))}.* as images\[np.newaxis\]"
    with pytest.raises(ValueError, match=message):
        hog_features(np.zeros(shape, np.uint8))


def test_no_images_give_no_features():
    assert hog_features(np.zeros((0, 32, 24), np.uint8)).shape == (0, 3 * 2 * 36)


@pytest.mark.parametrize("block_norm", NORMS)
@pytest.mark.parametrize("size", [(16, 16), (16, 24), (64, 64), (200, 168)])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_the_features_of_an_image_do_not_depend_on_its_neighbours(channels, size, block_norm):
    images = make("uint8", (70, *size, *channels))
    together = hog_features(images, block_norm=block_norm)
    for index in (0, 1, 33, 69):
        alone = hog_features(images[index : index + 1], block_norm=block_norm)
        assert_array_equal(alone[0], together[index])


@pytest.mark.parametrize("color_space", ["gray", "rgb"])
def test_two_threads_give_the_same_bits_as_one(color_space):
    images = make("uint8", (300, 40, 48, 3))
    one, two = (HoGTransformer(color_space=color_space, n_jobs=n).fit(images) for n in (1, 2))
    assert_array_equal(one.transform(images), two.transform(images))


def test_images_that_must_not_be_written_to_are_fine():
    images = make("uint8", (4, 64, 64))
    expected = hog_features(images.copy())
    images.flags.writeable = False
    assert_array_equal(hog_features(images), expected)


def test_more_images_than_a_chunk_give_the_same_as_one_by_one():
    images = make("uint8", (37, 96, 80))
    together = hog_features(images)
    assert_array_equal(together, np.concatenate([hog_features(image[None]) for image in images]))


def test_calls_with_other_sizes_in_between_do_not_disturb_each_other():
    first, second = make("uint8", (3, 64, 64)), make("uint8", (3, 40, 64, 3))
    expected = hog_features(first)
    hog_features(second)
    assert_array_equal(hog_features(first), expected)
    assert_array_equal(
        hog_features(first, orientations=6), hog_features(first.copy(), orientations=6)
    )


def test_non_contiguous_images_are_fine():
    images = make("uint8", (4, 128, 128))
    view = images[:, ::2, ::-2]
    assert_array_equal(hog_features(view), hog_features(view.copy()))


def test_transformer_equals_scikit_image_on_files_arrays_and_floats(upsampled, folder):
    image = upsampled.data[0]
    gray = image[..., 0]
    for one in (gray, gray / 255):
        expected = hog(one, cells_per_block=(2, 2))
        assert_allclose(HoGTransformer().fit_transform([one])[0], expected, atol=1e-5)
    rgb = HoGTransformer(color_space="rgb").fit_transform([image])[0]
    assert_allclose(rgb, hog(image, cells_per_block=(2, 2), channel_axis=-1), atol=1e-5)


def test_transformer_wants_one_size_or_an_image_size():
    images = [make("uint8", (64, 64)), make("uint8", (72, 64))]
    with pytest.raises(ValueError, match=r"image 1 has .* Set `image_size`"):
        HoGTransformer().fit(images).transform(images)
    resized = HoGTransformer(image_size=(64, 64)).fit_transform(images)
    assert resized.shape == (2, 7 * 7 * 36)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orientations", 6),
        ("pixels_per_cell", (4, 4)),
        ("block_norm", "L1"),
        ("transform_sqrt", True),
        ("color_space", "rgb"),
        ("image_size", (64, 64)),
    ],
)
def test_a_parameter_changed_after_fit_is_refused_until_the_next_fit(name, value):
    images = make("uint8", (2, 64, 64, 3))
    transformer = HoGTransformer().fit(images)
    expected = transformer.transform(images)
    transformer.set_params(n_jobs=2, **{name: value})
    with pytest.raises(ValueError, match=rf"HoGTransformer: {name}=.* was .* Call `fit` again"):
        transformer.transform(images)
    transformer.set_params(**{name: HoGTransformer().get_params()[name]})
    assert_array_equal(transformer.transform(images), expected)
    again = transformer.set_params(**{name: value}).fit_transform(images)
    assert_array_equal(again, HoGTransformer(**{name: value}).fit_transform(images))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orientations", 0),
        ("orientations", 9.5),
        ("orientations", True),
        ("pixels_per_cell", 8),
        ("pixels_per_cell", (8, 0)),
        ("cells_per_block", (2, 2, 2)),
        ("block_norm", "L3"),
        ("transform_sqrt", "yes"),
        ("color_space", "bgr"),
        ("image_size", (128,)),
    ],
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"HoGTransformer: {name}=.* must be"):
        HoGTransformer(**{name: value}).fit([make("uint8", (64, 64))])


def test_rows_take_the_shape_that_input_shape_says():
    images = make("uint8", (5, 32, 24, 3))
    rows = images.reshape(5, -1)
    expected = HoGTransformer().fit_transform(images)
    for shape in [(32, 24, 3), (32, -1, 3)]:
        assert_array_equal(HoGTransformer(input_shape=shape).fit_transform(rows), expected)
    with pytest.raises(ValueError, match=r"input_shape=\(31, 24, 3\) must be .* of rows of 2304"):
        HoGTransformer(input_shape=(31, 24, 3)).fit(rows)
    assert_array_equal(HoGTransformer(input_shape=(32, 24, 3)).fit_transform(images), expected)


def test_names_are_those_of_block_cell_and_orientation():
    images = make("uint8", (2, 40, 32))
    transformer = HoGTransformer(orientations=6, cells_per_block=(2, 3)).fit(images)
    names = transformer.get_feature_names_out().reshape(4, 2, 2, 3, 6)
    assert names[0, 0, 0, 0, 0] == "hog_block_0_0_cell_0_0_bin_0"
    assert names[3, 1, 0, 2, 5] == "hog_block_3_1_cell_0_2_bin_5"
    assert len(set(names.ravel())) == transformer.n_features_out_
    rows = images.reshape(2, -1)
    on_rows = HoGTransformer(input_shape=(40, 32), image_size=(16, 16)).fit(rows)
    assert len(on_rows.get_feature_names_out()) == on_rows.n_features_out_ == 36
    with pytest.raises(ValueError, match="input_features should have length equal"):
        on_rows.get_feature_names_out(["one", "two"])
