import numpy as np
import pytest
from numpy.testing import assert_array_equal

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="needs the extra generate")
pytest.importorskip("peft", reason="needs the extra generate")

from detectorkit.generation import DiffusersAutoencoder
from detectorkit.training import make_pairs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from diffusers import AutoencoderTiny

    folder = tmp_path_factory.mktemp("taesd")
    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def photographs():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in ((24, 32), (17, 30))]


@pytest.mark.parametrize("name", ["tiny_sd", "tiny"])
def test_pairs_are_made_with_any_autoencoder(name, request, photographs):
    autoencoder = DiffusersAutoencoder(request.getfixturevalue(name))
    pairs = make_pairs(photographs, autoencoder, resampled=False, noise=0.1, random_state=0)
    assert_array_equal(pairs.y, [0, 1, 0, 1])
    for image, twin in zip(pairs.X[::2], pairs.X[1::2], strict=True):
        assert twin.shape == image.shape
        assert twin.dtype == np.uint8
        assert (twin != image).any()
    again = make_pairs(photographs, autoencoder, resampled=False, noise=0.1, random_state=0)
    assert_array_equal(pairs.X[1], again.X[1])


@pytest.mark.parametrize("name", ["tiny_sd", "tiny"])
def test_reconstruction_is_that_of_diffusers(name, request, photographs):
    from diffusers import AutoencoderKL, AutoencoderTiny

    folder = request.getfixturevalue(name)
    x = torch.from_numpy(photographs[0]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        if name == "tiny":
            network = AutoencoderTiny.from_pretrained(folder)
            decoded = network.decode(network.encode(x).latents).sample
        else:
            network = AutoencoderKL.from_pretrained(folder / "vae")
            decoded = network.decode(network.encode(x).latent_dist.mode()).sample
    expected = decoded[0].permute(1, 2, 0).add(1).mul(127.5).clamp(0, 255).numpy()
    found = DiffusersAutoencoder(folder).reconstruct(photographs[0])
    assert np.abs(found - expected).max() < 0.51


def test_folder_without_autoencoder_is_named(tmp_path, tiny_sd):
    with pytest.raises(FileNotFoundError, match="has no autoencoder"):
        DiffusersAutoencoder(tmp_path)
    with pytest.raises(ValueError, match="has a UNet2DConditionModel"):
        DiffusersAutoencoder(tiny_sd / "unet")
