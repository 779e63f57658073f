"""The training loop of all networks: Adam on the binary cross-entropy, with early stopping.

A training that was stopped goes on from its checkpoint, to the same result: all random numbers of
an epoch are drawn from the seed and the number of the epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.batches import iter_slices
from detectorkit.images.levels import to_levels
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.training.architectures import HeadedNetwork
from detectorkit.training.augmentation import Augmentation
from detectorkit.training.file_changes import read_changed
from detectorkit.utils.files import write_whole
from detectorkit.utils.parallel import map_ahead
from detectorkit.utils.progress import on_terminal, progress_bar, report_epoch, tell

__all__ = ["Schedule", "TrainingSet", "fit_network", "score_images"]

_HEAD_RATE = 1e-3
_N_PROBES = 16  # images by which a checkpoint recognises its training


@dataclass(frozen=True)
class Schedule:
    """Settings of the training of a network.

    Attributes
    ----------
    learning_rate : float
        Learning rate of Adam.
    batch_size : int
        Number of images in a training step.
    max_epochs : int
        Maximum number of epochs. In each, as many images are drawn as there are for training.
    patience : int
        Number of epochs without a smaller validation loss after which training stops.
    device : str
        Device of torch to train on, such as "cpu" or "cuda".
    n_threads : int
        Number of threads that read and change images while the network learns.
    seed : int
        Seed of all random numbers of the training.
    head_epochs : int, default=0
        Number of epochs in which the head of a `HeadedNetwork` is trained alone, before the whole
        network is.
    """

    learning_rate: float
    batch_size: int
    max_epochs: int
    patience: int
    device: str
    n_threads: int
    seed: int
    head_epochs: int = 0


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on, with their labels and weights.

    Attributes
    ----------
    images : ImageSequence
        Training and validation images, which are read when they are needed.
    y : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    weight : ndarray of shape (n_samples,)
        Factor of each image in the loss.
    train, val : ndarray of int
        Indices of the images to learn from, and of the validation images that decide when to stop.
    chances : ndarray of shape (n_train,) or None
        Probability with which each training image is drawn. None takes each once in every epoch.
    network_input : NetworkInput
        Preparation of images for the network.
    augmentation : Augmentation or None
        Random changes of training images; None leaves them unchanged.
    """

    images: ImageSequence
    y: NDArray[np.int64]
    weight: NDArray[np.float64]
    train: NDArray[np.intp]
    val: NDArray[np.intp]
    chances: NDArray[np.float64] | None
    network_input: NetworkInput
    augmentation: Augmentation | None

    def draw(self, schedule: Schedule, epoch: int) -> list[NDArray[np.intp]]:
        """Draw the batches of an epoch."""
        random = np.random.default_rng([schedule.seed, epoch])
        if self.chances is None:
            order = random.permutation(self.train)
        else:
            order = random.choice(self.train, len(self.train), p=self.chances)
        cuts = np.arange(schedule.batch_size, len(order) - 1, schedule.batch_size)
        return np.split(order, cuts)

    def read(self, index: int, random: np.random.Generator) -> NDArray[Any]:
        """Read a training image and change it at random."""
        wanted = self.network_input.preprocessing
        if self.augmentation is not None:
            size = None if wanted.n_crops is not None else wanted.image_size
            plain = replace(wanted, image_size=size, n_crops=None)
            image: Any = self._read_whole(index, plain, random)
            if image.dtype == np.uint8:  # images of floats are not changed
                return self.augmentation.apply(image, self.network_input.image_size, random)
        image = to_levels(self.images.read(index, wanted))
        return image if wanted.n_crops is None else image[random.integers(len(image))]

    def _read_whole(
        self, index: int, preprocessing: Preprocessing, random: np.random.Generator
    ) -> NDArray[Any]:
        files = None if self.augmentation is None else self.augmentation.files
        if files is None:
            return self.images.read(index, preprocessing)
        change = partial(files.apply, random=random)
        return read_changed(self.images, index, preprocessing, change)

    def fingerprint(self) -> str:
        """Compute a hash that differs for other images, labels or settings."""
        known = hashlib.sha256(repr((self.network_input, self.augmentation)).encode())
        for index in np.linspace(0, len(self.images) - 1, _N_PROBES).astype(int):
            known.update(self.images.read(int(index), self.network_input.preprocessing).tobytes())
        for array in (self.y, self.weight, self.train, self.val, self.chances):
            known.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return known.hexdigest()


@dataclass
class _State:
    """State of a training after an epoch."""

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def fit_network(
    network: nn.Module,
    data: TrainingSet,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    verbose: bool = False,
) -> list[dict[str, float]]:
    """Train a network with two logits, and set it to the weights of its best epoch."""
    device = torch.device(schedule.device)
    network.to(device, memory_format=torch.channels_last)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=schedule.learning_rate)
    state = _State()
    identity = "" if checkpoint is None else _identify(network, data, schedule)
    if checkpoint is not None and checkpoint.exists():
        state = _resume(checkpoint, identity, network, optimizer, device)
        if verbose:
            tell(f"Going on after epoch {state.epoch} from {checkpoint}.")
    elif isinstance(network, HeadedNetwork) and schedule.head_epochs:
        loss = _fit_head(network, data, schedule, verbose=verbose)
        if len(data.val):  # the whole network has to improve on the head alone
            state = _State(best_loss=loss, best=_copy(network))
    while state.epoch < schedule.max_epochs and not _is_over(state, schedule, data):
        _run_epoch(network, optimizer, data, schedule, state, verbose=verbose)
        if checkpoint is not None:
            _store(checkpoint, identity, network, optimizer, state)
    network.load_state_dict(state.best)
    network.eval()
    return state.history


def _identify(network: nn.Module, data: TrainingSet, schedule: Schedule) -> str:
    """Return a text that identifies a training, whatever its number of epochs and patience."""
    rates = (schedule.learning_rate, schedule.batch_size, schedule.head_epochs)
    settings = (*rates, schedule.seed, network)
    return f"{data.fingerprint()}, {hashlib.sha256(repr(settings).encode()).hexdigest()}"


def _is_over(state: _State, schedule: Schedule, data: TrainingSet) -> bool:
    return len(data.val) > 0 and state.epoch - state.best_epoch >= schedule.patience


def _fit_head(
    network: HeadedNetwork, data: TrainingSet, schedule: Schedule, *, verbose: bool
) -> float:
    """Train the head on features that are computed once; return its loss."""
    backbone, head = network[0], network[1:]
    used = np.concatenate([data.train, data.val])
    row = np.zeros(len(data.images), np.intp)
    row[used] = np.arange(len(used))
    features = torch.cat(
        list(_outputs(backbone, data, used, schedule, show=verbose and on_terminal()))
    )
    optimizer = torch.optim.Adam(head.parameters(), lr=_HEAD_RATE)
    best_loss, best = float("inf"), head.state_dict()
    for epoch in range(schedule.head_epochs):
        torch.manual_seed(schedule.seed * 10007 + epoch)
        head.train()
        for index in data.draw(schedule, epoch):
            loss = _loss(head(features[row[index]]), data, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        head.eval()
        with torch.inference_mode():
            judged = data.val if len(data.val) else data.train
            reached = float(_loss(head(features[row[judged]]), data, judged))
        if reached < best_loss:
            best_loss = reached
            best = _copy(head)
    head.load_state_dict(best)
    if verbose:
        tell(f"Head alone: val loss {best_loss:.4g}")
    return best_loss


def _run_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: TrainingSet,
    schedule: Schedule,
    state: _State,
    *,
    verbose: bool,
) -> None:
    """Train on each batch once, measure on the validation images, and keep the best weights."""
    start = time.perf_counter()
    epoch = state.epoch
    torch.manual_seed(schedule.seed * 10007 + epoch)  # seeds dropout
    network.train()
    batches = data.draw(schedule, epoch)
    losses = []
    title = f"Epoch {epoch + 1}/{schedule.max_epochs}"
    with progress_bar(title, len(data.train), show=verbose and on_terminal()) as advance:
        for index, pixels in _read_ahead(data, batches, schedule, epoch):
            scaled = torch.from_numpy(data.network_input.scale(pixels)).to(schedule.device)
            loss = _loss(network(scaled.contiguous(memory_format=torch.channels_last)), data, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            advance(len(index))
    entry = {"loss": float(np.mean(losses))}
    if len(data.val):
        logits = torch.from_numpy(score_images(network, data, data.val, schedule))
        entry["val_loss"] = float(_loss(logits, data, data.val))
        entry["val_accuracy"] = float(np.mean((logits.numpy() > 0) == data.y[data.val]))
    entry["seconds"] = time.perf_counter() - start
    state.epoch += 1
    state.history.append(entry)
    reached = entry.get("val_loss", -float(state.epoch))  # without validation, keep the last
    if reached < state.best_loss or not state.best:
        state.best_loss, state.best_epoch = reached, state.epoch
        state.best = _copy(network)
    if verbose:
        report_epoch(title, entry)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights and statistics of a network."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _loss(logits: Tensor, data: TrainingSet, index: NDArray[np.intp]) -> Tensor:
    """Compute the weighted binary cross-entropy of two logits, or of their difference."""
    score = logits[:, 1] - logits[:, 0] if logits.ndim == 2 else logits
    target = torch.from_numpy(data.y[index]).to(score)
    weight = torch.from_numpy(data.weight[index]).to(score)
    losses = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp_min(1e-12)


def _read_ahead(
    data: TrainingSet, batches: list[NDArray[np.intp]], schedule: Schedule, epoch: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
    """Yield batches of images, while threads prepare the next one."""

    def read(job: tuple[int, np.intp]) -> NDArray[Any]:
        position, index = job
        return data.read(int(index), np.random.default_rng([schedule.seed, epoch, position]))

    n_ahead = max(schedule.batch_size, 2 * schedule.n_threads)
    jobs = enumerate(chain.from_iterable(batches))
    images = map_ahead(read, jobs, n_threads=schedule.n_threads, n_ahead=n_ahead)
    for batch in batches:
        yield batch, np.stack(list(islice(images, len(batch))))


def score_images(
    network: nn.Module, data: TrainingSet, index: NDArray[np.intp], schedule: Schedule
) -> NDArray[np.float32]:
    """Score images that are prepared as for a prediction."""
    batches = _outputs(network, data, index, schedule)
    scores = [(logits[:, 1] - logits[:, 0]).cpu().numpy() for logits in batches]
    return np.concatenate([np.empty(0, np.float32), *scores])


def _outputs(
    network: nn.Module,
    data: TrainingSet,
    index: NDArray[np.intp],
    schedule: Schedule,
    *,
    show: bool = False,
) -> Iterator[Tensor]:
    """Run a network on images prepared as for a prediction; yield means over their crops."""
    network.eval()
    preprocessing = data.network_input.preprocessing

    def read(i: int) -> NDArray[Any]:
        image = to_levels(data.images.read(int(i), preprocessing))
        return image if preprocessing.n_crops is not None else image[np.newaxis]

    with (
        ThreadPoolExecutor(schedule.n_threads) as pool,
        progress_bar("Features", len(index), show=show) as advance,
    ):
        for part in iter_slices(len(index), schedule.batch_size):
            images = list(pool.map(read, index[part]))
            scaled = torch.from_numpy(data.network_input.scale(np.concatenate(images)))
            with torch.no_grad():
                found = network(
                    scaled.to(schedule.device).contiguous(memory_format=torch.channels_last)
                )
            # Small images have fewer crops than others.
            yield torch.stack([rows.mean(dim=0) for rows in found.split([*map(len, images)])])
            advance(len(index[part]))


def _store(
    path: Path, identity: str, network: nn.Module, optimizer: torch.optim.Optimizer, state: _State
) -> None:
    content = {
        "identity": identity,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": state.best,
        "state": json.dumps(
            [state.epoch, state.best_loss, state.best_epoch, state.history],
        ),
    }
    buffer = io.BytesIO()  # torch hides the error of a full disk
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def _resume(
    path: Path,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> _State:
    content = torch.load(path, map_location=device, weights_only=True)
    if content["identity"] != identity:
        raise ValueError(
            f"checkpoint={str(path)!r} belongs to a training with other images or settings. "
            "Pass another file, or delete this one."
        )
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    epoch, best_loss, best_epoch, history = json.loads(content["state"])
    best = {key: value.cpu() for key, value in content["best"].items()}
    return _State(epoch, best_loss, best_epoch, best, history)
