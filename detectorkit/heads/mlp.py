"""A small network on fixed features, with a bottleneck and early stopping, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from detectorkit.utils.progress import report_epoch

__all__ = ["DenseLayer", "HeadSettings", "TrainedHead", "fit_network_head"]

DenseLayer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights of shape (n_inputs, n_outputs) and offsets of shape (n_outputs,) of a layer."""

_WARM_UP: Final = 0.1  # part of the steps in which the learning rate rises
_MOMENTA: Final = (0.9, 0.999)


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the training of a head.

    Attributes
    ----------
    bottleneck : int or None
        Number of units of the hidden layer; None means a linear head.
    learning_rate : float
        Highest learning rate of AdamW.
    alpha : float
        Weight decay: proportion of a weight, times the learning rate, that is lost in each step.
    dropout : float
        Proportion of the inputs of each layer that is dropped in each step.
    mixup : float
        Parameter of the beta distribution from which pairs of images are mixed; 0 mixes none.
    n_heads : int
        Number of networks, of other first weights each, whose scores are averaged.
    batch_size : int
        Number of images in a training step.
    max_epochs : int
        Maximum number of passes over the features.
    patience : int
        Number of epochs without a smaller validation loss after which training stops.
    seed : int
        Seed of the first weights and of the order of the images.
    verbose : bool
        Whether to show losses on standard error.
    """

    bottleneck: int | None
    learning_rate: float
    alpha: float
    dropout: float
    mixup: float
    n_heads: int
    batch_size: int
    max_epochs: int
    patience: int
    seed: int
    verbose: bool


@dataclass(frozen=True)
class TrainedHead:
    """A trained head and the history of its training.

    Attributes
    ----------
    layers : list of (ndarray, ndarray)
        Weights and offsets of each layer, with ReLU between layers; for features that are not
        scaled.
    history : list of dict
        "loss" of each epoch and, if there were validation images, "val_loss" and "val_accuracy".
    """

    layers: list[DenseLayer]
    history: list[dict[str, float]]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score rows of features."""
        return _score(self.layers, features).astype(np.float64)


def fit_network_head(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    weight: NDArray[np.float64],
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    settings: HeadSettings,
) -> TrainedHead:
    """Train a head by AdamW, with a learning rate that rises and falls once, as the cosine does."""
    from threadpoolctl import threadpool_limits

    mean = np.average(features[train], axis=0, weights=weight[train])
    spread = np.sqrt(np.average((features[train] - mean) ** 2, axis=0, weights=weight[train]))
    spread = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1), spread, 1)
    scaled = ((features[train] - mean) / spread).astype(np.float32)
    scaled_val = ((features[val] - mean) / spread).astype(np.float32)
    shown = (weight[train] / weight[train].mean()).astype(np.float32)
    target = y[train].astype(np.float32)
    seeds = np.random.SeedSequence(settings.seed).spawn(settings.n_heads)
    networks = [_Network(scaled.shape, settings, np.random.default_rng(seed)) for seed in seeds]
    best: list[DenseLayer] = networks[0].layers
    best_loss, best_epoch = np.inf, 0
    history: list[dict[str, float]] = []
    for epoch in range(1, settings.max_epochs + 1):
        with threadpool_limits(1):  # a product of a few rows is too small for several threads
            losses = [network.train_once(scaled, target, shown) for network in networks]
        layers = _merge([network.layers for network in networks])
        entry = {"loss": float(np.mean(losses))}
        if len(val):
            entry |= _measure(_score(layers, scaled_val), y[val], weight[val])
        history.append(entry)
        reached = entry.get("val_loss", -float(epoch))
        if reached < best_loss or best_epoch == 0:
            best, best_loss, best_epoch = layers, reached, epoch
        if settings.verbose:
            report_epoch(f"Epoch {epoch}/{settings.max_epochs}", entry)
        if len(val) and epoch - best_epoch >= settings.patience:
            break
    (first, offset), *others = best
    moved = offset - (mean / spread) @ first
    folded = ((first / spread[:, np.newaxis]).astype(np.float32), moved.astype(np.float32))
    return TrainedHead([folded, *others], history)


class _Network:
    """A network of one or two layers in training, with the momenta of AdamW."""

    def __init__(
        self, shape: tuple[int, ...], settings: HeadSettings, random: np.random.Generator
    ) -> None:
        n_images, n_features = shape
        sizes = [n_features, *([] if settings.bottleneck is None else [settings.bottleneck]), 1]
        self._weights = []
        for n_in, n_out in pairwise(sizes):
            bound = n_in**-0.5
            self._weights += [
                random.uniform(-bound, bound, (n_in, n_out)).astype(np.float32),
                random.uniform(-bound, bound, n_out).astype(np.float32),
            ]
        self._momenta = [(np.zeros_like(w), np.zeros_like(w)) for w in self._weights]
        self._settings = settings
        self._random = random
        self._batch = min(settings.batch_size, n_images)
        self._n_steps = settings.max_epochs * -(-n_images // self._batch)
        self._step = 0

    @property
    def layers(self) -> list[DenseLayer]:
        """Copies of the weights and offsets of each layer."""
        copies = [one.copy() for one in self._weights]
        return list(zip(copies[::2], copies[1::2], strict=True))

    def train_once(
        self, features: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> float:
        """Pass over all images once and return their mean loss."""
        order = self._random.permutation(len(y))
        total = 0.0
        for start in range(0, len(y), self._batch):
            batch = order[start : start + self._batch]
            rows, target, factor = features[batch], y[batch], weight[batch]
            if self._settings.mixup:
                other = self._random.permutation(batch)
                part = self._random.beta(self._settings.mixup, self._settings.mixup, len(batch))
                part = part.astype(np.float32)
                rows = part[:, np.newaxis] * rows + (1 - part[:, np.newaxis]) * features[other]
                target = part * target + (1 - part) * y[other]
                factor = part * factor + (1 - part) * weight[other]
            loss, gradients = self._differentiate(rows, target, factor)
            self._descend(gradients)
            total += loss * len(batch)
        return total / len(y)

    def _differentiate(
        self, rows: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[float, list[NDArray[np.float32]]]:
        """Compute the loss of a batch and its gradients by the weights and offsets."""
        inputs = []
        layers = list(zip(self._weights[::2], self._weights[1::2], strict=True))
        for number, (weights, offsets) in enumerate(layers):
            if number:
                rows = np.maximum(rows, 0)
            inputs.append(self._drop(rows))
            rows = inputs[-1] @ weights + offsets
        logits = rows[:, 0]
        loss = float(np.mean(weight * (np.logaddexp(0, logits) - y * logits)))
        change = (weight * (expit(logits) - y) / len(y)).astype(np.float32)[:, np.newaxis]
        gradients: list[NDArray[np.float32]] = []
        for number in reversed(range(len(layers))):
            taken, (weights, _) = inputs[number], layers[number]
            gradients = [taken.T @ change, change.sum(axis=0), *gradients]
            if number:
                # What was dropped, or below 0, is 0 in `taken`; the others were enlarged alike.
                change = (change @ weights.T) * (taken > 0) / np.float32(1 - self._settings.dropout)
        return loss, gradients

    def _drop(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        dropout = self._settings.dropout
        if not dropout:
            return rows
        kept = self._random.random(rows.shape, np.float32) >= dropout
        return rows * kept / np.float32(1 - dropout)

    def _descend(self, gradients: list[NDArray[np.float32]]) -> None:
        self._step += 1
        rate = self._settings.learning_rate * _cycle(self._step / self._n_steps)
        corrections = [1 - momentum**self._step for momentum in _MOMENTA]
        both = zip(self._weights, self._momenta, gradients, strict=True)
        for weights, (mean, square), gradient in both:
            for average, new, momentum in zip(
                (mean, square), (gradient, gradient**2), _MOMENTA, strict=True
            ):
                average *= momentum  # noqa: PLW2901 - in place
                average += (1 - momentum) * new  # noqa: PLW2901 - in place
            if weights.ndim == 2:
                weights *= 1 - rate * self._settings.alpha  # noqa: PLW2901 - in place
            step = np.sqrt(square / corrections[1]) + 1e-8
            weights -= (rate / corrections[0]) * mean / step  # noqa: PLW2901 - in place


def _cycle(done: float) -> float:
    """Return the learning rate as a proportion of the highest, by the proportion of the steps."""
    if done < _WARM_UP:
        return done / _WARM_UP
    return float(0.5 + 0.5 * np.cos(np.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _merge(heads: list[list[DenseLayer]]) -> list[DenseLayer]:
    """Return one network whose score is the mean of those of several."""
    *hidden, last = zip(*heads, strict=True)
    n_heads = np.float32(len(heads))
    offsets = np.mean([b for _, b in last], axis=0)
    if not hidden:
        return [(np.mean([w for w, _ in last], axis=0), offsets)]
    first = (np.hstack([w for w, _ in hidden[0]]), np.concatenate([b for _, b in hidden[0]]))
    return [first, (np.vstack([w for w, _ in last]) / n_heads, offsets)]


def _score(layers: list[DenseLayer], features: NDArray[np.float32]) -> NDArray[np.float32]:
    out: NDArray[Any] = features
    for number, (weights, offsets) in enumerate(layers):
        out = (np.maximum(out, 0) if number else out) @ weights + offsets
    scores: NDArray[np.float32] = out[:, 0]
    return scores


def _measure(
    logits: NDArray[np.float32], y: NDArray[np.int64], weight: NDArray[np.float64]
) -> dict[str, float]:
    losses = np.logaddexp(0, logits) - y * logits
    return {
        "val_loss": float(np.average(losses, weights=weight)) if weight.any() else 0.0,
        "val_accuracy": float(np.mean((logits > 0) == y)),
    }
