import numpy as np
import pytest
from numpy.testing import assert_array_equal

from detectorkit.datasets import make_upsampling_images
from detectorkit.datasets.upsampling.decoders import DECODERS


@pytest.mark.parametrize("decoder", DECODERS)
def test_reconstructions_are_near_their_originals_and_smoother_or_patterned(decoder):
    data = make_upsampling_images(20, decoders=[decoder], random_state=0)
    real, decoded = data.data[::2].astype(float), data.data[1::2].astype(float)
    error = np.sqrt(np.mean((real - decoded) ** 2, axis=(1, 2, 3)))
    assert (error > 0.5).all()
    assert np.median(error) < 30
    assert_array_equal(data.generator[1::2], decoder)
    assert_array_equal(data.generator[::2], "photograph")


def test_two_runs_are_identical_and_seeds_differ():
    one, two, other = (make_upsampling_images(10, random_state=seed).data for seed in (0, 0, 1))
    assert_array_equal(one, two)
    assert (one != other).any()


def test_size_of_the_images():
    assert make_upsampling_images(4, image_size=(64, 256), random_state=0).data.shape == (
        4,
        64,
        256,
        3,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_samples": 3},
        {"n_samples": 0},
        {"image_size": (100, 128)},
        {"image_size": (512, 512)},
        {"decoders": ["diffusion"]},
        {"decoders": []},
        {"photographs": ["mona_lisa"]},
    ],
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_upsampling_images(**wrong)
