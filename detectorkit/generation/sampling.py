"""Sampling from text-to-image generators, with a ledger of what was made."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectorkit._version import __version__
from detectorkit.datasets.ledger import Ledger, LedgerRow
from detectorkit.generation.pictures import encode_generated
from detectorkit.generation.pipelines import Base, find_device, load_base, quiet, require_generate
from detectorkit.images.batches import iter_slices
from detectorkit.utils.files import read_regular, write_whole
from detectorkit.utils.progress import progress_bar, tell
from detectorkit.utils.validation import check_count, check_seed

__all__ = ["ADAPTER_NAME", "SAMPLED_NAME", "sample_generator"]

ADAPTER_NAME: Final = "pytorch_lora_weights.safetensors"
"""Name of the file of adapters, as diffusers has it."""

SAMPLED_NAME: Final = r"\d{10}-[0-9a-f]{8}\.png"
"""Form of the names of images: the seed, and a hash of the prompt and all settings."""

_MAX_ADAPTER: Final = 2**33  # bytes
_LIBRARIES: Final = ("diffusers", "peft", "torch", "transformers")


def sample_generator(
    model: str | os.PathLike[str],
    prompts: str | Sequence[str],
    *,
    output_dir: str | os.PathLike[str],
    n: int | None = None,
    negative_prompt: str | None = None,
    guidance_scale: float | None = None,
    num_inference_steps: int | None = None,
    image_size: tuple[int, int] | None = None,
    adapter: str | os.PathLike[str] | bytes | None = None,
    revision: str | None = None,
    notes: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    device: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> list[Path]:
    """Sample images from a text-to-image generator, and write them with a ledger.

    A run that was stopped goes on where it was: images that the ledger has are not made again.

    Parameters
    ----------
    model : str or Path
        Folder of a pipeline of diffusers, or its name on the model hub: any that diffusers'
        ``AutoPipelineForText2Image`` loads, with weights in safetensors.
    prompts : str or sequence of str
        Texts to make images of.
    output_dir : str or Path
        Folder for the images and their ledger, ``ledger.csv``, which `load_images` reads. Further
        images may be added to those of an earlier call.
    n : int, default=None
        Number of images. The prompts are taken in turn; None takes each of them once.
    negative_prompt : str, default=None
        Text that the images should be unlike.
    guidance_scale : float, default=None
        Strength of the guidance by the prompt. None takes that of the pipeline.
    num_inference_steps : int, default=None
        Number of denoising steps. None takes that of the pipeline.
    image_size : tuple of (int, int), default=None
        Height and width of the images, in pixels. None takes the size that the model was made for.
    adapter : str, Path or bytes, default=None
        LoRA adapters: a safetensors file, a folder with ``pytorch_lora_weights.safetensors``, or
        the content of such a file.
    revision : str, default=None
        Commit or branch on the model hub. None takes the newest.
    notes : dict of str to object, default=None
        Further columns of the ledger, such as ``{"subject": "a mug", "generator": "my-lora"}``.
    batch_size : int, default=1
        Number of images that are made together.
    device : str, default="auto"
        Device of torch, such as "cpu" or "cuda". "auto" means "cuda" if available. Anywhere but on
        a CPU the pipeline runs in half precision.
    random_state : int, RandomState instance or None, default=None
        Seed of the first image. The others have the numbers that follow.
    verbose : bool, default=False
        Whether to show progress on standard error.

    Returns
    -------
    paths : list of Path
        Paths of the images, which detectors take as X. Images that the pipeline's own safety
        checker blackened are left out, and named on standard error.

    Raises
    ------
    ImportError
        If a package of the extra "generate" is missing.
    OSError
        If the model or the adapter cannot be read, or an image cannot be written.
    ValueError
        If a number is not allowed.

    Notes
    -----
    The noise of each image is drawn on the CPU from its own seed, so with batches of one an image
    depends on nothing but its row in the ledger, the kind of processor and the versions of the
    libraries.
    """
    require_generate("sample_generator")
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts:
        raise ValueError("sample_generator: prompts=[] is empty. Pass at least one text.")
    count = len(prompts) if n is None else check_count("sample_generator", "n", n, minimum=1)
    check_count("sample_generator", "batch_size", batch_size, minimum=1)
    seed = check_seed("sample_generator", random_state)
    content = _read_adapter(adapter)
    device = find_device(device)
    base = load_base(model, revision, device=device, precision="sampling")
    _prepare(base.pipeline, content, device)
    settings = _find_settings(
        base,
        content,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        image_size=image_size,
        negative_prompt=negative_prompt,
    )
    orders = [
        _Order(prompt, seed + number, settings)
        for number, prompt in enumerate(islice(cycle(prompts), count))
    ]
    return _Sampler(base, Path(output_dir), notes or {}).make(orders, batch_size, verbose=verbose)


@dataclass(frozen=True)
class _Settings:
    """What a call asks of all its images; None leaves a choice to the pipeline."""

    base_model: str
    base_revision: str
    adapter: str
    negative_prompt: str | None
    guidance_scale: float | None
    num_inference_steps: int | None
    height: int | None
    width: int | None
    scheduler: str

    def arguments(self, count: int) -> dict[str, Any]:
        """Return the arguments of the pipeline for a number of images."""
        names = "guidance_scale", "num_inference_steps", "height", "width"
        found = {name: getattr(self, name) for name in names}
        if self.negative_prompt is not None:
            found["negative_prompt"] = [self.negative_prompt] * count
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class _Order:
    """One image to be made."""

    prompt: str
    seed: int
    settings: _Settings

    @property
    def name(self) -> str:
        """Name of the file: the same order has the same, another has another."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()
        return f"{self.seed:010d}-{digest[:8]}.png"


def _read_adapter(adapter: str | os.PathLike[str] | bytes | None) -> bytes | None:
    if adapter is None or isinstance(adapter, bytes):
        return adapter
    path = Path(adapter)
    return read_regular(path / ADAPTER_NAME if path.is_dir() else path, _MAX_ADAPTER)


def _prepare(pipeline: Any, adapter: bytes | None, device: str) -> None:
    """Add adapters to a pipeline, and bring it to its device."""
    if adapter is not None:
        from safetensors.torch import load

        with quiet():
            pipeline.load_lora_weights(load(adapter))
    pipeline.to(device)


def _find_settings(
    base: Base,
    adapter: bytes | None,
    *,
    guidance_scale: float | None,
    num_inference_steps: int | None,
    image_size: tuple[int, int] | None,
    negative_prompt: str | None,
) -> _Settings:
    """Complete the settings by those of the pipeline, so that the ledger can tell them."""
    known = inspect.signature(base.pipeline.__call__).parameters

    def usual(name: str, given: Any) -> Any:
        return known[name].default if given is None and name in known else given

    height, width = image_size or (None, None)
    return _Settings(
        base_model=base.name,
        base_revision=base.revision,
        adapter="" if adapter is None else hashlib.sha256(adapter).hexdigest(),
        negative_prompt=negative_prompt,
        guidance_scale=usual("guidance_scale", guidance_scale),
        num_inference_steps=usual("num_inference_steps", num_inference_steps),
        height=height,
        width=width,
        scheduler=type(base.pipeline.scheduler).__name__,
    )


class _Sampler:
    """Makes images in order, and writes each with its row in the ledger."""

    def __init__(self, base: Base, folder: Path, notes: Mapping[str, Any]) -> None:
        name = base.name.rpartition("/")[2].lower()
        self.base = base
        self.folder = folder
        self.ledger = Ledger(folder)
        self.notes = {"generator": name, "family": base.family, **notes}
        self.libraries = {name: version(name) for name in _LIBRARIES} | {"detectorkit": __version__}

    def make(self, orders: list[_Order], batch_size: int, *, verbose: bool) -> list[Path]:
        """Make the images that are not there yet; return the paths of all."""
        there = {row.path for row in self.ledger.rows() if (self.folder / row.path).is_file()}
        todo = [order for order in orders if order.name not in there]
        self.folder.mkdir(parents=True, exist_ok=True)
        with progress_bar("Sampling", len(todo), show=verbose) as advance:
            for part in iter_slices(len(todo), batch_size):
                rows = self._make_batch(todo[part])
                self.ledger.append(rows)
                there.update(row.path for row in rows)
                advance(len(todo[part]))
        return [self.folder / order.name for order in orders if order.name in there]

    def _make_batch(self, orders: list[_Order]) -> list[LedgerRow]:
        import torch

        found = self.base.pipeline(
            prompt=[order.prompt for order in orders],
            generator=[torch.Generator().manual_seed(order.seed) for order in orders],
            output_type="pil",
            **orders[0].settings.arguments(len(orders)),
        )
        refused = getattr(found, "nsfw_content_detected", None) or [False] * len(orders)
        rows = []
        for order, image, is_refused in zip(orders, found.images, refused, strict=True):
            if is_refused:
                tell(f"The pipeline's safety checker refused seed {order.seed}: {order.prompt}")
            else:
                rows.append(self._write(order, image))
        return rows

    def _write(self, order: _Order, image: Any) -> LedgerRow:
        made = asdict(order.settings) | {
            "prompt": order.prompt,
            "negative_prompt": order.settings.negative_prompt or "",
            "seed": order.seed,
            "width": image.width,
            "height": image.height,
        }
        content = encode_generated(image, made, self.libraries["diffusers"])
        write_whole(self.folder / order.name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        row = {"path": order.name, "sha256": sha256, "libraries": self.libraries}
        return LedgerRow.from_dict(row | made | self.notes)
