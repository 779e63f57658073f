"""Stable Diffusion 1.x, 2.x and XL as networks to train: encoding, noise, loss and adapters."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detectorkit.utils.progress import progress_bar

__all__ = ["Batch", "Denoiser"]

_ATTENTION: Final = ["to_q", "to_k", "to_v", "to_out.0"]
_TEXT_ATTENTION: Final = ["q_proj", "k_proj", "v_proj", "out_proj"]
_TRAINABLE: Final = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_PREDICTIONS: Final = ("epsilon", "v_prediction")


class Batch(NamedTuple):
    """Encoded images of one step, with their prompts.

    Attributes
    ----------
    codes : Tensor of shape (n, 2, channels, height, width)
        Mean and standard deviation of the code of each image.
    prompts : list of str
        Text of each image.
    weight : Tensor of shape (n,)
        Factor of each image in the loss.
    generator : Generator
        Source of the noise, on the CPU.
    """

    codes: Tensor
    prompts: list[str]
    weight: Tensor
    generator: torch.Generator


class Denoiser:
    """A Stable Diffusion whose attention has adapters to be trained.

    Parameters
    ----------
    pipeline : StableDiffusionPipeline or StableDiffusionXLPipeline
        Pipeline to add adapters to, in place. Frozen weights may be in half precision.
    rank : int
        Rank of the adapters.
    train_text_encoder : bool
        Whether the text encoders have adapters too.
    gradient_checkpointing : bool
        Whether activations are computed twice, to save memory.
    device : str
        Device of torch.
    seed : int
        Seed of the initial adapters.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        rank: int,
        train_text_encoder: bool,
        gradient_checkpointing: bool,
        device: str,
        seed: int,
    ) -> None:
        _check_trainable(pipeline)
        self.pipeline = pipeline
        self.device = torch.device(device)
        self.dtype = pipeline.unet.dtype
        self.trains_text = train_text_encoder
        self.noise = _make_noise(pipeline.scheduler)
        self._known: dict[str, tuple[Tensor, Tensor | None]] = {}
        names = ("text_encoder", "text_encoder_2")
        self.encoders = {
            name: one for name in names if (one := getattr(pipeline, name, None)) is not None
        }
        for network in (pipeline.unet, pipeline.vae, *self.encoders.values()):
            network.requires_grad_(requires_grad=False)
            network.to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._add_adapters(rank)
        if gradient_checkpointing:
            self._save_memory()

    def _add_adapters(self, rank: int) -> None:
        from peft import LoraConfig

        parts = {"unet": (self.pipeline.unet, _ATTENTION)}
        if self.trains_text:
            parts |= {name: (one, _TEXT_ATTENTION) for name, one in self.encoders.items()}
        self.adapted = {name: network for name, (network, _) in parts.items()}
        for network, places in parts.values():
            network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=places))
        for parameter in self.trained_parameters():
            parameter.data = parameter.data.float()

    def _save_memory(self) -> None:
        self.pipeline.unet.enable_gradient_checkpointing()
        self.pipeline.unet.train()  # only then activations are dropped
        for network in self.encoders.values() if self.trains_text else ():
            # The newer name of transformers, and that of older versions.
            enable = getattr(network, "activation_checkpointing_enable", None)
            (enable or network.gradient_checkpointing_enable)()
            network.train()

    def trained_parameters(self) -> list[torch.nn.Parameter]:
        """Return the weights of the adapters."""
        parameters = (one for network in self.adapted.values() for one in network.parameters())
        return [one for one in parameters if one.requires_grad]

    def encode_images(
        self, images: Iterable[NDArray[np.uint8]], total: int, *, verbose: bool
    ) -> Tensor:
        """Encode images as the mean and standard deviation of their codes, on the CPU."""
        codes = []
        with torch.no_grad(), progress_bar("Encoding", total, show=verbose) as advance:
            for image in images:
                pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
                scaled = pixels.to(self.device).float() / 127.5 - 1
                found = self.pipeline.vae.encode(scaled).latent_dist
                codes.append(torch.cat([found.mean, found.std]).cpu())
                advance(1)
        return torch.stack(codes)

    def encode_prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Encode texts; those that adapters do not change are encoded once."""
        if self.trains_text:
            return self._encode_prompts(list(prompts))
        for prompt in prompts:
            if prompt not in self._known:
                with torch.no_grad():
                    self._known[prompt] = self._encode_prompts([prompt])
        found = [self._known[prompt] for prompt in prompts]
        pooled = [one for _, one in found if one is not None]
        return torch.cat([one for one, _ in found]), torch.cat(pooled) if pooled else None

    def _encode_prompts(self, prompts: list[str]) -> tuple[Tensor, Tensor | None]:
        found = self.pipeline.encode_prompt(
            prompt=prompts,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        return found[0], found[2] if len(found) > 2 else None  # the second is the negative prompt

    def loss(self, batch: Batch) -> Tensor:
        """Compute the weighted sum of the squared errors of the denoising network."""
        count = len(batch.codes)
        draws = torch.randn((2, *batch.codes[:, 0].shape), generator=batch.generator)
        steps = torch.randint(
            self.noise.config.num_train_timesteps, (count,), generator=batch.generator
        )
        latents = batch.codes[:, 0] + batch.codes[:, 1] * draws[0]
        latents = (latents * self.pipeline.vae.config.scaling_factor).to(self.device)
        noise, steps = draws[1].to(self.device), steps.to(self.device)
        noisy = self.noise.add_noise(latents, noise, steps)
        target = noise
        if self.noise.config.prediction_type == "v_prediction":
            target = self.noise.get_velocity(latents, noise, steps)
        with self.autocast():
            hidden, pooled = self.encode_prompts(batch.prompts)
            predicted = self.pipeline.unet(
                noisy.to(self.dtype), steps, hidden, added_cond_kwargs=self._added(latents, pooled)
            ).sample
        errors = functional.mse_loss(predicted.float(), target, reduction="none")
        return (errors.mean(dim=(1, 2, 3)) * batch.weight.to(self.device)).sum()

    def _added(self, latents: Tensor, pooled: Tensor | None) -> dict[str, Tensor] | None:
        """Return what SDXL is also told: the size and place of a picture, as when it samples."""
        if pooled is None:
            return None
        factor = self.pipeline.vae_scale_factor
        height, width = (factor * side for side in latents.shape[2:])
        ids = torch.tensor([[height, width, 0, 0, height, width]] * len(latents))
        return {"text_embeds": pooled, "time_ids": ids.to(pooled)}

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which adapters of single precision meet frozen half ones."""
        is_half = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=is_half)

    def to_safetensors(self) -> bytes:
        """Return the adapters as the content of the file that diffusers writes and loads."""
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft.utils import get_peft_model_state_dict

        layers = {
            f"{name}_lora_layers": convert_state_dict_to_diffusers(
                get_peft_model_state_dict(network)
            )
            for name, network in self.adapted.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            self.pipeline.save_lora_weights(folder, **layers)
            (path,) = Path(folder).iterdir()
            return path.read_bytes()

    def preview(self, prompt: str, side: int, seed: int) -> Any:
        """Sample an image of Pillow with the adapters as they are."""
        with torch.no_grad(), self.autocast():
            latents = self.pipeline(
                prompt,
                height=side,
                width=side,
                generator=torch.Generator().manual_seed(seed),
                output_type="latent",
            ).images
        with torch.no_grad():  # in single precision
            scaled = latents.float() / self.pipeline.vae.config.scaling_factor
            decoded = self.pipeline.vae.decode(scaled).sample
        return self.pipeline.image_processor.postprocess(decoded, output_type="pil")[0]


def _check_trainable(pipeline: Any) -> None:
    kind = type(pipeline).__name__
    if kind not in _TRAINABLE:
        raise ValueError(
            f"DreamBoothLoRA: pretrained_model is a {kind}, but adapters are trained for "
            f"{' and '.join(_TRAINABLE)} only (Stable Diffusion 1.x, 2.x and XL). Use "
            "sample_generator to sample from it."
        )


def _make_noise(scheduler: Any) -> Any:
    """Make the scheduler that adds noise in training, whatever the pipeline samples with."""
    from diffusers import DDPMScheduler

    noise = DDPMScheduler.from_config(scheduler.config)
    prediction = noise.config.prediction_type
    if prediction not in _PREDICTIONS:
        raise ValueError(
            f"DreamBoothLoRA: the network of pretrained_model predicts {prediction!r}, but only "
            f"{' and '.join(_PREDICTIONS)} can be trained."
        )
    return noise
