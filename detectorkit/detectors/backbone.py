"""Detectors built on a pretrained network, with a small head or fine-tuned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectorkit.base import FitInputs
from detectorkit.detectors._trained import TorchDetector, balanced_chances, split_validation
from detectorkit.graph.inputs import NetworkInput
from detectorkit.images.sequence import ImageSequence
from detectorkit.images.treatment import Treatment
from detectorkit.training.augmentation import Augmentation
from detectorkit.training.file_changes import add_views
from detectorkit.utils.validation import (
    check_choice,
    check_integer,
    check_pair,
    check_real,
    parameter_error,
)

if TYPE_CHECKING:
    from torch import nn

    from detectorkit.backbones import Backbone
    from detectorkit.graph.reference import Pool
    from detectorkit.heads.mlp import TrainedHead
    from detectorkit.training.loop import Schedule

__all__ = ["BackboneDetector"]

_HEAD_RATE = 1e-3
_WHOLE_RATE = 1e-4
_HEAD_EPOCHS = 10  # in which only the head is trained, before the whole network


@dataclass(frozen=True)
class _KeptFeatures:
    """Scoring by features that are kept on disk, with the backbone and head of `fit`."""

    backbone: Backbone
    head: TrainedHead
    folder: Path

    def score(self, images: ImageSequence, n_jobs: int | None) -> NDArray[np.float64]:
        from detectorkit.backbones import embed_images

        features = embed_images(self.backbone, images, cache_dir=self.folder, n_jobs=n_jobs)
        return self.head.score(features)


class BackboneDetector(TorchDetector):
    """Detect generated images by the features of a pretrained network.

    By default the network is fixed and a small head is trained on its features, which does not
    need torch. With ``fine_tune=True`` the whole network is trained, after the head alone.

    Read more in the :ref:`User Guide <backbones>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    backbone : str or Path, default="efficientnet-lite0"
        Name of a backbone, see ``detectorkit backbones list``, or path of an ONNX file that
        computes features. With `fine_tune`, also a name on the model hub or a folder that
        transformers saved.
    layers : sequence of int, default=None
        Numbers of the blocks of a transformer, or of the stages (resolutions) of a convolutional
        network, whose features are joined; 1 is the first and -1 the last. None takes the output of
        the network. With `fine_tune` it must be None.
    pool : {"cls", "mean", "cls+mean"}, default=None
        Features of each of the `layers` of a transformer: the class token, the mean over the tokens
        of the image, or both. Those of a stage are means over its maps. None takes the class token
        if there is one.
    bottleneck : int or None, default=64
        Number of units of the layer between features and output. None makes the head a linear
        classifier.
    fine_tune : bool, default=False
        Whether the backbone is trained too, which needs the extra "train".
    image_size : tuple of (int, int), default=None
        Height and width of the images that the network sees, to which images are resized or
        crops are cut. None takes the size of the backbone; only convolutional networks can have
        another one.
    n_crops : int, default=None
        Number of crops (1, 4, 5, 9, 16 or 25) that are cut from each image at native resolution.
        With a fixed backbone, the features of the crops are averaged in training and their scores
        in predictions. None resizes whole images.
    network_input : NetworkInput, default=None
        Size, colours and scaling of the images that the network takes, for an ONNX file that does
        not say them. None reads them from the file.
    learning_rate : float, default=None
        Learning rate of Adam. None means 1e-3 for a head alone and 1e-4 for the whole network.
    alpha : float, default=1e-4
        Weight decay of the head: proportion of a weight, times the learning rate, that is lost in
        each step. Without effect with `fine_tune`.
    dropout : float, default=0.2
        Proportion of the activations that is dropped before each layer of the head.
    mixup : float, default=0.0
        Parameter of the beta distribution by which the features of pairs of images are mixed, as
        are their labels [5]_; 0 mixes none. Without effect with `fine_tune`.
    n_heads : int, default=1
        Number of heads of other first weights each, whose scores are averaged; they are saved as
        one wider head. Without effect with `fine_tune`.
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
        "origins" needs `origin` in `fit`.
    balance : {None, "origin"}, default=None
        With "origin", both classes have the same weight, and within each class all origins; this
        needs `origin` in `fit`. None leaves the weights as they are.
    augmentation : "default", Augmentation or None, default="default"
        Random changes of the training images, with `fine_tune`. None leaves them unchanged.
    n_views : int, default=0
        Number of random variants of each training image, on which the head of a fixed
        backbone is fitted too. They are smaller and encoded anew, as files on the web are; see
        `detectorkit.training.FileChanges`.
    quantize : {None, "float16", "static", "dynamic"}, default=None
        Number format of the saved network. "float16" halves the file and hardly changes the
        scores. "static" stores weights and activations in 8 bits, which is best for convolutions.
        "dynamic" stores only the weights in 8 bits, which is best for transformers, and runs one
        image at a time. None keeps float32. `quantization_` tells the loss of accuracy.
    cache_dir : str or Path, default=None
        Folder in which the features of a fixed backbone are kept, so that those of an image are
        computed only once in all fits, predictions and folds of a search. None keeps none.
    checkpoint : str or Path, default=None
        File to which the state of the training is written after each epoch, with `fine_tune`. If
        it exists, `fit` continues from it. None writes none.
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
        Number of threads that read images and run the network. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Source of randomness for the initial weights, the validation part and the order of images.
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
        Content of the ONNX file of backbone and head.
    history_ : list of dict
        Training and validation losses of each epoch.
    quantization_ : dict
        Accuracy on held-out images before and after quantization, and sizes of the file in bytes.
        Only with `quantize`.
    record_ : ModelRecord
        Record of the model, with its current threshold and calibration.
    training_summary_ : dict
        Number of images in total and in each class, generators and sources if `origin` was passed,
        the backbone and its licence, and settings; saved with the model.
    n_features_in_ : int
        Number of columns of X in `fit`; only if X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`; only if X was 2-D with names that are all strings.

    See Also
    --------
    DeiTDetector : The same detector with a vision transformer.
    ResNetDetector : A network that is trained from random weights.

    Notes
    -----
    The head is trained on standardised features by AdamW [6]_, with a learning rate that rises and
    falls once. A linear probe on a frozen
    modern backbone is what generalises best in the field today (arXiv 2509.12995). What it sees
    depends on the backbone: EfficientNet and DeiT are trained on ImageNet, CLIP on captions; CLIP
    is not DeiT.

    With `fine_tune`, the head is also trained first, on features that are computed once, so that
    its random weights do not spoil the backbone [3]_. Batch normalisation in the backbone keeps the
    statistics that it came with. If no later epoch has a smaller validation loss than the head
    alone, the head alone is kept.

    With `cache_dir`, a fitted detector keeps the backbone that it was fitted with and predicts with
    it, even if the file changes later.

    A backbone that was quantised dynamically, such as "clip-vit-b16", is run in float32 with its
    weights of 8 bits, so that its features depend neither on the other images nor on the processor.

    Photographs and generated images often differ in what early layers of a network see, while the
    last one knows what is in the picture; so several `layers` joined can find more [4]_.

    References
    ----------
    .. [1] U. Ojha, Y. Li, Y. J. Lee, "Towards universal fake image detectors that generalize across
       generative models", CVPR 2023, :doi:`10.1109/CVPR52729.2023.02345`.
    .. [2] M. Tan, Q. V. Le, "EfficientNet: rethinking model scaling for convolutional neural
       networks", ICML 2019, :doi:`10.48550/arXiv.1905.11946`.
    .. [3] A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, "Fine-tuning can distort pretrained
       features and underperform out-of-distribution", ICLR 2022,
       :doi:`10.48550/arXiv.2202.10054`.
    .. [4] C. Koutlis, S. Papadopoulos, "Leveraging representations from intermediate encoder-blocks
       for synthetic image detection", ECCV 2024, :doi:`10.1007/978-3-031-73220-1_23`.
    .. [5] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: beyond empirical risk
       minimization", ICLR 2018, :doi:`10.48550/arXiv.1710.09412`.
    .. [6] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
       :doi:`10.48550/arXiv.1711.05101`.

    Examples
    --------
    >>> from detectorkit import BackboneDetector
    >>> BackboneDetector("clip-vit-b16", bottleneck=None).backbone
    'clip-vit-b16'
    """

    def __init__(
        self,
        backbone: str | os.PathLike[str] = "efficientnet-lite0",
        *,
        layers: Sequence[int] | None = None,
        pool: Pool | None = None,
        bottleneck: int | None = 64,
        fine_tune: bool = False,
        image_size: tuple[int, int] | None = None,
        n_crops: int | None = None,
        network_input: NetworkInput | None = None,
        learning_rate: float | None = None,
        alpha: float = 1e-4,
        dropout: float = 0.2,
        mixup: float = 0.0,
        n_heads: int = 1,
        batch_size: int = 32,
        max_epochs: int = 50,
        patience: int = 6,
        validation_fraction: float = 0.1,
        validation: Literal["images", "origins"] = "images",
        balance: Literal["origin"] | None = None,
        augmentation: Literal["default"] | Augmentation | None = "default",
        n_views: int = 0,
        quantize: Literal["float16", "static", "dynamic"] | None = None,
        cache_dir: str | Path | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        treatment: Literal["aligned"] | Treatment | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.pool = pool
        self.bottleneck = bottleneck
        self.fine_tune = fine_tune
        self.image_size = image_size
        self.n_crops = n_crops
        self.network_input = network_input
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.dropout = dropout
        self.mixup = mixup
        self.n_heads = n_heads
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.validation = validation
        self.balance = balance
        self.augmentation = augmentation
        self.n_views = n_views
        self.quantize = quantize
        self.cache_dir = cache_dir
        self.checkpoint = checkpoint
        self.device = device
        self.treatment = treatment
        self.class_weight = class_weight
        self.input_shape = input_shape
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _train(
        self,
        training: FitInputs,
        settings: dict[str, Any],
        random_state: np.random.RandomState,
    ) -> None:
        self._kept: _KeptFeatures | None = None
        if self.fine_tune:
            super()._train(training, settings, random_state)
            return
        training = add_views(training, settings["n_views"], random_state)
        train, val = split_validation(
            training,
            training.origin,
            proportion=settings["validation_fraction"],
            by_origin=self.validation == "origins",
            random_state=random_state,
        )
        self._fit_head(training, train, val, random_state, settings)

    def _fit_head(
        self,
        training: FitInputs,
        train: NDArray[np.intp],
        val: NDArray[np.intp],
        random_state: np.random.RandomState,
        settings: dict[str, Any],
    ) -> None:
        """Train a head on the features of the fixed backbone and join both in one graph."""
        from detectorkit.heads.mlp import HeadSettings, fit_network_head

        backbone = self._find()
        features = self._embed(backbone, training.images)
        weight = np.ones(len(features)) if training.weight is None else training.weight
        if self.balance == "origin" and training.origin is not None:
            weight = weight * balanced_chances(training.y, training.origin) * len(features)
        head = fit_network_head(
            features,
            training.y,
            weight,
            train,
            val,
            HeadSettings(
                self.bottleneck,
                settings["learning_rate"],
                check_real(self, "alpha", minimum=0),
                self.dropout,
                check_real(self, "mixup", minimum=0),
                check_integer(self, "n_heads", minimum=1),
                self.batch_size,
                self.max_epochs,
                self.patience,
                int(random_state.randint(2**31)),
                self.verbose,
            ),
        )
        self.history_ = head.history
        held_out = val if len(val) else train
        settings |= {
            "backbone": backbone.name,
            "backbone_licence": backbone.licence,
            "backbone_sha256": backbone.sha256,
            "n_epochs": len(head.history),
            "n_validation": len(val),
        }
        self._finish_fit(training, held_out, head.score(features[held_out]), **settings)
        self._join(backbone, head.layers)
        if self.cache_dir is not None and self.n_crops is None and self.quantize is None:
            self._kept = _KeptFeatures(backbone, head, Path(self.cache_dir))
        self._quantize(training.images, training.y, train, held_out)

    def _embed(self, backbone: Backbone, images: ImageSequence) -> NDArray[np.float32]:
        """Compute the features of images by the fixed backbone."""
        from detectorkit.backbones import embed_images

        folder = None if self.cache_dir is None else Path(self.cache_dir)
        return embed_images(
            backbone, images, cache_dir=folder, n_jobs=self.n_jobs, verbose=self.verbose
        )

    def _score(self, images: ImageSequence) -> NDArray[np.float64]:
        """Compute scores by the graph, or from features that are kept on disk."""
        if self._kept is None:
            return super()._score(images)
        return self._kept.score(images, self.n_jobs)

    def _join(self, backbone: Backbone, layers: Any) -> None:
        """Join backbone and head in one graph and adopt it."""
        from detectorkit.graph.networks import head_graph, join_head
        from detectorkit.graph.record import ModelRecord
        from detectorkit.graph.reference import BackboneRun

        taken, reference = backbone.network_input, backbone.reference
        record = ModelRecord(
            detector=type(self).__name__,
            preprocessing=taken.preprocessing,
            features=[],
            classes=self.classes_.tolist(),
            threshold=self.threshold_,
            calibration=self.calibration_,
            training=self.training_summary_,
            run_size=backbone.run_size,
        )
        head = head_graph(layers, record)
        network = BackboneRun(backbone.content, taken, backbone.columns)
        self._adopt(join_head(head, network, record).SerializeToString(), type(self).__name__)
        if reference is not None and backbone.run_size is None:
            reference = replace(reference, network_input=taken)
            self._head = head_graph(layers, replace(record, backbone=reference)).SerializeToString()

    def _find(self) -> Backbone:
        """Find the backbone, with the layers, size and crops of this detector."""
        from detectorkit.backbones import find_backbone, take_layers

        size = None if self.image_size is None else check_pair(self, "image_size")
        backbone = find_backbone(self.backbone, self.network_input, image_size=size)
        if self.layers is not None:
            backbone = take_layers(backbone, list(self.layers), self.pool)
        taken = replace(
            backbone.network_input, n_crops=self.n_crops, treatment=self._check_treatment()
        )
        return replace(backbone, network_input=taken)

    def _check_settings(self) -> dict[str, Any]:
        if self.bottleneck is not None:
            check_integer(self, "bottleneck", minimum=1)
        check_real(self, "dropout", minimum=0, below=1)
        check_choice(self, "pool", (None, "cls", "mean", "cls+mean"))
        is_list = isinstance(self.layers, Sequence | np.ndarray) and len(self.layers) > 0
        if self.layers is not None and not (
            is_list and all(isinstance(one, int | np.integer) for one in self.layers)
        ):
            raise parameter_error(self, "layers", "None or a sequence of whole numbers")
        if self.layers is not None and self.fine_tune:
            raise parameter_error(self, "layers", "None with fine_tune=True")
        if self.layers is None and self.pool is not None:
            raise parameter_error(self, "pool", "None without `layers`")
        settings = super()._check_settings()
        return settings | {
            "fine_tune": bool(self.fine_tune),
            "bottleneck": self.bottleneck,
            "layers": None if self.layers is None else [int(one) for one in self.layers],
            "pool": self.pool,
            "n_views": check_integer(self, "n_views", minimum=0),
        }

    def _schedule(self, random_state: np.random.RandomState, settings: dict[str, Any]) -> Schedule:
        return replace(super()._schedule(random_state, settings), head_epochs=_HEAD_EPOCHS)

    def _check_rate(self) -> float:
        if self.learning_rate is None:
            return _WHOLE_RATE if self.fine_tune else _HEAD_RATE
        return super()._check_rate()

    def _make_network(self) -> tuple[nn.Module, NetworkInput]:
        from detectorkit.backbones.exporting import load_torch_backbone
        from detectorkit.training.architectures import attach_head

        found = load_torch_backbone(os.fspath(self.backbone))
        taken = replace(self.network_input or found.network_input, n_crops=self.n_crops)
        if self.image_size is not None:
            taken = replace(taken, image_size=check_pair(self, "image_size"))
        layers = () if self.bottleneck is None else (self.bottleneck,)
        network = attach_head(
            found.network, found.n_features, layers, self.dropout, keeps_statistics=True
        )
        return network, taken
