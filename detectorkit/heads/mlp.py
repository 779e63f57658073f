"""A small network on fixed features, with a bottleneck and early stopping, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.utils.progress import report_epoch

__all__ = ["DenseLayer", "HeadSettings", "TrainedHead", "fit_network_head"]

DenseLayer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights of shape (n_inputs, n_outputs) and offsets of shape (n_outputs,) of a layer."""


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the training of a head.

    Attributes
    ----------
    bottleneck : int or None
        Number of units of the hidden layer; None means a linear head.
    learning_rate : float
        Learning rate of Adam.
    alpha : float
        Strength of the L2 penalty on the weights.
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
        out: NDArray[Any] = features
        for number, (weights, offsets) in enumerate(self.layers, 1):
            out = out @ weights + offsets
            if number < len(self.layers):
                out = np.maximum(out, 0)
        return out[:, 0].astype(np.float64)


def fit_network_head(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    weight: NDArray[np.float64],
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    settings: HeadSettings,
) -> TrainedHead:
    """Train a head with scikit-learn's `MLPClassifier`, one epoch at a time."""
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    mean = np.average(features[train], axis=0, weights=weight[train])
    spread = np.sqrt(np.average((features[train] - mean) ** 2, axis=0, weights=weight[train]))
    spread = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1), spread, 1)
    scaled = ((features - mean) / spread).astype(np.float32)
    clf = MLPClassifier(
        () if settings.bottleneck is None else (settings.bottleneck,),
        learning_rate_init=settings.learning_rate,
        alpha=settings.alpha,
        batch_size=min(settings.batch_size, len(train)),
        random_state=np.random.RandomState(settings.seed),
    )
    best, best_loss, best_epoch = None, np.inf, 0
    history: list[dict[str, float]] = []
    shown = weight[train] / weight[train].mean()
    for epoch in range(1, settings.max_epochs + 1):
        with threadpool_limits(1):  # a product of a few rows is too small for several threads
            clf.partial_fit(scaled[train], y[train], classes=[0, 1], sample_weight=shown)
        entry = {"loss": float(clf.loss_)}
        if len(val):
            entry |= _measure(clf, scaled[val], y[val], weight[val])
        history.append(entry)
        reached = entry.get("val_loss", -float(epoch))
        if reached < best_loss or best is None:
            best_loss, best_epoch = reached, epoch
            best = [(w.copy(), b.copy()) for w, b in _layers(clf)]
        if settings.verbose:
            report_epoch(f"Epoch {epoch}/{settings.max_epochs}", entry)
        if len(val) and epoch - best_epoch >= settings.patience:
            break
    (first, offset), *others = best or []
    folded = (first / spread[:, np.newaxis], offset - (mean / spread) @ first)
    layers = [(w.astype(np.float32), b.astype(np.float32)) for w, b in (folded, *others)]
    return TrainedHead(layers, history)


def _layers(clf: Any) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return list(zip(clf.coefs_, clf.intercepts_, strict=True))


def _measure(
    clf: Any, features: NDArray[Any], y: NDArray[np.int64], weight: NDArray[np.float64]
) -> dict[str, float]:
    chance = np.clip(clf.predict_proba(features)[:, 1].astype(np.float64), 1e-7, 1 - 1e-7)
    losses = -np.where(y == 1, np.log(chance), np.log1p(-chance))
    right = (chance > 0.5) == y
    return {
        "val_loss": float(np.average(losses, weights=weight)) if weight.any() else 0.0,
        "val_accuracy": float(np.mean(right)),
    }
