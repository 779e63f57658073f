"""Random changes of files before a detector's treatment, and the detectors that learn from them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import check_random_state

from detectorkit import ForensicDetector, HoGSVMDetector
from detectorkit.base import FitInputs
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import check_images
from detectorkit.training import Augmentation, FileChanges
from detectorkit.training.file_changes import add_views

NOTHING = {"crop": 0, "resize": 0, "blur": 0, "encode": 0}
RGB = Preprocessing((64, 64), "rgb")


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    noise[::2] //= 2
    return noise


def changed(image, seed=0, **parameters):
    return FileChanges(**NOTHING | parameters).apply(image, np.random.default_rng(seed))


def views(images, y, n_views=2, seed=0, groups=None):
    inputs = FitInputs(check_images(images), np.array([0, 1]), y, None, groups)
    return add_views(inputs, n_views, check_random_state(seed))


@pytest.mark.parametrize("form", ["rgb", "gray"])
@pytest.mark.parametrize("name", NOTHING)
def test_each_change_can_be_had_alone(image, form, name):
    image = image if form == "rgb" else image[..., 0]
    assert_array_equal(changed(image), image)
    one = changed(image, **{name: 1})
    assert one.dtype == np.uint8
    assert one.ndim == image.ndim
    assert (one.shape != image.shape) or (one != image).any()
    assert_array_equal(one, changed(image, **{name: 1}))


def test_sizes_are_in_range_and_filters_differ(image):
    short = [min(changed(image, seed, resize=1).shape[:2]) for seed in range(60)]
    assert 96 <= min(short) < 110
    assert 270 < max(short) <= 300
    assert np.median(short) == pytest.approx(np.sqrt(96 * 300), rel=0.2)
    assert changed(image[:50, :80], resize=1).shape == (50, 80, 3)  # already smaller than that
    fixed = {changed(image, s, resize=1, min_side=300).tobytes() for s in range(20)}
    assert len(fixed) == 1  # no size to choose
    cuts = [changed(image, seed, crop=1).shape for seed in range(30)]
    assert all(210 <= height <= 300 for height, *_ in cuts)
    assert all(abs(height / width - 0.75) < 0.01 for height, width, _ in cuts)


def test_quality_and_format_are_in_range(image):
    def error(**parameters):
        one = changed(image, encode=1, **parameters)
        return np.abs(one.astype(int) - image).mean()

    assert error(webp=0, quality=(95, 95)) < error(webp=0, quality=(50, 50))
    assert error(webp=1, quality=(95, 95)) < error(webp=1, quality=(50, 50))
    subsampled = {round(error(webp=0, quality=(95, 95), seed=seed), 3) for seed in range(20)}
    assert len(subsampled) == 2  # 4:2:0 and 4:4:4


def test_changes_do_not_depend_on_the_labels(image):
    images = np.stack([image, image[::-1], image[:, ::-1], image[::-1, ::-1]])
    one, other = (views(images, np.array(y)) for y in ([0, 0, 1, 1], [1, 0, 1, 0]))
    for index in range(12):
        assert_array_equal(one.images.read(index, RGB), other.images.read(index, RGB))
    sizes = {one.images.read(i, Preprocessing(None, "rgb")).shape for i in range(12)}
    assert len(sizes) > 1


def test_each_image_is_followed_by_its_variants(image):
    images, y = [image, image[::-1], image[:, ::-1]], np.array([0, 1, 1])
    found = views(images, y, groups=np.array(["a", "b", "b"]))
    assert_array_equal(found.y, np.repeat(y, 3))
    assert_array_equal(found.groups, np.repeat(["a", "b", "b"], 3))
    assert_array_equal(views(images, y).groups, np.repeat(np.arange(3), 3))
    whole = Preprocessing(None, "rgb")
    for index in range(3):
        assert_array_equal(found.images.read(3 * index, whole), images[index])
    part, chosen = found.images[2:6], found.images.take(np.array([7, 2]))
    assert_array_equal(part.read(0, RGB), found.images.read(2, RGB))
    assert_array_equal(part[1:3].read(1, RGB), found.images.read(4, RGB))
    assert_array_equal(chosen.read(1, RGB), found.images.read(2, RGB))
    assert len(part) == 4
    alone = views(images[1:], y[1:])  # as in another fold
    assert_array_equal(alone.images.read(2, RGB), found.images.read(5, RGB))


def test_scaled_rows_are_not_changed():
    detector = HoGSVMDetector(n_views=1, input_shape=(32, 32), image_size=None, random_state=0)
    rows = np.random.default_rng(0).normal(size=(20, 32 * 32))
    assert detector.fit(rows, np.arange(20) % 2).training_summary_["n_samples"] == 20


@pytest.mark.parametrize(
    "detector",
    [
        HoGSVMDetector(n_views=1, random_state=0),
        ForensicDetector(["lbp"], n_views=1, random_state=0),
    ],
    ids=["hog-svm", "forensic"],
)
def test_a_detector_learns_from_variants_whatever_n_jobs(detector, upsampled):
    X, y = upsampled.data[:40], upsampled.target[:40]
    scores = [detector.set_params(n_jobs=n).fit(X, y).decision_function(X) for n in (1, 2)]
    assert_array_equal(*scores)
    assert detector.training_summary_["n_samples"] == 40
    assert detector.training_summary_["n_views"] == 1
    assert detector.calibration_.slope > 0
    plain = detector.set_params(n_views=0).fit(X, y).decision_function(X)
    assert (plain != scores[0]).any()


def test_n_views_is_checked(upsampled):
    with pytest.raises(ValueError, match="n_views"):
        HoGSVMDetector(n_views=-1).fit(upsampled.data, upsampled.target)


def test_the_preset_changes_files_first(image):
    augmentation = Augmentation.world()
    assert augmentation.files == FileChanges()
    assert augmentation.apply(image, (64, 64), np.random.default_rng(0)).shape == (64, 64, 3)
