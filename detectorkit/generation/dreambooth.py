"""Adapters that teach Stable Diffusion a subject or a style from some pictures."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from detectorkit.generation.pipelines import Base, find_device, load_base, require_generate
from detectorkit.generation.sampling import ADAPTER_NAME, SAMPLED_NAME, sample_generator
from detectorkit.images.decoding import read_image_bytes
from detectorkit.images.image_files import PassedOver, search_images
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence, check_images, kind_of
from detectorkit.images.treatment import Treatment
from detectorkit.utils.files import read_regular, write_whole
from detectorkit.utils.json import dumps
from detectorkit.utils.validation import (
    check_integer,
    check_real,
    check_seed,
    parameter_error,
)

if TYPE_CHECKING:
    from detectorkit.generation.denoising import Denoiser
    from detectorkit.generation.training import Lessons, Plan

__all__ = ["DreamBoothLoRA"]

_GUIDANCE_SCALE: Final = 7.5
_INFERENCE_STEPS: Final = 50
_RECORD: Final = "training.json"
_MAX_RECORD: Final = 2**26  # bytes
_COUNTS: Final = (
    "n_class_images", "rank", "n_steps", "repeats", "batch_size", "gradient_accumulation_steps",
    "checkpoint_every", "preview_every",
)  # fmt: skip
_NOT_IDENTITY: Final = {  # parameters that a training may be continued with, when changed
    "pretrained_model", "n_class_images", "class_images_dir", "n_steps", "epochs", "checkpoint",
    "checkpoint_every", "preview_dir", "preview_every", "verbose", "device", "mixed_precision",
    "random_state", "gradient_checkpointing",
}  # fmt: skip


class DreamBoothLoRA(BaseEstimator):
    """Adapters that teach Stable Diffusion a subject or a style from some pictures.

    DreamBooth ties the subject of a few pictures to a rare word of the prompt. Class images, which
    the model makes of the same prompt without that word, keep it from forgetting the class (prior
    preservation). With `captions` each picture has its own prompt instead. Only adapters of low
    rank (LoRA) in the attention of the networks are trained.

    Stable Diffusion 1.x, 2.x and XL can be trained. Needs the extra ``generate``.

    Parameters
    ----------
    pretrained_model : str or Path
        Folder of a Stable Diffusion pipeline of diffusers, or its name on the model hub.
    instance_prompt : str or None
        Prompt of the pictures, "a photo of [identifier] [class]", such as "a photo of sks woman".
        None needs captions in `fit` and a prompt in `sample`.
    class_prompt : str, default=None
        Prompt of the class images, such as "a photo of a woman". None uses no class images.
    revision : str, default=None
        Commit or branch on the model hub. None takes the newest.
    n_class_images : int, default=200
        Number of class images.
    class_images_dir : str or Path, default=None
        Folder of class images. Those that are missing to `n_class_images` are made there. None
        makes all of them in a temporary folder.
    prior_loss_weight : float, default=1.0
        Factor of the loss of class images.
    rank : int, default=16
        Rank of the adapters.
    train_text_encoder : bool, default=False
        Whether the text encoders get adapters too.
    side : int, default=512
        Height and width of the pictures, in pixels: the centre square is resized to it, by
        averaging over areas where it shrinks. A multiple of 8 that suits the model.
    n_steps : int, default=800
        Number of updates of the adapters.
    repeats : int, default=1
        Number of times that each picture is taken in an epoch.
    epochs : int, default=None
        Number of epochs after which training ends before `n_steps`. None sets no such end.
    batch_size : int, default=1
        Number of pictures in a batch; as many class images are added.
    gradient_accumulation_steps : int, default=1
        Number of batches before each update.
    gradient_checkpointing : bool, default=False
        Whether activations are computed a second time in place of being kept, which takes longer
        and needs less memory.
    learning_rate : float, default=1e-4
        Learning rate of AdamW.
    max_grad_norm : float, default=1.0
        Norm to which gradients are clipped.
    mixed_precision : bool, default=True
        Whether the frozen weights are in half precision on a GPU (bfloat16 where it is supported).
        A CPU always computes in single precision.
    checkpoint : str or Path, default=None
        File for the state of the training. If it exists, `fit` continues from it. It is also
        written at Ctrl-C. None writes none.
    checkpoint_every : int, default=100
        Number of updates between two checkpoints.
    preview_dir : str or Path, default=None
        Folder for sample images of the prompt during training. None makes none.
    preview_every : int, default=100
        Number of updates between two previews.
    device : str, default="auto"
        Device of torch, such as "cpu" or "cuda". "auto" means "cuda" if available.
    random_state : int, RandomState instance or None, default=None
        Source of randomness for initial adapters, noise, order and class images.
    verbose : bool, default=False
        Whether `fit` shows its progress and the losses on standard error.

    Attributes
    ----------
    adapter_ : bytes
        Content of the safetensors file of the adapters, as diffusers loads it.
    loss_curve_ : list of float
        Loss of each update.
    n_steps_ : int
        Number of updates.
    instance_ : tuple of str
        SHA-256 of each picture: of the file, or of the pixels of an array.

    See Also
    --------
    sample_generator : Sample from any text-to-image pipeline.

    Notes
    -----
    Latents are encoded once, as pictures are not changed at random, and so are prompts, unless the
    text encoder is trained. SDXL is told that each picture has its size of training and was not
    cropped, just as it is told when it samples.

    A training on a CPU gives the same bits when it is repeated, and when it was stopped and
    continued from its checkpoint.

    References
    ----------
    N. Ruiz et al. (2023). DreamBooth: Fine Tuning Text-to-Image Diffusion Models for
    Subject-Driven Generation. :doi:`10.1109/CVPR52729.2023.02155`

    E. J. Hu et al. (2022). LoRA: Low-Rank Adaptation of Large Language Models.
    :doi:`10.48550/arXiv.2106.09685`

    Examples
    --------
    >>> from detectorkit.generation import DreamBoothLoRA
    >>> model = DreamBoothLoRA("stable-diffusion", "a photo of sks cat", "a photo of a cat")
    >>> model.n_steps
    800
    """

    adapter_: bytes
    loss_curve_: list[float]
    n_steps_: int
    instance_: tuple[str, ...]

    def __init__(
        self,
        pretrained_model: str | os.PathLike[str],
        instance_prompt: str | None,
        class_prompt: str | None = None,
        *,
        revision: str | None = None,
        n_class_images: int = 200,
        class_images_dir: str | os.PathLike[str] | None = None,
        prior_loss_weight: float = 1.0,
        rank: int = 16,
        train_text_encoder: bool = False,
        side: int = 512,
        n_steps: int = 800,
        repeats: int = 1,
        epochs: int | None = None,
        batch_size: int = 1,
        gradient_accumulation_steps: int = 1,
        gradient_checkpointing: bool = False,
        learning_rate: float = 1e-4,
        max_grad_norm: float = 1.0,
        mixed_precision: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 100,
        preview_dir: str | os.PathLike[str] | None = None,
        preview_every: int = 100,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.pretrained_model = pretrained_model
        self.instance_prompt = instance_prompt
        self.class_prompt = class_prompt
        self.revision = revision
        self.n_class_images = n_class_images
        self.class_images_dir = class_images_dir
        self.prior_loss_weight = prior_loss_weight
        self.rank = rank
        self.train_text_encoder = train_text_encoder
        self.side = side
        self.n_steps = n_steps
        self.repeats = repeats
        self.epochs = epochs
        self.batch_size = batch_size
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.gradient_checkpointing = gradient_checkpointing
        self.learning_rate = learning_rate
        self.max_grad_norm = max_grad_norm
        self.mixed_precision = mixed_precision
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.preview_dir = preview_dir
        self.preview_every = preview_every
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, images: Any, captions: Sequence[str] | None = None) -> Self:
        """Train adapters on pictures.

        Parameters
        ----------
        images : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The pictures: one array, or a sequence of arrays (of any sizes), of paths, of PIL
            images, of bytes or of file objects.
        captions : sequence of str, default=None
            Prompt of each picture, see `read_captions`. None takes `instance_prompt` for all.

        Returns
        -------
        self : DreamBoothLoRA
            The model, with adapters.

        Raises
        ------
        ImageReadError
            If a picture cannot be read.
        ImportError
            If a package of the extra "generate" is missing.
        OSError
            If the model cannot be read.
        RuntimeError
            If the loss is not finite.
        ValueError
            If a parameter is not allowed, or the checkpoint is of another training.
        """
        require_generate(type(self).__name__)
        self._check_parameters()
        pictures = check_images(images, caller=type(self).__name__)
        prompts = self._check_captions(captions, len(pictures))
        instance = tuple(_hash_picture(item) for item in pictures.items)
        seed = check_seed(type(self).__name__, self.random_state)
        with self._class_images(seed) as class_paths:
            base = self._load_base()
            denoiser = self._make_denoiser(base, seed)
            lessons = self._encode(denoiser, pictures, class_paths, prompts)
            known = [*instance, *map(_hash_picture, class_paths)]
        plan = self._make_plan(len(pictures), seed)
        identity = self._identify(base, prompts, known, f"{seed}, {denoiser.dtype}")
        self.loss_curve_ = self._train(denoiser, lessons, plan, identity)
        self.n_steps_ = len(self.loss_curve_)
        self.instance_ = instance
        self.adapter_ = denoiser.to_safetensors()
        return self

    def _check_parameters(self) -> None:
        for name in _COUNTS:
            check_integer(self, name, minimum=1)
        for name in ("learning_rate", "max_grad_norm"):
            check_real(self, name, above=0)
        check_real(self, "prior_loss_weight", minimum=0)
        if self.epochs is not None:
            check_integer(self, "epochs", minimum=1)
        if check_integer(self, "side", minimum=8) % 8:
            raise parameter_error(self, "side", "a multiple of 8")

    def _check_captions(self, captions: Sequence[str] | None, count: int) -> list[str]:
        if captions is None and self.instance_prompt is None:
            raise parameter_error(self, "instance_prompt", "a text, unless fit gets captions")
        prompts = [self.instance_prompt or ""] * count if captions is None else list(captions)
        if len(prompts) != count or isinstance(captions, str):
            raise ValueError(
                f"DreamBoothLoRA: there are {len(prompts)} captions for {count} pictures. Pass a "
                "list with one text for each picture."
            )
        return prompts

    @contextmanager
    def _class_images(self, seed: int) -> Iterator[list[Path]]:
        """Find the class images, and make those that are missing."""
        if self.class_prompt is None:
            yield []
            return
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(self.class_images_dir or temporary)
            given = search_images(folder, PassedOver()) if folder.is_dir() else []
            given = [path for path in given if not re.fullmatch(SAMPLED_NAME, path.name)]
            given = given[: self.n_class_images]
            missing = self.n_class_images - len(given)
            made = self._make_class_images(folder, missing, seed) if missing else []
            yield given + made

    def _make_class_images(self, folder: Path, count: int, seed: int) -> list[Path]:
        return sample_generator(
            self.pretrained_model,
            self.class_prompt or "",
            output_dir=folder,
            n=count,
            guidance_scale=_GUIDANCE_SCALE,
            num_inference_steps=_INFERENCE_STEPS,
            image_size=(self.side, self.side),
            revision=self.revision,
            device=self.device,
            random_state=seed,
            verbose=self.verbose,
        )

    def _load_base(self) -> Base:
        return load_base(
            self.pretrained_model,
            self.revision,
            device=find_device(self.device),
            precision="training" if self.mixed_precision else "single",
        )

    def _make_denoiser(self, base: Base, seed: int) -> Denoiser:
        from detectorkit.generation.denoising import Denoiser

        return Denoiser(
            base.pipeline,
            rank=self.rank,
            train_text_encoder=self.train_text_encoder,
            gradient_checkpointing=self.gradient_checkpointing,
            device=find_device(self.device),
            seed=seed,
        )

    def _encode(
        self,
        denoiser: Denoiser,
        pictures: ImageSequence,
        class_paths: list[Path],
        prompts: list[str],
    ) -> Lessons:
        from detectorkit.generation.training import Lessons

        count = len(pictures) + len(class_paths)
        codes = denoiser.encode_images(
            self._read([pictures, check_images(class_paths)] if class_paths else [pictures]),
            count,
            verbose=self.verbose,
        )
        texts = prompts + [self.class_prompt or ""] * len(class_paths)
        return Lessons(codes, texts, len(pictures))

    def _read(self, parts: list[ImageSequence]) -> Iterator[NDArray[np.uint8]]:
        """Read images as centre squares of the size for training."""
        wanted = Preprocessing(None, "rgb", treatment=Treatment(side=self.side, quality=None))
        for images in parts:
            for index in range(len(images)):
                image: Any = images.read(index, wanted)
                yield image

    def _make_plan(self, n_pictures: int, seed: int) -> Plan:
        from detectorkit.generation.training import Plan

        n_steps = self.n_steps
        if self.epochs is not None:
            taken = self.batch_size * self.gradient_accumulation_steps
            n_steps = min(n_steps, math.ceil(n_pictures * self.repeats * self.epochs / taken))
        return Plan(
            n_steps=n_steps,
            batch_size=self.batch_size,
            n_batches=self.gradient_accumulation_steps,
            learning_rate=self.learning_rate,
            prior_loss_weight=self.prior_loss_weight,
            max_grad_norm=self.max_grad_norm,
            seed=seed,
            checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
            checkpoint_every=self.checkpoint_every,
            preview_every=self.preview_every,
        )

    def _identify(self, base: Base, prompts: list[str], known: list[str], drawn: str) -> str:
        """Return a hash that differs for other pictures, prompts and settings."""
        settings = [
            (name, value)
            for name, value in sorted(self.get_params(deep=False).items())
            if name not in _NOT_IDENTITY
        ]
        told = repr((settings, base.name, base.revision, prompts, known, drawn))
        return hashlib.sha256(told.encode()).hexdigest()

    def _train(
        self, denoiser: Denoiser, lessons: Lessons, plan: Plan, identity: str
    ) -> list[float]:
        from detectorkit.generation.training import train_adapters

        def preview(step: int) -> None:
            image = denoiser.preview(lessons.prompts[0], self.side, plan.seed)
            image.save(folder / f"step-{step:06d}.png")

        folder = Path(self.preview_dir or "")
        if self.preview_dir is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return train_adapters(
            denoiser,
            lessons,
            plan,
            identity,
            preview=None if self.preview_dir is None else preview,
            verbose=self.verbose,
        )

    def sample(
        self,
        n: int,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        *,
        output_dir: str | os.PathLike[str],
        guidance_scale: float = _GUIDANCE_SCALE,
        num_inference_steps: int = _INFERENCE_STEPS,
        subject: str = "",
        batch_size: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> list[Path]:
        """Sample images with the adapters, and write them with a ledger.

        Parameters
        ----------
        n : int
            Number of images.
        prompt : str, default=None
            Prompt of the images. None takes `instance_prompt`.
        negative_prompt : str, default=None
            Text that the images should be unlike.
        output_dir : str or Path
            Folder for the images and their ledger.
        guidance_scale : float, default=7.5
            Strength of the guidance by the prompt.
        num_inference_steps : int, default=50
            Number of denoising steps.
        subject : str, default=""
            Name of the person or thing in the pictures, for the ledger. Images of one subject stay
            in one part when a data set is split.
        batch_size : int, default=1
            Number of images that are made together.
        random_state : int, RandomState instance or None, default=None
            Seed of the first image. The others have the numbers that follow.

        Returns
        -------
        paths : list of Path
            Paths of the images, which detectors take as X.

        Raises
        ------
        ImportError
            If a package of the extra "generate" is missing.
        OSError
            If the model cannot be read, or an image cannot be written.
        ValueError
            If a number is not allowed, or there is no prompt.
        """
        check_is_fitted(self)
        prompt = self.instance_prompt if prompt is None else prompt
        if prompt is None:
            raise ValueError("DreamBoothLoRA: instance_prompt is None. Pass a prompt to sample.")
        name = Path(self.pretrained_model).name.lower()
        return sample_generator(
            self.pretrained_model,
            prompt,
            output_dir=output_dir,
            n=n,
            negative_prompt=negative_prompt,
            guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps,
            image_size=(self.side, self.side),
            adapter=self.adapter_,
            revision=self.revision,
            notes={"generator": f"{name}-lora", "subject": subject, "instance": self.instance_},
            batch_size=batch_size,
            device=self.device,
            random_state=random_state,
            verbose=self.verbose,
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the adapters as diffusers does, and a record of the training beside them.

        Parameters
        ----------
        folder : str or Path
            Folder for ``pytorch_lora_weights.safetensors``, which ``load_lora_weights`` of a
            pipeline of diffusers reads, and ``training.json``. It is made if it does not exist.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        check_is_fitted(self)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, int):
            parameters["random_state"] = None
        record = {
            "parameters": parameters,
            "loss_curve": self.loss_curve_,
            "instance": self.instance_,
        }
        write_whole(place / ADAPTER_NAME, self.adapter_)
        write_whole(place / _RECORD, dumps(record, indent=1))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load what `save` has written, to sample from it.

        Parameters
        ----------
        folder : str or Path
            Folder with the adapters and their record.

        Returns
        -------
        model : DreamBoothLoRA
            The fitted model.

        Raises
        ------
        OSError
            If a file cannot be read.
        ValueError
            If the record is not one of this class.
        """
        place = Path(folder)
        try:
            record = json.loads(read_regular(place / _RECORD, _MAX_RECORD))
            model = cls(**record["parameters"])
            model.loss_curve_ = [float(one) for one in record["loss_curve"]]
            model.instance_ = tuple(map(str, record["instance"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"DreamBoothLoRA: {place / _RECORD} is not a record of this class: {error!r}. Use "
                "sample_generator with adapter= for adapters of other programs."
            ) from error
        model.n_steps_ = len(model.loss_curve_)
        model.adapter_ = read_regular(place / ADAPTER_NAME, 2**33)
        return model


def _hash_picture(item: Any) -> str:
    """Compute the SHA-256 of a file or of its content; of the pixels of what is not a file."""
    kind = kind_of(item)
    if kind == "a path":
        content = read_image_bytes(item)
    elif kind == "bytes":
        content = item
    else:
        content = np.ascontiguousarray(item).tobytes()
    return hashlib.sha256(content).hexdigest()
