"""Train the small face generator that comes along, and export it.

    python -m benchmarks train-generator DATA [--minutes 85]

The generator is that of StyleGAN 2 (Karras et al. 2020) in small: a mapping network, modulated
convolutions without noise, and an image that is summed up over the resolutions. It learns from the
relativistic adversarial loss with zero-centred gradient penalties on photographs and on generated
images (R3GAN, Huang et al. 2024), through differentiable augmentation (Zhao et al. 2020), from
faces of FFHQ, CelebA and LFW with the eyes at the same places. A fifth of the photographs is held
out. The weights are averaged over time.

The state is kept in benchmarks/cache/generator.pt, from which the next run goes on, with a sheet of
samples beside it. A run ends with the export to detectorkit/models/generators/faces64.onnx; with
--minutes 0 it does nothing else. Needs torch; one thread is used. See measure-generator.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.accuracy.aligned_faces import SIZE, crop_faces
from benchmarks.arguments import add_data
from benchmarks.files import CACHE, MODELS, RESULTS, write_json
from benchmarks.machine import find_versions
from detectorkit.graph.quantization import halve_weights
from detectorkit.training.to_onnx import export_network

LATENT = 128
LAST = torch.channels_last
BATCH = 16
LEARNING_RATE = 2e-3
PENALTY, PENALTY_EVERY = 0.5, 16  # of the gradients; computed at every 16th step
AUGMENTED = 0.3  # of the images that the critic sees
HALF_LIFE = 10_000  # images after which half of an old weight is left in the average
SAVE_EVERY = 120.0  # seconds
GENERATOR = MODELS / "generators" / "faces64.onnx"
RESULT = RESULTS / "generator_training.json"


class Scaled(nn.Module):
    """A dense layer or convolution whose weights move in proportion to their first scale."""

    def __init__(
        self, n_in: int, n_out: int, size: int = 0, *, bias: float = 0.0, rate: float = 1.0
    ) -> None:
        super().__init__()
        shape = (n_out, n_in, size, size) if size else (n_out, n_in)
        self.scale, self.rate = (n_in * max(size, 1) ** 2) ** -0.5, rate
        self.weight = nn.Parameter(torch.randn(shape) * self.scale)
        self.bias = nn.Parameter(torch.full((n_out,), bias))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the weights and add the bias, in the precision of the input."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if weight.ndim == 2:
            return functional.linear(x, weight, bias)
        weight = weight.contiguous(memory_format=LAST)
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def activate(x: Tensor) -> Tensor:
    """Apply a leaky rectifier that keeps the variance."""
    return functional.leaky_relu(x, 0.2) * 2**0.5


class Modulated(nn.Module):
    """A convolution whose inputs are scaled by the style, and whose outputs are normalised."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, *, normalise: bool = True) -> None:
        super().__init__()
        self.style = Scaled(LATENT, n_in, bias=1.0, rate=0.2)
        self.scale = (n_in * size**2) ** -0.5
        self.weight = nn.Parameter(torch.randn(n_out, n_in, size, size) * self.scale)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.normalise = normalise

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolve images with the kernels of their styles."""
        style, weight = self.style(w), self.weight
        padding = weight.shape[-1] // 2
        y = functional.conv2d(
            x * style[:, :, None, None].to(x.dtype), weight.to(x.dtype), padding=padding
        )
        if self.normalise:
            variance = functional.linear(style.square(), weight.square().sum((2, 3)))
            y = y * (variance + 1e-8).rsqrt()[:, :, None, None].to(y.dtype)
        return y + self.bias[:, None, None].to(y.dtype)


class Generator(nn.Module):
    """Latents (n, 128) to images (n, 3, 64, 64), roughly in [-1, 1].

    Most of it works at up to 32 x 32; the last image has twice the side by shuffling pixels.
    """

    WIDTHS = ((192, 192), (192, 192), (192, 128), (128, 64), (64, 64))

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.ModuleList([Scaled(LATENT, LATENT, rate=0.0) for _ in range(2)])
        self.start = nn.Parameter(torch.randn(1, self.WIDTHS[0][0], 4, 4))
        self.layers = nn.ModuleList([Modulated(*widths) for widths in self.WIDTHS])
        self.colours = nn.ModuleList(
            [Modulated(n_out, 12, 1, normalise=False) for _, n_out in self.WIDTHS[1:]]
        )
        for layer in self.colours:  # begin without a pattern of the shuffled pixels
            layer.weight.data[:] = layer.weight.data[::4].repeat_interleave(4, 0)

    def forward(self, z: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Generate images, with convolutions in some precision."""
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.mapping:
            w = activate(layer(w))
        x = self.start.to(dtype, memory_format=LAST).repeat(z.shape[0], 1, 1, 1)
        x = activate(self.layers[0](x, w))
        image: Any = None
        for i, layer in enumerate(self.layers[1:]):
            if i < 3:
                x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = activate(layer(x, w))
            colours = functional.pixel_shuffle(self.colours[i](x, w).float(), 2)
            if image is not None and image.shape[-1] != colours.shape[-1]:
                image = functional.interpolate(image, scale_factor=2.0, mode="bilinear")
            image = colours if image is None else image + colours
        return image


class Halving(nn.Module):
    """A residual block that halves the image."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = Scaled(n_in, n_out, 3), Scaled(n_out, n_out, 3)
        self.skip = Scaled(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the image, then add two convolutions to one of a single pixel."""
        x = functional.avg_pool2d(x, 2)
        return (activate(self.second(activate(self.first(x)))) + self.skip(x)) * 0.5**0.5


class Critic(nn.Module):
    """Images to how real they look, without a look at other images of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Scaled(12, 64, 3)
        self.blocks = nn.Sequential(Halving(64, 128), Halving(128, 192), Halving(192, 256))
        self.dense = Scaled(256 * 16, 128)
        self.out = Scaled(128, 1)

    def forward(self, x: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """Score images, with convolutions in some precision."""
        x = functional.pixel_unshuffle(x, 2).to(dtype).contiguous(memory_format=LAST)
        x = self.blocks(activate(self.stem(x))).flatten(1)
        return self.out(activate(self.dense(x)).float())[:, 0]


def augment(x: Tensor) -> Tensor:
    """Change colours, shift, and cut out a square, in some images, each differently."""
    n, size, before = len(x), x.shape[-1], x
    draw = torch.rand(4, n, 1, 1, 1)
    x = x + draw[0] - 0.5
    mean = x.mean(1, keepdim=True)
    x = (x - mean) * (2 * draw[1]) + mean
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (draw[2] + 0.5) + mean
    reach = size // 8
    shift = torch.randint(-reach, reach + 1, (2, n, 1))
    at = torch.arange(size)
    rows, cols = at + shift[0], at + shift[1]
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((cols >= 0) & (cols < size))[:, None, :]
    rows, cols = rows.clamp(0, size - 1), cols.clamp(0, size - 1)
    moved = x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None]]
    corner = torch.randint(-size // 4, size - size // 4, (2, n, 1))
    square = ((at - corner[0]).div(size // 2, rounding_mode="floor") == 0)[:, :, None] & (
        (at - corner[1]).div(size // 2, rounding_mode="floor") == 0
    )[:, None, :]
    changed = (moved * (inside & ~square)[..., None]).permute(0, 3, 1, 2)
    return torch.where(torch.rand(n, 1, 1, 1) < AUGMENTED, changed, before)


def to_float(faces: np.ndarray) -> Tensor:
    """Scale images to [-1, 1]."""
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1


def penalise(critic: Critic, images: Tensor) -> Tensor:
    """Return the mean squared norm of the critic's gradients."""
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


class Training:
    """The networks and optimisers, and how they take a step."""

    def __init__(self) -> None:
        self.generator, self.average, self.critic = Generator(), Generator(), Critic()
        self.average.load_state_dict(self.generator.state_dict())
        self.of_generator = make_adam(self.generator)
        self.of_critic = make_adam(self.critic)
        self.seen, self.seconds = 0, 0.0

    def slow_down(self, left: float) -> None:
        """Lower the learning rates over the last third of a run, of which so much is left."""
        for group in self.of_generator.param_groups + self.of_critic.param_groups:
            group["lr"] = group["first"] * min(1.0, 3 * left)

    def step(self, faces: np.ndarray) -> float:
        """Take a step with both networks from one pass through both, and return the critic's loss.

        The critic loses softplus(f - r), the generator softplus(r - f). So their gradients by a
        generated image differ only by the factor -exp(r - f).
        """
        real = to_float(faces)
        fake = self.generator(torch.randn(len(real), LATENT), torch.bfloat16)
        seen_fake = fake.detach().requires_grad_()
        scores = self.critic(augment(torch.cat([real, seen_fake])))
        of_real, of_fake = scores.chunk(2)
        loss = functional.softplus(of_fake - of_real).mean()
        gap = (of_real - of_fake).detach()
        self.of_critic.zero_grad()
        loss.backward()
        if self.seen // BATCH % PENALTY_EVERY == 0:
            half = torch.cat([real[: BATCH // 2], fake.detach()[: BATCH // 2]])
            (PENALTY * PENALTY_EVERY * penalise(self.critic, augment(half))).backward()
        self.of_critic.step()
        self.of_generator.zero_grad()
        factor = gap.clamp(max=10).exp()[:, None, None, None]
        fake.backward(-factor * seen_fake.grad)
        self.of_generator.step()
        self.seen += len(real)
        self.follow()
        return loss.item()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average a little to the generator's weights."""
        half_life = min(HALF_LIFE, self.seen / 10)
        new = list(self.generator.parameters())
        torch._foreach_lerp_(list(self.average.parameters()), new, 1 - 0.5 ** (BATCH / half_life))

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save({name: self._state(part) for name, part in vars(self).items()}, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a state."""
        for name, state in torch.load(path, weights_only=True).items():
            part = getattr(self, name)
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(state)
            else:
                setattr(self, name, state)

    @staticmethod
    def _state(part: Any) -> Any:
        return part.state_dict() if hasattr(part, "state_dict") else part


def make_adam(network: nn.Module) -> torch.optim.Adam:
    """Let weights learn in proportion to their scale, as StyleGAN does ("equalised")."""
    groups = []
    for module in network.modules():
        base = LEARNING_RATE * getattr(module, "rate", 1.0)
        for name, parameter in module.named_parameters(recurse=False):
            rate = base * (getattr(module, "scale", 1.0) if name == "weight" else 1.0)
            groups.append({"params": [parameter], "lr": rate, "first": rate})
    return torch.optim.Adam(groups, betas=(0.0, 0.99), fused=True)


def write_sheet(generator: Generator, path: Path) -> None:
    """Write a sheet of samples, always of the same latents."""
    with torch.no_grad():
        z = torch.randn(60, LATENT, generator=torch.Generator().manual_seed(1))
        images = ((generator(z) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    rows = images.numpy().reshape(6, 10, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(rows.reshape(6 * SIZE, 10 * SIZE, 3)).save(path)


class Exported(nn.Module):
    """Latents to images as the library has them: (n, 64, 64, 3) in whole numbers."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        """Generate images, and round them."""
        levels = ((self.generator(z) + 1) * 127.5).clamp(0, 255).round()
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


def export(generator: Generator, path: Path) -> None:
    """Write the generator as ONNX, with its weights in 16 bits."""
    model = export_network(Exported(generator), (LATENT,))
    names = {model.graph.input[0].name: "latents", model.graph.output[0].name: "faces"}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    parser.add_argument("--minutes", type=float, default=85.0, help="time of this run")
    parser.add_argument("--state", type=Path, default=CACHE / "generator.pt", help="file to go on")


def run(arguments: argparse.Namespace) -> None:
    """Train for some minutes, and export the generator."""
    torch.set_num_threads(1)
    found = crop_faces(arguments.data)
    faces = found.images[~found.held_out]
    training = Training()
    if arguments.state.exists():
        training.load(arguments.state)
    torch.manual_seed(training.seen)
    if arguments.minutes:
        train(training, faces, arguments.minutes, arguments.state)
    export(training.average, GENERATOR)
    about = {
        "command": "python -m benchmarks train-generator DATA",
        "n_photographs": {
            str(name): int(np.sum(found.origin[~found.held_out] == name))
            for name in np.unique(found.origin)
        },
        "n_seen": training.seen,
        "seconds": round(training.seconds),
        "batch": BATCH,
        "bytes": GENERATOR.stat().st_size,
        "n_weights": sum(one.numel() for one in training.average.parameters()),
        "versions": find_versions("detectorkit", "numpy", "torch"),
    }
    write_json(RESULT, about)


def train(training: Training, faces: np.ndarray, minutes: float, state: Path) -> None:
    """Show batches of photographs and their mirror images, and save the state now and then."""
    draw = np.random.RandomState(training.seen % 2**32)
    before, losses = training.seconds, []
    started = saved = time.monotonic()
    while (left := 1 - (time.monotonic() - started) / (60 * minutes)) > 0:
        training.slow_down(left)
        batch = faces[draw.randint(len(faces), size=BATCH)]
        flipped = draw.uniform(size=(BATCH, 1, 1, 1)) < 0.5
        losses.append(training.step(np.where(flipped, batch[:, :, ::-1], batch)))
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            training.seconds = before + saved - started
            training.save(state)
            write_sheet(training.average, state.with_suffix(".png"))
            print(
                f"{training.seconds:.0f} s, {training.seen} images, {np.mean(losses):.3f}",
                flush=True,
            )
            losses.clear()
    training.seconds = before + time.monotonic() - started
    training.save(state)
