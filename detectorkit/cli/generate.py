"""Make generated images with text-to-image generators; needs the extra "generate".

dreambooth teaches a Stable Diffusion the subject of a few pictures, lora teaches it from pictures
with captions (name.txt beside name.png), and sample makes images with any generator that diffusers
loads. Images are written with a ledger, ledger.csv, of how each was made, which all commands read
as a manifest.

A training that was stopped, also by Ctrl-C, goes on when the same command is run again. So does
sampling.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from detectorkit.cli._common import add_random_state
from detectorkit.cli._request import find_paths
from detectorkit.utils.text import printable

__all__ = ["add_arguments", "run"]

_CHECKPOINT: Final = "checkpoint.pt"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit generate``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    dreambooth = actions.add_parser(
        "dreambooth", help="train adapters on a few pictures of one subject, and sample from them"
    )
    _add_training(dreambooth)
    dreambooth.add_argument(
        "--class",
        dest="class_name",
        required=True,
        metavar="WORDS",
        help="what the subject is, such as 'woman'",
    )
    dreambooth.add_argument(
        "--identifier",
        default="sks",
        metavar="WORD",
        help="rare word that stands for the subject: the prompt is 'a photo of WORD CLASS' "
        "(default: sks)",
    )
    dreambooth.add_argument(
        "--class-images",
        type=int,
        default=200,
        metavar="N",
        help="number of images of 'a photo of CLASS' that keep the model from forgetting the "
        "class; 0 for none (default: 200)",
    )
    dreambooth.add_argument(
        "--class-folder",
        metavar="FOLDER",
        help="folder with class images; missing ones are made there (default: class_images in the "
        "output folder)",
    )
    dreambooth.add_argument(
        "--prior-loss-weight",
        type=float,
        default=1.0,
        metavar="X",
        help="factor of the loss of class images (default: 1)",
    )
    lora = actions.add_parser(
        "lora", help="train adapters on pictures with captions, and sample from them"
    )
    _add_training(lora)
    lora.add_argument(
        "--repeats",
        type=int,
        default=10,
        metavar="N",
        help="number of times that each picture is taken in an epoch (default: 10)",
    )
    lora.add_argument(
        "--epochs",
        type=int,
        default=100,
        metavar="N",
        help="number of epochs after which training ends before --steps (default: 100)",
    )
    lora.add_argument(
        "--prompt", metavar="TEXT", help="prompt of the samples (default: the first caption)"
    )
    sample = actions.add_parser(
        "sample", help="sample from any text-to-image generator that diffusers loads"
    )
    _add_model(sample)
    prompts = sample.add_mutually_exclusive_group(required=True)
    prompts.add_argument(
        "--prompt", action="append", metavar="TEXT", help="text to make images of; repeatable"
    )
    prompts.add_argument("--prompts", metavar="FILE", help="file with one prompt in each line")
    sample.add_argument(
        "--adapter", metavar="PATH", help="LoRA adapters: safetensors file, or folder with one"
    )
    sample.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="height and width of the images (default: those of the model)",
    )
    sample.add_argument(
        "--generator", metavar="NAME", help="name for the ledger (default: that of the model)"
    )
    _add_sampling(sample, count=None, guidance=None, steps=None)


def _add_model(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", help="folder of a pipeline of diffusers, or its name on the model hub"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="folder for everything"
    )
    parser.add_argument(
        "--revision", metavar="NAME", help="commit or branch on the model hub (default: newest)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="device of torch, such as cpu or cuda (default: cuda if available)",
    )


def _add_sampling(
    parser: ArgumentParser, count: int | None, guidance: float | None, steps: int | None
) -> None:
    def usual(value: float | None, otherwise: str) -> str:
        return otherwise if value is None else f"{value:g}"

    parser.add_argument(
        "-n",
        type=int,
        default=count,
        metavar="N",
        help=f"number of images (default: {usual(count, 'one for each prompt')})",
    )
    parser.add_argument(
        "--negative-prompt", metavar="TEXT", help="text that the images should be unlike"
    )
    parser.add_argument(
        "--guidance-scale",
        type=float,
        default=guidance,
        metavar="X",
        help=f"guidance by the prompt (default: {usual(guidance, 'that of the model')})",
    )
    parser.add_argument(
        "--inference-steps",
        type=int,
        default=steps,
        metavar="N",
        help=f"number of denoising steps (default: {usual(steps, 'that of the model')})",
    )
    parser.add_argument(
        "--subject", default="", metavar="NAME", help="name of the subject, for the ledger"
    )
    parser.add_argument(
        "--sample-batch-size",
        type=int,
        default=1,
        metavar="N",
        help="number of images that are made together (default: 1)",
    )
    add_random_state(parser)


def _add_training(parser: ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("pictures", nargs="+", help="pictures to learn from, or folders of them")
    for option, kind, usual, meaning in (
        ("--steps", int, 800, "number of updates of the adapters"),
        ("--side", int, 512, "height and width of the pictures in training, and of the samples"),
        ("--rank", int, 16, "rank of the adapters"),
        ("--batch-size", int, 1, "number of pictures in a batch"),
        ("--accumulate", int, 1, "number of batches before each update"),
        ("--learning-rate", float, 1e-4, "learning rate of AdamW"),
        ("--checkpoint-every", int, 100, "number of updates between two checkpoints"),
    ):
        metavar = "N" if kind is int else "X"
        text = f"{meaning} (default: {usual:g})"
        parser.add_argument(option, type=kind, default=usual, metavar=metavar, help=text)
    parser.add_argument(
        "--train-text-encoder", action="store_true", help="add adapters to the text encoder too"
    )
    parser.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="compute activations twice, which needs less memory",
    )
    parser.add_argument(
        "--full-precision",
        action="store_true",
        help="keep frozen weights in single precision on a GPU (a CPU always does)",
    )
    parser.add_argument(
        "--previews",
        type=int,
        metavar="N",
        help="write a sample to previews in the output folder after every N updates",
    )
    _add_sampling(parser, count=0, guidance=7.5, steps=50)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit generate``."""
    from detectorkit.generation.pipelines import require_generate

    require_generate(f"detectorkit generate {arguments.action}")
    actions = {"dreambooth": _dreambooth, "lora": _lora, "sample": _sample}
    actions[arguments.action](arguments)
    return 0


def _dreambooth(arguments: Namespace) -> None:
    has_class_images = arguments.class_images > 0
    model = _make_model(
        arguments,
        instance_prompt=f"a photo of {arguments.identifier} {arguments.class_name}",
        class_prompt=f"a photo of {arguments.class_name}" if has_class_images else None,
        n_class_images=arguments.class_images if has_class_images else 1,
        class_images_dir=arguments.class_folder or Path(arguments.output, "class_images"),
        prior_loss_weight=arguments.prior_loss_weight,
    )
    model.fit(find_paths(arguments, arguments.pictures))
    _finish(arguments, model, None)


def _lora(arguments: Namespace) -> None:
    from detectorkit.generation import read_captions

    paths = find_paths(arguments, arguments.pictures)
    captions = read_captions(paths)
    model = _make_model(
        arguments, instance_prompt=None, repeats=arguments.repeats, epochs=arguments.epochs
    )
    model.fit(paths, captions)
    _finish(arguments, model, arguments.prompt or captions[0])


def _make_model(arguments: Namespace, **parameters: Any) -> Any:
    from detectorkit.generation import DreamBoothLoRA

    previews = arguments.previews
    return DreamBoothLoRA(
        arguments.model,
        revision=arguments.revision,
        rank=arguments.rank,
        train_text_encoder=arguments.train_text_encoder,
        side=arguments.side,
        n_steps=arguments.steps,
        batch_size=arguments.batch_size,
        gradient_accumulation_steps=arguments.accumulate,
        gradient_checkpointing=arguments.gradient_checkpointing,
        learning_rate=arguments.learning_rate,
        mixed_precision=not arguments.full_precision,
        checkpoint=Path(arguments.output, _CHECKPOINT),
        checkpoint_every=arguments.checkpoint_every,
        preview_dir=None if previews is None else Path(arguments.output, "previews"),
        preview_every=100 if previews is None else previews,
        device=arguments.device,
        random_state=arguments.random_state,
        verbose=True,
        **parameters,
    )


def _finish(arguments: Namespace, model: Any, prompt: str | None) -> None:
    """Save the adapters and sample from them."""
    model.save(arguments.output)
    print(f"adapters of {model.n_steps_} steps in {printable(arguments.output)}")
    if arguments.n:
        folder = Path(arguments.output, "images")
        paths = model.sample(
            arguments.n,
            prompt,
            arguments.negative_prompt,
            output_dir=folder,
            guidance_scale=arguments.guidance_scale,
            num_inference_steps=arguments.inference_steps,
            subject=arguments.subject,
            batch_size=arguments.sample_batch_size,
            random_state=arguments.random_state,
        )
        print(f"{len(paths)} images in {printable(str(folder))}")


def _sample(arguments: Namespace) -> None:
    from detectorkit.generation import sample_generator

    prompts = arguments.prompt or _read_prompts(Path(arguments.prompts))
    notes = {"subject": arguments.subject}
    if arguments.generator is not None:
        notes["generator"] = arguments.generator
    paths = sample_generator(
        arguments.model,
        prompts,
        output_dir=arguments.output,
        n=arguments.n,
        negative_prompt=arguments.negative_prompt,
        guidance_scale=arguments.guidance_scale,
        num_inference_steps=arguments.inference_steps,
        image_size=None if arguments.size is None else tuple(arguments.size),
        adapter=arguments.adapter,
        revision=arguments.revision,
        notes=notes,
        batch_size=arguments.sample_batch_size,
        device=arguments.device,
        random_state=arguments.random_state,
        verbose=True,
    )
    print(f"{len(paths)} images in {printable(arguments.output)}")


def _read_prompts(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text("utf-8-sig").splitlines())
    prompts = [line for line in lines if line]
    if not prompts:
        raise ValueError(f"--prompts {path}: the file has no prompts. Write one in each line.")
    return prompts
