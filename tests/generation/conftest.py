"""Tiny Stable Diffusions of random weights, with a tokenizer whose words are single bytes."""

import numpy as np
import pytest

SIDE = 32


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory):
    """A folder of a Stable Diffusion 1.x that paints 32 x 32 pixels."""
    return save_pipeline(tmp_path_factory.mktemp("tiny-sd"), make_sd("epsilon"))


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory):
    """A folder of a Stable Diffusion 2.x, which predicts velocities."""
    return save_pipeline(tmp_path_factory.mktemp("tiny-sd2"), make_sd("v_prediction"))


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory):
    """A folder of a Stable Diffusion XL, with two text encoders."""
    return save_pipeline(tmp_path_factory.mktemp("tiny-sdxl"), make_sdxl())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Paths of four pictures of one subject, none of them square, beside their captions."""
    from detectorkit.images import encode_image

    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    paths = []
    for index in range(4):
        picture = np.full((48, 40 + 8 * index, 3), (200, 90, 40), np.uint8)
        picture[10:30, 8:28] = random.integers(0, 60, 3)
        paths.append(folder / f"{index}.png")
        paths[-1].write_bytes(encode_image(picture))
        paths[-1].with_suffix(".txt").write_text(f"a red square, number {index}\n")
    return paths


def save_pipeline(folder, pipeline):
    pipeline.save_pretrained(folder)
    return folder


def make_tokenizer():
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def make_text_encoder(kind):
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        hidden_size=32,
        intermediate_size=37,
        projection_dim=32,
        num_attention_heads=4,
        num_hidden_layers=3,
    )
    return getattr(transformers, kind)(config).eval()


def make_unet(**settings):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **settings,
    )


def make_vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def make_scheduler(prediction):
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )


def make_sd(prediction):
    import torch
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(0)
    return StableDiffusionPipeline(
        vae=make_vae(),
        text_encoder=make_text_encoder("CLIPTextModel"),
        tokenizer=make_tokenizer(),
        unet=make_unet(cross_attention_dim=32, attention_head_dim=4),
        scheduler=make_scheduler(prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_sdxl():
    import torch
    from diffusers import StableDiffusionXLPipeline

    torch.manual_seed(0)
    return StableDiffusionXLPipeline(
        vae=make_vae(),
        text_encoder=make_text_encoder("CLIPTextModel"),
        text_encoder_2=make_text_encoder("CLIPTextModelWithProjection"),
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(),
        unet=make_unet(
            cross_attention_dim=64,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 1),
            projection_class_embeddings_input_dim=80,
        ),
        scheduler=make_scheduler("epsilon"),
    )
