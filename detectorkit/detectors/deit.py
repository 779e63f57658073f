"""The transformer of the original study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from detectorkit.detectors.backbone import BackboneDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.graph.reference import Pool
from detectorkit.images.treatment import Treatment
from detectorkit.training.augmentation import Augmentation

__all__ = ["DeiTDetector"]


class DeiTDetector(BackboneDetector):
    """Detect generated images by a vision transformer with a bottleneck layer.

    This is `BackboneDetector` with DeiT-tiny at 224 x 224 pixels. The study trained the whole
    network, as ``fine_tune=True`` does.

    Read more in the :ref:`User Guide <backbones>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    backbone : str or Path, default="deit-tiny"
        Vision transformer to use: "deit-tiny" or "deit-small", which ``detectorkit backbones
        export`` downloads once from the model hub; another name on the hub; a folder that
        transformers saved; or the path of an ONNX file.
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
        Weight decay of the head. Without effect with `fine_tune`.
    dropout : float, default=0.2
        Proportion of the activations that is dropped before each layer of the head, with
        `fine_tune`.
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
    BackboneDetector : The same detector with any pretrained network.

    Notes
    -----
    No Python package contains a checkpoint of DeiT, so it must be exported once on a machine that
    is online. The bottleneck, batches of 32, the learning rate of 1e-3 for the head, early stopping
    and at most 50 epochs are those of the study.

    References
    ----------
    .. [1] H. Touvron et al., "Training data-efficient image transformers & distillation through
       attention", ICML 2021, :doi:`10.48550/arXiv.2012.12877`.

    Examples
    --------
    >>> from detectorkit import DeiTDetector
    >>> DeiTDetector(bottleneck=32).backbone
    'deit-tiny'
    """

    def __init__(
        self,
        backbone: str | os.PathLike[str] = "deit-tiny",
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
        super().__init__(
            backbone,
            layers=layers,
            pool=pool,
            bottleneck=bottleneck,
            fine_tune=fine_tune,
            image_size=image_size,
            n_crops=n_crops,
            network_input=network_input,
            learning_rate=learning_rate,
            alpha=alpha,
            dropout=dropout,
            batch_size=batch_size,
            max_epochs=max_epochs,
            patience=patience,
            validation_fraction=validation_fraction,
            validation=validation,
            balance=balance,
            augmentation=augmentation,
            n_views=n_views,
            quantize=quantize,
            cache_dir=cache_dir,
            checkpoint=checkpoint,
            device=device,
            treatment=treatment,
            class_weight=class_weight,
            input_shape=input_shape,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
