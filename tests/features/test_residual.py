from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from detectorkit.features import (
    ResidualTransformer,
    cross_difference_peaks,
    npr_statistics,
    residual_cooccurrences,
)

WEIGHTS = {"first": [-1, 1], "second": [1, -2, 1], "third": [-1, 3, -3, 1]}


def make(shape, seed=0, levels=256):
    return np.random.default_rng(seed).integers(0, levels, shape, dtype=np.uint8)


def count_runs(image, residual, truncation, order):
    """Count runs along rows one by one; give the shares of the kinds that count together."""
    counts = Counter()
    for row in image.astype(int):
        values = np.convolve(row, WEIGHTS[residual][::-1], "valid").clip(-truncation, truncation)
        for start in range(len(values) - order + 1):
            run = tuple(values[start : start + order].tolist())
            negative = tuple(-v for v in run)
            counts[min(run, run[::-1], negative, negative[::-1])] += 1
    kinds = sorted(
        {
            min(run, run[::-1], tuple(-v for v in run), tuple(-v for v in run[::-1]))
            for run in product(range(-truncation, truncation + 1), repeat=order)
        }
    )
    return np.array([counts[kind] for kind in kinds]) / sum(counts.values())


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(7, 14), st.integers(7, 14)),
    residual=st.sampled_from(list(WEIGHTS)),
    truncation=st.integers(1, 3),
    order=st.integers(1, 4),
    levels=st.sampled_from([2, 4, 256]),
    seed=st.integers(0, 1000),
)
def test_cooccurrences_equal_counting_one_by_one(size, residual, truncation, order, levels, seed):
    image = make(size, seed, levels)
    settings = {"truncation": truncation, "order": order}
    actual = residual_cooccurrences(image[None], residuals=(residual,), **settings)[0]
    expected = [count_runs(part, residual, truncation, order) for part in (image, image.T)]
    assert_allclose(actual, np.concatenate(expected), atol=1e-7)


def test_cooccurrences_by_hand():
    image = np.array([[0, 1, 3, 3]] * 4, np.uint8)
    # Along rows the differences are 1, 2, 0, so the pairs are (1, 2) and (2, 0), half of the runs
    # each; along columns all differences are 0.
    found = residual_cooccurrences(image[None], residuals=("first",), order=2)[0]
    along_rows, along_columns = found.reshape(2, -1)
    assert sorted(along_rows[along_rows > 0].tolist()) == [0.5, 0.5]
    assert along_columns.max() == 1


def test_there_are_169_patterns_of_625():
    assert residual_cooccurrences(make((1, 20, 20))).shape == (1, 2 * 169)


def test_negative_mirrored_and_turned_images():
    image = make((1, 24, 30), levels=12)
    expected = residual_cooccurrences(image)
    assert_allclose(residual_cooccurrences(255 - image), expected, atol=1e-7)
    assert_allclose(residual_cooccurrences(image[:, ::-1, ::-1]), expected, atol=1e-7)
    turned = residual_cooccurrences(image.swapaxes(1, 2)).reshape(2, -1)
    assert_allclose(turned[::-1].ravel(), expected[0], atol=1e-7)


def test_npr_is_what_doubling_cannot_explain():
    small = make((1, 10, 12))
    doubled = small.repeat(2, axis=1).repeat(2, axis=2)
    features = npr_statistics(doubled)[0]
    # All differences within the blocks are 0, and so are all signs.
    assert features[[10, 31, 52, 63 + 13]].tolist() == [1, 1, 1, 1]
    assert features.sum() == 4


def test_npr_by_hand():
    image = np.array([[[5, 7], [5, 1]]], np.uint8)  # right +2, below 0, diagonal -4
    features = npr_statistics(image)[0]
    signs = (2 * 3 + 1) * 3 + 0
    assert np.flatnonzero(features).tolist() == [12, 21 + 10, 42 + 6, 63 + signs]


def direct_peaks(image):
    x = image.astype(float)
    residual = np.abs(x[:-1, :-1] + x[1:, 1:] - x[:-1, 1:] - x[1:, :-1])
    height, width = (side // 8 * 8 for side in residual.shape)
    residual = residual[:height, :width]
    rows, columns = np.indices(residual.shape)
    noise = np.sqrt(residual.var() * residual.size)
    found = []
    for k, m in product(range(8), repeat=2):
        if (0, 0) != (k, m) <= (-k % 8, -m % 8):
            wave = np.exp(-2j * np.pi * (k * rows + m * columns) / 8)
            found.append(np.log1p(abs((residual * wave).sum()) / noise))
    return np.array(found)


@pytest.mark.parametrize("size", [(9, 9), (17, 26), (33, 24)])
def test_peaks_equal_a_direct_sum(size):
    image = make(size)
    assert_allclose(cross_difference_peaks(image[None])[0], direct_peaks(image), atol=1e-5)


def test_peaks_find_what_repeats():
    image = make((64, 64), levels=8)
    image[::4] += 60
    features = cross_difference_peaks(image[None])[0]
    names = ResidualTransformer(statistics=("peaks",)).fit([image]).get_feature_names_out()
    by_name = dict(zip(names, features, strict=True))
    assert by_name["residual_gray_peak_0_1"] < 2
    noisy = cross_difference_peaks(make((1, 64, 64)))[0]
    assert noisy.max() < np.log1p(4)
    assert np.isfinite(cross_difference_peaks(np.zeros((1, 20, 20), np.uint8))).all()


def test_transformer_puts_the_statistics_side_by_side():
    images = make((3, 24, 24))
    both = ResidualTransformer(statistics=("npr", "peaks", "cooccurrences")).fit_transform(images)
    expected = [
        np.sqrt(npr_statistics(images)),
        cross_difference_peaks(images),
        residual_cooccurrences(images, root=True),
    ]
    assert_array_equal(both, np.concatenate(expected, axis=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statistics", "npr"),
        ("statistics", ()),
        ("statistics", ("npr", "npr")),
        ("residuals", ("fourth",)),
        ("truncation", 0),
        ("order", 9),
        ("root", 2),
    ],
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=rf"ResidualTransformer: {name}=.* must be"):
        ResidualTransformer(**{name: value}).fit(make((1, 30, 30)))


def test_unknown_filters_are_refused():
    with pytest.raises(ValueError, match="residual_cooccurrences: residuals='fourth' must be one"):
        residual_cooccurrences(make((1, 9, 9)), residuals=("fourth",))


def test_needed_sizes():
    with pytest.raises(ValueError, match="at least 6 x 6"):
        ResidualTransformer().fit(make((1, 5, 30)))
    with pytest.raises(ValueError, match="at least 18 x 18"):
        ResidualTransformer(statistics=("peaks",), color_space="ycbcr").fit(make((1, 16, 30, 3)))
