"""Detectors that are trained with torch and predict with an ONNX graph."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from detectorkit.base import FitInputs
from detectorkit.detectors._graph_detector import GraphDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.levels import levels_as_uint8, to_levels
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.images.sequence import ImageSequence
from detectorkit.training.augmentation import Augmentation
from detectorkit.utils.extras import require_extra
from detectorkit.utils.parallel import count_threads
from detectorkit.utils.validation import check_choice, check_integer, check_real, parameter_error

if TYPE_CHECKING:
    from torch import nn

    from detectorkit.training.loop import Schedule, TrainingSet

__all__ = ["TorchDetector", "balanced_chances", "sample_pixels", "split_validation"]


def split_validation(
    training: FitInputs,
    origin: NDArray[Any] | None,
    *,
    proportion: float,
    by_origin: bool,
    random_state: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split the images of `fit` into a training part and a validation part.

    Parameters
    ----------
    training : FitInputs
        Arguments of `fit`, after their checks.
    origin : ndarray of shape (n_samples,) or None
        Generator of each generated image and source of each photograph, if known.
    proportion : float
        Proportion of the images that are set aside for validation. 0 sets none aside.
    by_origin : bool
        Whether a whole generator and whole sources are set aside, rather than single images.
    random_state : RandomState
        Source of randomness for the split.

    Returns
    -------
    train, val : ndarray of int
        Indices of the images in each part. `val` is empty where there are too few images or groups
        to set any aside.
    """
    from detectorkit.model_selection._groups import number_pictures
    from detectorkit.model_selection.splitters import (
        LeaveOneGeneratorOut,
        StratifiedGroupShuffleSplit,
    )

    y = training.y
    groups = np.arange(len(y))
    if training.groups is not None:
        groups = number_pictures(training.groups)
    if by_origin and origin is not None:
        splitter = LeaveOneGeneratorOut(shuffle=True, random_state=random_state)
        cuts = list(splitter.split(y, y, np.column_stack([origin, groups])))
        train, val = cuts[random_state.randint(len(cuts))]
        return np.asarray(train), np.asarray(val)
    fewest = min(len(np.unique(groups[y == code])) for code in (0, 1))
    if proportion == 0 or fewest < 2:
        return np.arange(len(y)), np.arange(0)
    proportion = max(proportion, 1 / fewest)
    shuffle = StratifiedGroupShuffleSplit(1, test_size=proportion, random_state=random_state)
    train, val = next(shuffle.split(y, y, groups))
    return np.sort(train), np.sort(val)


_N_CALIBRATION = 128  # images on which the ranges of activations are measured


class TorchDetector(GraphDetector):
    """Base class of the detectors whose whole network is trained with torch.

    A subclass defines `_make_network` and the parameters that it needs beside the common ones.
    """

    image_size: tuple[int, int] | None
    learning_rate: float | None
    batch_size: int
    max_epochs: int
    patience: int
    validation_fraction: float
    validation: Literal["images", "origins"]
    balance: Literal["origin"] | None
    augmentation: Literal["default"] | Augmentation | None
    n_crops: int | None
    quantize: Literal["float16", "static", "dynamic"] | None
    checkpoint: str | Path | None
    device: str
    random_state: int | np.random.RandomState | None
    verbose: bool

    @abstractmethod
    def _make_network(self) -> tuple[nn.Module, NetworkInput]:
        """Make the network, from scaled images to two logits, and its `NetworkInput`."""

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, origin: Any = None
    ) -> Self:
        """Train the network and convert it to an ONNX graph.

        Parameters
        ----------
        X : ndarray of shape (n_samples, height, width) or \
                (n_samples, height, width, n_channels), or sequence
            The images: one array, or a sequence of arrays (of any sizes), of paths, of PIL images,
            of bytes or of file objects. A 2-D array needs `input_shape`.
        y : array-like of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        sample_weight : array-like of shape (n_samples,), default=None
            Factors by which the loss of each image is multiplied. None weighs all images equally.
        groups : array-like of shape (n_samples,), default=None
            Group of each image. Images of one group, such as copies of a photograph or a
            photograph and its reconstruction, are on the same side of the validation split.
        origin : array-like of shape (n_samples,), default=None
            Generator of each generated image and source of each photograph, for `balance`,
            `validation` and the training summary.

        Returns
        -------
        self : object
            The detector itself, fitted to X and y.

        Raises
        ------
        BackboneNotFoundError
            If the detector needs a backbone that is not installed. The message says how to install
            it.
        ImageReadError
            If a file cannot be decoded. The error names the path and its index in X.
        ImportError
            If the extra "train" is needed and not installed.
        ValueError
            If a parameter is wrong, X is not a set of images, or y does not have two classes.
        """
        settings = self._check_settings()
        random_state = check_random_state(self.random_state)
        training = self._check_training(X, y, sample_weight, groups, origin)
        self._check_origin(training)
        self._train(training, settings, random_state)
        return self

    def _train(
        self,
        training: FitInputs,
        settings: dict[str, Any],
        random_state: np.random.RandomState,
    ) -> None:
        """Train the whole network with torch and export it to ONNX."""
        require_extra("train", "torch", "onnxscript", caller=f"To train, {type(self).__name__}")
        import torch

        from detectorkit.training.loop import fit_network, score_images

        schedule = self._schedule(random_state, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            network, network_input = self._make_network()
            network_input = replace(network_input, treatment=self._check_treatment())
            data = self._prepare(training, network_input, settings, random_state)
            checkpoint = None if self.checkpoint is None else Path(self.checkpoint)
            history = fit_network(
                network, data, schedule, checkpoint=checkpoint, verbose=self.verbose
            )
            held_out = data.val if len(data.val) else data.train
            scores = score_images(network, data, held_out, schedule)
        self.history_ = history
        settings |= {"n_epochs": len(history), "n_validation": len(data.val)}
        self._finish_fit(training, held_out, scores.astype(np.float64), **settings)
        self._export(network, data, held_out)

    def _check_settings(self) -> dict[str, Any]:
        """Check the parameters and return those that are saved with the model."""
        self._check_treatment()
        check_choice(self, "n_crops", (None, 1, 4, 5, 9, 16, 25))
        check_choice(self, "quantize", (None, "float16", "static", "dynamic"))
        check_choice(self, "validation", ("images", "origins"))
        check_choice(self, "balance", (None, "origin"))
        chosen = self.augmentation
        if chosen != "default" and not isinstance(chosen, Augmentation | None):
            raise parameter_error(self, "augmentation", "'default', None or an Augmentation")
        fraction = check_real(self, "validation_fraction", minimum=0, below=1)
        return {
            "learning_rate": self._check_rate(),
            "batch_size": check_integer(self, "batch_size", minimum=2),
            "max_epochs": check_integer(self, "max_epochs", minimum=1),
            "patience": check_integer(self, "patience", minimum=1),
            "validation_fraction": max(fraction, 0.0),
            "quantize": self.quantize,
        }

    def _check_origin(self, training: FitInputs) -> None:
        """Check that `origin` is there if `validation` or `balance` needs it."""
        if training.origin is not None:
            return
        for name, value in (("validation", "origins"), ("balance", "origin")):
            if getattr(self, name) == value:
                raise ValueError(
                    f"{type(self).__name__}: {name}={value!r} needs `origin` in fit. Pass the "
                    "generator of each generated image and the source of each photograph."
                )

    def _check_rate(self) -> float:
        return check_real(self, "learning_rate", above=0)

    def _prepare(
        self,
        training: FitInputs,
        network_input: NetworkInput,
        settings: dict[str, Any],
        random_state: np.random.RandomState,
    ) -> TrainingSet:
        from detectorkit.training.loop import TrainingSet

        origin = training.origin
        train, val = split_validation(
            training,
            origin,
            proportion=settings["validation_fraction"],
            by_origin=self.validation == "origins",
            random_state=random_state,
        )
        chances = None
        if self.balance == "origin" and origin is not None:
            chances = balanced_chances(training.y[train], origin[train])
        chosen = self.augmentation
        return TrainingSet(
            images=training.images,
            y=training.y,
            weight=np.ones(len(training.y)) if training.weight is None else training.weight,
            train=train,
            val=val,
            chances=chances,
            network_input=network_input,
            augmentation=Augmentation() if chosen == "default" else chosen,
        )

    def _schedule(self, random_state: np.random.RandomState, settings: dict[str, Any]) -> Schedule:
        import torch

        from detectorkit.training.loop import Schedule

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.device(device)
        except (RuntimeError, TypeError) as error:
            expected = "'auto' or a device of torch, such as 'cpu' or 'cuda'"
            raise parameter_error(self, "device", expected) from error
        return Schedule(
            learning_rate=settings["learning_rate"],
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            patience=self.patience,
            device=device,
            n_threads=count_threads(self.n_jobs),
            seed=int(random_state.randint(2**31)),
        )

    def _export(self, network: nn.Module, data: TrainingSet, held_out: NDArray[np.intp]) -> None:
        """Convert the network to ONNX, compare its outputs with torch's, and adopt the graph."""
        from detectorkit.graph.networks import network_graph
        from detectorkit.graph.record import ModelRecord
        from detectorkit.training.to_onnx import export_network, largest_difference

        network_input = data.network_input
        shape = (network_input.n_channels, *network_input.image_size)
        exported = export_network(network, shape)
        pixels = sample_pixels(data.images, held_out[:16], network_input.preprocessing)
        scaled = network_input.scale(pixels)
        difference = largest_difference(network, exported, scaled)
        self.training_summary_["export_difference"] = difference
        record = ModelRecord(
            detector=type(self).__name__,
            preprocessing=network_input.preprocessing,
            features=[],
            classes=self.classes_.tolist(),
            threshold=self.threshold_,
            calibration=self.calibration_,
            training=self.training_summary_,
        )
        model = network_graph(exported, network_input, record, output="logits")
        self._adopt(model.SerializeToString(), type(self).__name__)
        self._quantize(data.images, data.y, data.train, held_out)

    def _quantize(
        self,
        images: ImageSequence,
        y: NDArray[np.int64],
        train: NDArray[np.intp],
        held_out: NDArray[np.intp],
    ) -> None:
        """Quantize the network if `quantize` says so, and measure the loss of accuracy."""
        how: Any = self.quantize
        if how is None:
            self.__dict__.pop("quantization_", None)  # of an earlier fit
            return
        from onnx import load_model_from_string

        from detectorkit.graph.builder import revise_model
        from detectorkit.graph.quantization import quantize_model

        some = train[:: max(1, len(train) // _N_CALIBRATION)]
        pixels = levels_as_uint8(sample_pixels(images, some, self.record_.preprocessing))
        before, floats = self.onnx_model_, self._score(images.take(held_out))
        self._adopt(quantize_model(before, how, pixels), type(self).__name__)
        if how == "dynamic":
            record = replace(self.record_, run_size=1)
            model = revise_model(load_model_from_string(self.onnx_model_), record)
            self._adopt(model.SerializeToString(), type(self).__name__)
        quantized = self._score(images.take(held_out))
        self.quantization_ = {
            "method": how,
            "n": len(held_out),
            "accuracy_float": float(np.mean((floats > 0) == y[held_out])),
            "accuracy": float(np.mean((quantized > 0) == y[held_out])),
            "largest_score_change": float(np.abs(quantized - floats).max()),
            "bytes_float": len(before),
            "bytes": len(self.onnx_model_),
        }
        self.training_summary_["quantization"] = self.quantization_


def sample_pixels(
    images: ImageSequence, index: NDArray[np.intp], preprocessing: Preprocessing
) -> NDArray[Any]:
    """Read images as the input of a graph; of crops, only the first of each image.

    Parameters
    ----------
    images : ImageSequence
        Images from which some are read.
    index : ndarray of int
        Positions of the images to read.
    preprocessing : Preprocessing
        Size and colour space to which the images are converted.

    Returns
    -------
    pixels : ndarray of shape (n, height, width) or (n, height, width, 3)
        Pixels of the images, as levels from 0 to 255.
    """
    found = [images.read(int(i), preprocessing) for i in index]
    if preprocessing.n_crops is not None:
        found = [crops[0] for crops in found]
    return to_levels(np.stack(found))


def balanced_chances(y: NDArray[np.int64], origin: NDArray[Any]) -> NDArray[np.float64]:
    """Compute chances with which both classes, and the origins of each, are equally likely.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels: 0 for real photographs, 1 for generated images.
    origin : ndarray of shape (n_samples,)
        Generator of each generated image and source of each photograph.

    Returns
    -------
    chances : ndarray of shape (n_samples,)
        Probability of each image to be drawn; they sum to 1.
    """
    chances = np.zeros(len(y))
    for code in (0, 1):
        names, counts = np.unique(origin[y == code], return_counts=True)
        for name, count in zip(names, counts, strict=True):
            chances[(y == code) & (origin == name)] = 0.5 / len(names) / count
    return chances
