"""The training of LoRA adapters: AdamW on the loss of the denoising network.

A training that was stopped goes on from its checkpoint, to the same result: all random numbers of
a step are drawn from the seed and the number of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detectorkit.generation.checkpoints import load_checkpoint, save_checkpoint
from detectorkit.generation.denoising import Batch, Denoiser
from detectorkit.utils.progress import progress_bar, tell

__all__ = ["Lessons", "Plan", "train_adapters"]

_REPORT = 50  # steps between two lines on the loss


@dataclass(frozen=True)
class Plan:
    """Settings of a training.

    Attributes
    ----------
    n_steps : int
        Number of updates of the adapters.
    batch_size : int
        Number of pictures in a batch, and of class images beside them.
    n_batches : int
        Number of batches whose gradients are averaged for an update.
    learning_rate : float
        Learning rate of AdamW.
    prior_loss_weight : float
        Factor of the loss of class images.
    max_grad_norm : float
        Norm to which gradients are clipped.
    seed : int
        Seed of all random numbers.
    checkpoint : Path or None
        File for the state of the training.
    checkpoint_every, preview_every : int
        Number of updates between two checkpoints, and two previews.
    """

    n_steps: int
    batch_size: int
    n_batches: int
    learning_rate: float
    prior_loss_weight: float
    max_grad_norm: float
    seed: int
    checkpoint: Path | None
    checkpoint_every: int
    preview_every: int


@dataclass(frozen=True)
class Lessons:
    """What adapters learn from: pictures and class images, encoded, with their prompts.

    Attributes
    ----------
    codes : Tensor of shape (n_images, 2, channels, height, width)
        Mean and standard deviation of the code of each picture, then of each class image.
    prompts : list of str
        Text of each picture and class image.
    n_pictures : int
        Number of the pictures; class images follow them.
    """

    codes: torch.Tensor
    prompts: list[str]
    n_pictures: int

    def batches(self, plan: Plan, step: int) -> Iterator[Batch]:
        """Draw the batches of an update."""
        groups = [np.arange(self.n_pictures), np.arange(self.n_pictures, len(self.codes))]
        for number in range(step * plan.n_batches, (step + 1) * plan.n_batches):
            parts = [
                _draw(group, number * plan.batch_size, plan.batch_size, [plan.seed, kind])
                for kind, group in enumerate(groups)
                if len(group)
            ]
            index = np.concatenate(parts)
            weight = np.where(index < self.n_pictures, 1.0, plan.prior_loss_weight)
            # The mean over pictures and the weighted mean over class images are added.
            yield Batch(
                self.codes[torch.from_numpy(index)],
                [self.prompts[i] for i in index],
                torch.from_numpy(weight / plan.batch_size).float(),
                _make_generator(plan.seed, number),
            )


def _draw(group: NDArray[np.intp], start: int, count: int, seed: list[int]) -> NDArray[np.intp]:
    """Take members of a group from an endless row of shuffled rounds."""
    rounds, places = np.divmod(np.arange(start, start + count), len(group))
    orders = {one: np.random.default_rng([*seed, one]).permutation(group) for one in set(rounds)}
    return np.array([orders[one][place] for one, place in zip(rounds, places, strict=True)])


def _make_generator(seed: int, number: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def train_adapters(
    denoiser: Denoiser,
    lessons: Lessons,
    plan: Plan,
    identity: str,
    *,
    preview: Callable[[int], None] | None = None,
    verbose: bool = False,
) -> list[float]:
    """Train the adapters of a denoising network; return the loss of each update."""
    trainer = _Trainer(denoiser, plan, identity)
    if trainer.resume() and verbose:
        tell(f"Going on after step {len(trainer.losses)} from {plan.checkpoint}.")
    n_left = max(plan.n_steps - len(trainer.losses), 0)
    try:
        with (
            progress_bar("Training", n_left, show=verbose) as advance,
            # Ctrl-C does not reach this thread, so an update is done whole or not at all.
            ThreadPoolExecutor(1) as updating,
        ):
            for step in range(len(trainer.losses), plan.n_steps):
                loss = trainer.accumulate(lessons, step)
                updating.submit(trainer.update, loss).result()
                advance(1)
                _report(trainer, plan, step + 1, preview, verbose=verbose)
    except KeyboardInterrupt:
        trainer.save()
        if plan.checkpoint is not None:
            tell(f"Stopped after step {len(trainer.losses)}, which {plan.checkpoint} holds.")
        raise
    trainer.save()
    return trainer.losses


def _report(
    trainer: _Trainer,
    plan: Plan,
    step: int,
    preview: Callable[[int], None] | None,
    *,
    verbose: bool,
) -> None:
    if step % plan.checkpoint_every == 0:
        trainer.save()
    if verbose and step % _REPORT == 0:
        mean = float(np.mean(trainer.losses[-_REPORT:]))
        tell(f"Step {step}/{plan.n_steps}: loss {mean:.4g}, mean of {_REPORT}")
    if preview is not None and step % plan.preview_every == 0:
        preview(step)


class _Trainer:
    """The adapters, their optimiser and the losses so far."""

    def __init__(self, denoiser: Denoiser, plan: Plan, identity: str) -> None:
        self.denoiser = denoiser
        self.plan = plan
        self.identity = identity
        self.losses: list[float] = []
        self.trained = denoiser.trained_parameters()
        self.optimizer = torch.optim.AdamW(self.trained, lr=plan.learning_rate)
        is_half = denoiser.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(denoiser.device.type, enabled=is_half)

    def accumulate(self, lessons: Lessons, step: int) -> float:
        """Compute the gradients of an update, and return its loss."""
        self.optimizer.zero_grad()
        total = 0.0
        for batch in lessons.batches(self.plan, step):
            loss = self.denoiser.loss(batch) / self.plan.n_batches
            self.scaler.scale(loss).backward()
            total += float(loss.detach())
        if not math.isfinite(total):
            raise RuntimeError(
                f"DreamBoothLoRA: the loss of step {step + 1} is {total}. Lower learning_rate, or "
                "set mixed_precision=False."
            )
        return total

    def update(self, loss: float) -> None:
        """Change the adapters by the gradients."""
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained, self.plan.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.losses.append(loss)

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.plan.checkpoint is not None:
            content = {
                "adapters": [one.detach() for one in self.trained],
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "losses": self.losses,
            }
            save_checkpoint(self.plan.checkpoint, self.identity, content)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        path = self.plan.checkpoint
        if path is None or not path.exists():
            return False
        content = load_checkpoint(path, self.identity, self.denoiser.device)
        with torch.no_grad():
            for one, saved in zip(self.trained, content["adapters"], strict=True):
                one.copy_(saved)
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        self.losses = list(content["losses"])
        return True
