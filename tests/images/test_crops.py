import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from detectorkit.images.crops import cut_crops, enlarge_to_cover
from detectorkit.images.decoding import load_image
from detectorkit.images.preprocessing import Preprocessing, resize_image
from detectorkit.images.sequence import check_images


@pytest.fixture
def picture():
    """A smooth picture that no transposition or channel swap leaves as it is."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(noise, (60, 40), interpolation=cv2.INTER_CUBIC)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def places(image, size, n_crops):
    """Where the crops begin, in an image of which each pixel says where it is."""
    rows, columns = np.indices(image.shape)
    return [
        (int(row[0, 0]), int(column[0, 0]))
        for row, column in zip(
            *(cut_crops(part.astype(np.uint8), size, n_crops) for part in (rows, columns)),
            strict=True,
        )
    ]


@pytest.mark.parametrize(
    ("n_crops", "expected"),
    [
        (1, [(10, 5)]),
        (4, [(0, 0), (0, 10), (20, 0), (20, 10)]),
        (5, [(0, 0), (0, 10), (20, 0), (20, 10), (10, 5)]),
        (9, [(a, b) for a in (0, 10, 20) for b in (0, 5, 10)]),
    ],
)
def test_crops_lie_at_fixed_places_from_edge_to_edge(n_crops, expected):
    image = np.zeros((50, 40), np.uint8)
    assert places(image, (30, 30), n_crops) == expected
    assert len(places(image, (30, 30), 25)) == 25


def test_crops_that_are_the_same_count_once():
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    assert_array_equal(cut_crops(image, (30, 30), 4), [image[:, :30], image[:, 11:]])
    assert_array_equal(cut_crops(image[:, :30], (30, 30), 9), [image[:, :30]])


def test_images_smaller_than_a_crop_are_enlarged_to_cover_it(picture):
    enlarged = enlarge_to_cover(picture, (60, 75))
    assert_array_equal(enlarged, resize_image(picture, (60, 90)))
    assert_array_equal(cut_crops(picture, (60, 75), 1), [enlarged[:, 7:82]])
    assert enlarge_to_cover(picture, (40, 20)) is picture


def test_crops_are_read_at_native_resolution(tmp_path, picture):
    wanted = Preprocessing((16, 16), "gray", n_crops=4)
    path = save(tmp_path / "a.png", picture)
    expected = cut_crops(load_image(path, color_space="gray"), (16, 16), 4)
    assert expected.shape == (4, 16, 16)
    for X in ([path, path], [picture, picture], np.stack([picture, picture])):
        images = check_images(X)
        assert_array_equal(images.read(1, wanted), expected)
        assert_array_equal(np.concatenate(list(images.read_stacked(wanted))), [expected] * 2)
    assert wanted.to_record()["n_crops"] == 4


def test_images_of_other_numbers_of_crops_are_stacked_apart(picture):
    wanted = Preprocessing((40, 40), "rgb", n_crops=4)
    images = check_images([picture, picture, picture[:, :40], picture])
    shapes = [stack.shape for stack in images.read_stacked(wanted)]
    assert shapes == [(2, 2, 40, 40, 3), (1, 1, 40, 40, 3), (1, 2, 40, 40, 3)]
