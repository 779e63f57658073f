from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from detectorkit.training import TinyAutoencoder, make_pairs
from detectorkit.training.pairs import _make_decoder, _make_encoder

WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """An autoencoder of random weights, from files as the published ones are."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name, network in (("encoder", _make_encoder()), ("decoder", _make_decoder())):
        state = {key: value.half() for key, value in network.state_dict().items()}
        save_file(state, folder / f"taef2_{name}.safetensors")
    return TinyAutoencoder(folder)


@pytest.fixture
def photographs():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in ((24, 32), (17, 30), (8, 8))]


def test_reconstructions_have_the_size_of_their_photographs(untrained, photographs):
    for image in photographs:
        twin = untrained.reconstruct(image)
        assert twin.shape == image.shape
        assert twin.dtype == np.uint8


def test_each_photograph_comes_with_its_twin_and_a_resampled_copy(untrained, photographs):
    pairs = make_pairs(photographs, untrained, random_state=0)
    assert_array_equal(pairs.y, [0, 1, 0] * 3)
    assert_array_equal(pairs.groups, [0, 0, 0, 1, 1, 1, 2, 2, 2])
    for index, image in enumerate(photographs):
        original, twin, resampled = pairs.X[3 * index : 3 * index + 3]
        assert_array_equal(original, image)
        assert_array_equal(twin, untrained.reconstruct(image))
        assert resampled.shape == image.shape
        assert not np.array_equal(resampled, image)
    assert len(make_pairs(photographs, untrained, resampled=False).X) == 6


def test_noise_is_drawn_from_the_seed(untrained, photographs):
    once, again, other = (
        make_pairs(photographs, untrained, noise=0.5, random_state=seed).X for seed in (0, 0, 1)
    )
    for first, second in zip(once, again, strict=True):
        assert_array_equal(first, second)
    assert any(not np.array_equal(a, b) for a, b in zip(once, other, strict=True))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="taef2_encoder"):
        TinyAutoencoder(tmp_path)


def test_the_published_weights_give_the_picture_back():
    if not WEIGHTS.exists():
        pytest.skip("the weights of the autoencoder are not on this machine")
    import skimage

    image = skimage.data.astronaut()[:128, 160:288]
    twin = TinyAutoencoder(WEIGHTS).reconstruct(image)
    error = np.mean((image.astype(float) - twin) ** 2)
    assert 10 * np.log10(255**2 / error) > 25
