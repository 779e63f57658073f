import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

from detectorkit.evaluation.robustness.perturbations import (
    PERTURBATIONS,
    REALISTIC,
    Perturbation,
    blur,
    crop,
    double_jpeg,
    jpeg,
    light,
    messenger,
    noise,
    resize,
    webp,
)


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    return astronaut()[:200, 100:350]


def change(perturbation, image, seed=0):
    return perturbation(image, np.random.RandomState(seed))


def error(perturbation, image):
    return np.abs(change(perturbation, image).astype(float) - image).mean()


def blockiness(image, phase):
    """How much larger steps are across the borders of blocks of 8 than elsewhere."""
    steps = np.abs(np.diff(image.mean(axis=2), axis=1)).mean(axis=0)
    return steps[(phase - 1) % 8 :: 8].mean() / steps.mean()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PERTURBATIONS), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_every_perturbation_takes_every_size_and_repeats_bit_for_bit(
    perturbation, height, width, seed
):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    image.flags.writeable = False
    result = change(perturbation, image, seed)
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] == 3
    assert_array_equal(result, change(perturbation, image, seed))
    assert_array_equal(image, before)


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda p: p.name)
def test_perturbations_can_be_pickled_and_hashed_and_do_something(perturbation, photo):
    copy = pickle.loads(pickle.dumps(perturbation))
    assert {perturbation: 1}[copy] == 1
    assert_array_equal(change(copy, photo), change(perturbation, photo))
    assert not np.array_equal(change(perturbation, photo), photo)


def test_defaults_have_names_of_their_own_and_hold_the_realistic_ones():
    assert len({p.name for p in PERTURBATIONS}) == len(PERTURBATIONS) >= 10
    assert set(REALISTIC) <= set(PERTURBATIONS)


@pytest.mark.parametrize("save", [jpeg, webp])
def test_lower_quality_costs_more(save, photo):
    errors = [error(save(quality), photo) for quality in (95, 75, 50, 20)]
    assert errors == sorted(errors)
    assert errors[0] < 4
    assert change(save(75), photo).shape == photo.shape


@pytest.mark.parametrize(("name", "quality"), [("JPEG", 75), ("JPEG", 30), ("WebP", 60)])
def test_encodings_are_about_those_of_pillow(name, quality, photo):
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(photo).save(file, name, quality=quality)
    expected = np.asarray(Image.open(file).convert("RGB")).astype(float)
    ours = change({"JPEG": jpeg, "WebP": webp}[name](quality), photo)
    # The libraries differ in rounding, and a little in how they enlarge colour.
    assert np.abs(ours - expected).mean() < 0.3 * np.abs(photo - expected).mean()


def test_chroma_subsampling_costs_colour_and_little_light():
    random = np.random.RandomState(0)
    colour = random.randint(60, 190, (64, 64, 3)).astype(np.uint8)
    grey = np.repeat(random.randint(60, 190, (64, 64, 1)), 3, axis=2).astype(np.uint8)
    full, half, quarter = (jpeg(95, kind) for kind in ("4:4:4", "4:2:2", "4:2:0"))
    assert error(full, colour) < 0.2 * error(half, colour)
    assert error(half, colour) < error(quarter, colour)
    assert_array_equal(change(full, grey), change(quarter, grey))


@pytest.mark.parametrize("shift", [3, 4])
def test_double_jpeg_leaves_the_grid_of_the_first_across_that_of_the_second(shift, photo):
    smooth = change(blur(3), photo)
    assert blockiness(smooth, 0) < 1.1
    assert blockiness(change(jpeg(15), smooth), 0) > 1.4
    twice = change(double_jpeg(15, 95, shift=shift), smooth)
    assert twice.shape == (200 - shift, 250 - shift, 3)
    assert blockiness(twice, 8 - shift) > 1.4
    assert blockiness(twice, 0) < 1.1


def test_double_jpeg_is_two_encodings_of_which_the_second_sees_a_cut_image(photo):
    expected = change(jpeg(90), change(jpeg(60), photo)[4:, 4:])
    assert_array_equal(change(double_jpeg(60, 90), photo), expected)


@pytest.mark.parametrize(
    ("factor", "size"), [(0.5, (100, 125)), (0.75, (150, 188)), (2, (400, 500))]
)
def test_resize_gives_rounded_sizes_and_back_the_old_one(factor, size, photo):
    assert change(resize(factor), photo).shape == (*size, 3)
    back = change(resize(factor, back=True), photo)
    assert back.shape == photo.shape
    assert np.abs(back.astype(float) - photo).mean() < 6


def test_halving_averages_pixels_by_four(photo):
    means = photo.reshape(100, 2, 125, 2, 3).mean(axis=(1, 3))
    assert np.abs(change(resize(0.5), photo) - means).max() <= 0.5


def test_the_centre_crop_is_the_middle(photo):
    assert_array_equal(change(crop(0.5, place="centre"), photo), photo[50:150, 62:187])
    assert_array_equal(change(crop(1), photo), photo)


def test_random_crops_are_parts_of_the_image_that_differ_with_the_seed():
    image = np.arange(40 * 60, dtype=np.uint32).reshape(40, 60)
    image = np.stack([image // 256, image % 256, image * 0], axis=2).astype(np.uint8)
    places = set()
    for seed in range(200):
        part = change(crop(0.9), image, seed)
        assert part.shape == (36, 54, 3)
        row, col = divmod(int(part[0, 0, 0]) * 256 + int(part[0, 0, 1]), 60)
        assert_array_equal(part, image[row : row + 36, col : col + 54])
        places.add((row, col))
    assert {row for row, _ in places} == set(range(5))
    assert {col for _, col in places} == set(range(7))


@pytest.mark.parametrize("sigma", [0.5, 1, 2.5])
def test_blur_is_that_of_scipy(sigma, photo):
    expected = gaussian_filter(photo.astype(float), (sigma, sigma, 0))
    difference = np.abs(change(blur(sigma), photo) - expected)
    assert difference.max() < 2  # OpenCV blurs 8 bits in fixed point
    assert difference.mean() < 0.4


@pytest.mark.parametrize("sigma", [2, 5, 20])
def test_noise_has_its_standard_deviation_and_no_mean(sigma):
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = change(noise(sigma), grey).astype(float) - 128
    assert noisy.std() == pytest.approx(np.hypot(sigma, 1 / np.sqrt(12)), rel=0.01)  # and rounding
    assert abs(noisy.mean()) < 0.02 * sigma
    assert np.abs(np.corrcoef(noisy.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


def test_noise_is_clipped_and_differs_with_the_seed():
    black = np.zeros((50, 50, 3), np.uint8)
    assert (change(noise(50), black) == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (change(noise(5), black, 0) != change(noise(5), black, 1)).any()
    assert_array_equal(change(noise(0), black), black)


def test_light_does_what_it_says():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    levels = np.arange(256.0)
    brighter = change(light(brightness=30), ramp)[0, :, 0]
    assert_array_equal(brighter, np.minimum(levels + 30, 255))
    flat = change(light(contrast=0.5), ramp)[0, :, 0]
    assert np.abs(flat - (127.5 + (levels - 127.5) / 2)).max() <= 0.5
    steep = change(light(brightness=-10, contrast=2), ramp)[0, :, 0]
    assert np.abs(steep - np.clip(2 * levels - 137.5, 0, 255)).max() <= 0.5
    assert_array_equal(change(light(), ramp), ramp)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((200, 250), (160, 200)), ((3000, 2000), (1280, 853)), ((1400, 100), (1120, 80))],
)
def test_a_messenger_limits_the_longer_side_and_shrinks_small_images_too(size, expected):
    image = np.full((*size, 3), 99, np.uint8)
    assert change(messenger(), image).shape == (*expected, 3)


def test_a_messenger_shrinks_and_then_compresses(photo):
    assert_array_equal(change(messenger(), photo), change(jpeg(70), change(resize(0.8), photo)))


def test_names_say_what_is_done():
    made = [
        jpeg(50),
        jpeg(95, "4:4:4"),
        double_jpeg(75, 90),
        webp(80),
        resize(0.5, back=True),
        crop(0.8, place="centre"),
        blur(1.5),
        noise(5),
        light(brightness=-30, contrast=0.7),
    ]
    assert [p.name for p in made] == [
        "JPEG quality 50",
        "JPEG quality 95 4:4:4",
        "JPEG 75, 4 px cut off, JPEG 90",
        "WebP quality 80",
        "resized by 0.5 and back",
        "centre crop 0.8",
        "blur sigma 1.5",
        "noise sigma 5",
        "brightness -30, contrast 0.7",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jpeg(0), "jpeg: quality=0 must be between 1 and 100"),
        (lambda: jpeg(50, "4:1:1"), "jpeg: subsampling='4:1:1' must be one of"),
        (lambda: double_jpeg(50, 101), "double_jpeg: second=101"),
        (lambda: double_jpeg(50, 90, shift=-1), "double_jpeg: shift=-1"),
        (lambda: webp(101), "webp: quality=101"),
        (lambda: resize(0), "resize: factor=0 must be"),
        (lambda: crop(1.1), r"crop: share=1\.1"),
        (lambda: crop(0.5, place="top"), "crop: place='top' must be one of"),
        (lambda: blur(0), "blur: sigma=0"),
        (lambda: noise(-1), "noise: sigma=-1"),
        (lambda: noise(float("nan")), "noise: sigma=nan"),
        (lambda: light(brightness=300), "light: brightness=300"),
        (lambda: messenger(share=2), "messenger: share=2"),
    ],
)
def test_senseless_arguments_are_named_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_own_perturbations_are_a_name_and_a_function(photo):
    own = Perturbation("two rows", lambda image, _, n: image[:n], (2,))
    assert_array_equal(change(own, photo), photo[:2])
