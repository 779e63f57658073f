"""The modified convolutional network of the original study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from detectorkit.detectors._trained import TorchDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.treatment import Treatment
from detectorkit.training.augmentation import Augmentation
from detectorkit.utils.validation import check_integer, check_pair, check_real, parameter_error

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CNNDetector"]

_HALF = (0.5, 0.5, 0.5)  # pixels from -1 to 1


class CNNDetector(TorchDetector):
    """Detect generated images by the modified CNN of the original study.

    The network has convolutions of 32 filters of 2x2, then 64 of 3x3, 128 of 4x4, 256 of 5x5 and
    512 of 6x6, with max-pooling after each, dense layers of 256, 128 and 64 units with dropout, and
    two outputs.

    Read more in the :ref:`User Guide <networks>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    image_size : tuple of (int, int), default=(128, 128)
        Height and width of the images that the network sees, to which images are resized or
        crops are cut.
    n_conv : int, default=5
        Number of convolutions, from 1 to 5. The study says five in one place and four in another.
    batch_norm : bool, default=True
        Whether each convolution is followed by batch normalisation, which the study does not
        mention. It takes no time in predictions.
    dropout : float, default=0.3
        Proportion of the activations that is dropped after each dense layer in training.
    learning_rate : float, default=3e-4
        Learning rate of Adam.
    batch_size : int, default=32
        Number of images in each step of training.
    max_epochs : int, default=50
        Maximum number of passes over the training images.
    patience : int, default=6
        Number of epochs without a smaller validation loss after which training stops. The weights
        of the best epoch are kept.
    validation_fraction : float, default=0.1
        Proportion of the images that are set aside to decide when training stops. 0 sets none
        aside and trains for `max_epochs`.
    validation : {"images", "origins"}, default="images"
        What is set aside: single images, or a whole generator and a whole source of photographs.
        "origins" needs `origin` in `fit`, and stops when the network gets worse on origins that it
        was not trained on.
    balance : {None, "origin"}, default=None
        With "origin", both classes are drawn equally often, and within each class all origins;
        this needs `origin` in `fit`. None draws all images equally often.
    augmentation : "default", Augmentation or None, default="default"
        Random changes of the training images. None leaves them unchanged.
    n_crops : int, default=None
        Number of crops (1, 4, 5, 9, 16 or 25) that are cut from each image at native resolution.
        The network learns from crops, and the score of an image is the mean score of its crops.
        None resizes whole images.
    quantize : {None, "float16", "static", "dynamic"}, default=None
        Number format of the saved network. "float16" halves the file and hardly changes the
        scores. "static" stores weights and activations in 8 bits, which makes convolutions two to
        three times as fast and the file a quarter of the size. "dynamic" stores only the weights
        in 8 bits, and runs one image at a time. None keeps float32. `quantization_` tells the loss
        of accuracy.
    checkpoint : str or Path, default=None
        File to which the state of the training is written after each epoch. If it exists, `fit`
        continues from it. None writes none.
    device : str, default="auto"
        Device of torch to train on, such as "cpu" or "cuda". "auto" means "cuda" if available.
    treatment : None, "aligned" or Treatment, default=None
        Treatment of every image, in training and in predictions; it is saved with the model.
        "aligned" takes the centre square, resizes it to 160 x 160 pixels and encodes it as JPEG,
        see `detectorkit.images.Treatment`. None takes images as they are.
    class_weight : dict or "balanced", default=None
        Factors by which the loss of each class is multiplied. "balanced" gives both classes the
        same total weight; None leaves all weights as they are.
    input_shape : tuple of int, default=None
        Shape of one image, (height, width) or (height, width, n_channels), where X is a 2-D array
        of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that read images and, in predictions, run the network. None means 1
        unless in a `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Source of randomness for the initial weights, the validation part, and the order and the
        changes of images.
    verbose : bool, default=False
        Whether `fit` shows its progress and the losses on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second means "generated".
    threshold_ : float
        Score above which `predict` returns "generated"; 0 after `fit`. It may be changed.
    calibration_ : SigmoidCalibration
        Map from scores to probabilities, used by `predict_proba`; fitted on the validation part.
    band_ : Band or None
        Band of scores in which a verdict is "can't tell", as `fit_band` sets it; None after `fit`.
    onnx_model_ : bytes
        Content of the ONNX file of the trained network.
    history_ : list of dict
        Losses and duration in seconds of each epoch.
    quantization_ : dict
        Accuracy on held-out images before and after quantization, and sizes of the file in bytes.
        Only with `quantize`.
    record_ : ModelRecord
        Record of the model, with its current threshold and calibration.
    training_summary_ : dict
        Number of images in total and in each class, generators and sources if `origin` was passed,
        and settings; saved with the model.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    ResNetDetector : A deeper network that is trained from random weights.
    BackboneDetector : A network that was pretrained on other images.

    Notes
    -----
    `fit` needs the extra "train"; predictions do not. Convolutions keep the size of their maps, and
    pooling halves it. The loss is the binary cross-entropy of the softmax over both outputs; the
    score is the difference of the logits. The study does not tell the learning rate and dropout
    that it used here. Without batch normalisation the network stayed at chance on 1400 faces.

    With the same `random_state`, training on the same machine results in the same network, also
    if it was interrupted and continued from its checkpoint.

    Examples
    --------
    >>> from detectorkit import CNNDetector
    >>> CNNDetector(n_conv=4, quantize="static").n_conv
    4
    """

    def __init__(
        self,
        image_size: tuple[int, int] = (128, 128),
        *,
        n_conv: int = 5,
        batch_norm: bool = True,
        dropout: float = 0.3,
        learning_rate: float = 3e-4,
        batch_size: int = 32,
        max_epochs: int = 50,
        patience: int = 6,
        validation_fraction: float = 0.1,
        validation: Literal["images", "origins"] = "images",
        balance: Literal["origin"] | None = None,
        augmentation: Literal["default"] | Augmentation | None = "default",
        n_crops: int | None = None,
        quantize: Literal["float16", "static", "dynamic"] | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        treatment: Literal["aligned"] | Treatment | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.image_size = image_size
        self.n_conv = n_conv
        self.batch_norm = batch_norm
        self.dropout = dropout
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
        self.treatment = treatment
        self.class_weight = class_weight
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_network(self) -> tuple[nn.Module, NetworkInput]:
        from detectorkit.training.architectures import ModifiedCNN

        size = check_pair(self, "image_size")
        network_input = NetworkInput(size, _HALF, _HALF, n_crops=self.n_crops)
        network = ModifiedCNN(
            size, n_conv=self.n_conv, dropout=self.dropout, batch_norm=bool(self.batch_norm)
        )
        return network, network_input

    def _check_settings(self) -> dict[str, Any]:
        n_conv = check_integer(self, "n_conv", minimum=1)
        if n_conv > 5:
            raise parameter_error(self, "n_conv", "a whole number from 1 to 5")
        if min(check_pair(self, "image_size")) < 2**n_conv:
            raise parameter_error(
                self, "image_size", f"at least {2**n_conv} high and wide for {n_conv} convolutions"
            )
        check_real(self, "dropout", minimum=0, below=1)
        settings = super()._check_settings()
        return settings | {"n_conv": n_conv, "batch_norm": bool(self.batch_norm)}
