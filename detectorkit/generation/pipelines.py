"""Loading of the pipelines of diffusers, and what a ledger notes of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detectorkit.utils.extras import require_extra
from detectorkit.utils.files import hash_files

__all__ = ["Base", "find_device", "load_base", "quiet", "require_generate"]

Precision = Literal["single", "sampling", "training"]


def require_generate(caller: str) -> None:
    """Check that the packages of the extra "generate" can be imported."""
    require_extra("generate", "torch", "diffusers", "transformers", "peft", caller=caller)


@dataclass(frozen=True)
class Base:
    """A pretrained text-to-image pipeline.

    Attributes
    ----------
    pipeline : DiffusionPipeline
        Pipeline of diffusers.
    name : str
        Name on the model hub, or of the folder.
    revision : str
        Commit on the model hub; for a folder, the SHA-256 of the denoising network's weights.
    """

    pipeline: Any
    name: str
    revision: str

    @property
    def family(self) -> str:
        """Name of the family: generators whose pictures go through one kind of decoder."""
        kind = type(self.pipeline).__name__.removesuffix("Pipeline").replace("XL", "Xl")
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind).lower()


def load_base(
    model: str | os.PathLike[str], revision: str | None, *, device: str, precision: Precision
) -> Base:
    """Load a text-to-image pipeline from a folder, or from the model hub by its name.

    Weights are read from safetensors only: other files of weights can run code.
    """
    from diffusers import AutoPipelineForText2Image, DiffusionPipeline

    folder = Path(model)
    with quiet():
        if folder.is_dir():
            name, found = folder.resolve().name, _hash_weights(folder)
        else:
            name = os.fspath(model)
            folder = Path(DiffusionPipeline.download(name, revision=revision, use_safetensors=True))
            found = folder.name
        pipeline = AutoPipelineForText2Image.from_pretrained(
            folder, use_safetensors=True, dtype=_find_dtype(folder, device, precision)
        )
    pipeline.set_progress_bar_config(disable=True)
    return Base(pipeline, name, found)


def _find_dtype(folder: Path, device: str, precision: Precision) -> Any:
    """Choose the number format of the weights; a CPU always has single precision."""
    import torch

    if device.startswith("cpu") or precision == "single":
        return torch.float32
    if precision == "sampling":  # transformers such as FLUX overflow in float16
        return torch.float16 if (folder / "unet").is_dir() else torch.bfloat16
    has_bfloat16 = not device.startswith("cuda") or torch.cuda.is_bf16_supported()
    half = torch.bfloat16 if has_bfloat16 else torch.float16
    return {"vae": torch.float32, "default": half}  # the VAE of SDXL overflows in float16


def _hash_weights(folder: Path) -> str:
    """Hash the weights of the network that sets generators of one family apart."""
    parts = (folder / name for name in ("unet", "transformer", "prior"))
    paths = [path for part in parts for path in sorted(part.glob("*.safetensors"))]
    return f"sha256:{hash_files(paths)}" if paths else ""


def find_device(device: str) -> str:
    """Return the device of torch that "auto" stands for, or the device itself."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from progress bars and advice of their own."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [one for one in (of_diffusers, of_transformers) if one.is_progress_bar_enabled()]
    verbosity = of_diffusers.get_verbosity()
    of_diffusers.set_verbosity_error()
    for one in shown:
        one.disable_progress_bar()
    try:
        yield
    finally:
        of_diffusers.set_verbosity(verbosity)
        for one in shown:
            one.enable_progress_bar()
