"""The residual network of the original study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from detectorkit.detectors._trained import TorchDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.training.augmentation import Augmentation
from detectorkit.utils.validation import check_pair, parameter_error

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ResNetDetector"]

_STRIDE = 32  # from the images to the last map


class ResNetDetector(TorchDetector):
    """Detect generated images by a residual network of 18 layers.

    Read more in the :ref:`User Guide <networks>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    image_size : tuple of (int, int), default=(224, 224)
        Height and width that images are brought to, or of the crops; 32 or more.
    weights : str or Path, default=None
        What training starts from: a state dictionary with torchvision's names in a .pth or
        .safetensors file, whose classification layer is left out. None starts from random weights.
    learning_rate : float, default=1e-4
        Of Adam.
    batch_size : int, default=32
        Images in a step of training.
    max_epochs : int, default=15
        Passes over the training images, at most.
    patience : int, default=6
        Epochs without a smaller validation loss after which training stops. The weights of the
        best epoch are kept.
    validation_fraction : float, default=0.1
        Share of the images that training does not see and that says when to stop; 0 trains for
        `max_epochs`.
    validation : {"images", "origins"}, default="images"
        What is set aside: single images, or a generator and a real source as a whole. The second
        needs `origin` in `fit`, and stops when the network gets worse on what it does not know.
    balance : {None, "origin"}, default=None
        "origin" draws both classes equally often, and within each all origins; it needs `origin`
        in `fit`.
    augmentation : "default", Augmentation or None, default="default"
        How training images are changed at random; None leaves them as they are.
    n_crops : int, default=None
        None resizes whole images. A number (1, 4, 5, 9, 16 or 25) learns from crops at native
        resolution, and predicts the mean score of so many.
    quantize : {None, "float16", "static", "dynamic"}, default=None
        "float16" halves the file and changes next to nothing. "static" stores weights and
        activations in 8 bits, which makes convolutions two to three times as fast and the file a
        quarter; "dynamic" stores weights only, and runs one image at a time. What it costs is in
        `quantization_`.
    checkpoint : str or Path, default=None
        File for the state of the training after each epoch. If it exists, `fit` goes on from there.
    device : str, default="auto"
        "cpu", "cuda" or another device of torch to train on.
    class_weight : dict or "balanced", default=None
        Factors of the loss for each class; "balanced" gives both classes the same sum.
    input_shape : tuple of int, default=None
        The shape of one image, (height, width) or (height, width, n_channels), where X is a
        2-D array of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that read images and, in predictions, run the network. None means 1
        unless in a `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Draws the weights at the start, the validation part, the order and the changes of images.
    verbose : bool, default=False
        Whether `fit` shows its progress and the losses on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        The score above which `predict` says "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration
        How `predict_proba` makes probabilities of scores; fitted on the validation part.
    onnx_model_ : bytes
        The trained network as the content of an ONNX file.
    history_ : list of dict
        Losses and seconds of each epoch.
    quantization_ : dict
        Only with `quantize`: accuracy before and after on held-out images, and sizes in bytes.
    record_ : ModelRecord
        What the model says of itself, as it is now.
    training_summary_ : dict
        Number of images in all and by class, and settings; saved with the model.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    CNNDetector : A plain network.
    BackboneDetector : With ``"resnet-18"``, a checkpoint of the model hub.

    Notes
    -----
    `fit` needs the extra "train"; predictions do not. 15 epochs, batches of 32 and the learning
    rate of 1e-4 are those of the study. Images are scaled by ImageNet's means and deviations.

    With the same `random_state`, a training on the same machine gives the same network, also if it
    was stopped and went on from its checkpoint.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition",
       CVPR 2016, :doi:`10.1109/CVPR.2016.90`.

    Examples
    --------
    >>> from detectorkit import ResNetDetector
    >>> ResNetDetector((128, 128)).max_epochs
    15
    """

    def __init__(
        self,
        image_size: tuple[int, int] = (224, 224),
        *,
        weights: str | Path | None = None,
        learning_rate: float = 1e-4,
        batch_size: int = 32,
        max_epochs: int = 15,
        patience: int = 6,
        validation_fraction: float = 0.1,
        validation: Literal["images", "origins"] = "images",
        balance: Literal["origin"] | None = None,
        augmentation: Literal["default"] | Augmentation | None = "default",
        n_crops: int | None = None,
        quantize: Literal["float16", "static", "dynamic"] | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.image_size = image_size
        self.weights = weights
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.validation = validation
        self.balance = balance
        self.augmentation = augmentation
        self.n_crops = n_crops
        self.quantize = quantize
        self.checkpoint = checkpoint
        self.device = device
        self.class_weight = class_weight
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_network(self) -> tuple[nn.Module, NetworkInput]:
        from detectorkit.training.architectures import (
            ResNet18,
            attach_head,
            load_weights,
        )

        size = check_pair(self, "image_size")
        network = ResNet18()
        if self.weights is not None:
            load_weights(network, Path(self.weights), ignored=("fc.",))
        return attach_head(network, network.n_features, (), 0), NetworkInput(
            size, n_crops=self.n_crops
        )

    def _check_settings(self) -> dict[str, Any]:
        if min(check_pair(self, "image_size")) < _STRIDE:
            raise parameter_error(self, "image_size", f"at least {_STRIDE} high and wide")
        return super()._check_settings()
