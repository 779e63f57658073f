"""The transformer of the original study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from detectorkit.detectors.backbone import BackboneDetector
from detectorkit.graph.inputs import NetworkInput
from detectorkit.training.augmentation import Augmentation

__all__ = ["DeiTDetector"]


class DeiTDetector(BackboneDetector):
    """Detect generated images by a vision transformer with a bottleneck layer.

    This is `BackboneDetector` with DeiT-tiny at 224 x 224 pixels. The study trained all of it:
    that is ``fine_tune=True``.

    Read more in the :ref:`User Guide <backbones>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    backbone : str or Path, default="deit-tiny"
        "deit-tiny" or "deit-small", which ``detectorkit backbones export`` gets once from the model
        hub; another name there; a folder that transformers saved; or an ONNX file.
    bottleneck : int or None, default=64
        Units of the layer between features and output; None gives a linear classifier.
    fine_tune : bool, default=False
        Whether the backbone is trained too; needs the extra "train".
    image_size : tuple of (int, int), default=None
        Height and width that images are brought to, or of the crops. None takes the backbone's own;
        only networks of convolutions can have another one.
    n_crops : int, default=None
        None resizes whole images. A number (1, 4, 5, 9, 16 or 25) takes so many crops at native
        resolution. Of a fixed backbone the features are averaged in training, the scores in
        predictions.
    network_input : NetworkInput, default=None
        How images are prepared, for an ONNX file that does not say it.
    learning_rate : float, default=None
        Of Adam. None takes 1e-3 for a head alone and 1e-4 for the whole network.
    alpha : float, default=1e-4
        Strength of the L2 penalty of a head alone.
    dropout : float, default=0.2
        Share of the activations that is dropped before each layer of the head, with `fine_tune`.
    batch_size : int, default=32
        Images in a step of training.
    max_epochs : int, default=50
        Passes over the training images, at most.
    patience : int, default=6
        Epochs without a smaller validation loss after which training stops. The weights of the
        best epoch are kept.
    validation_fraction : float, default=0.1
        Share of the images that training does not see and that says when to stop; 0 trains for
        `max_epochs`.
    validation : {"images", "origins"}, default="images"
        What is set aside: single images, or a generator and a real source as a whole. The second
        needs `origin` in `fit`.
    balance : {None, "origin"}, default=None
        "origin" gives both classes the same weight, and within each all origins; it needs `origin`
        in `fit`.
    augmentation : "default", Augmentation or None, default="default"
        How training images are changed at random, with `fine_tune`.
    quantize : {None, "float16", "static", "dynamic"}, default=None
        "float16" halves the file and changes next to nothing. "static" stores weights and
        activations in 8 bits, best for convolutions; "dynamic" stores weights only, best for
        transformers, and runs one image at a time. What it costs is in `quantization_`.
    cache_dir : str or Path, default=None
        Folder that keeps features of a fixed backbone, from one fit or prediction to the next, so
        that each is computed once in all folds of a search. None keeps none.
    checkpoint : str or Path, default=None
        File for the state of the training after each epoch, with `fine_tune`. If it exists, `fit`
        goes on from there.
    device : str, default="auto"
        "cpu", "cuda" or another device of torch to train on.
    class_weight : dict or "balanced", default=None
        Factors of the loss for each class; "balanced" gives both classes the same sum.
    input_shape : tuple of int, default=None
        The shape of one image, (height, width) or (height, width, n_channels), where X is a
        2-D array of flattened images; one entry may be -1. None refuses 2-D arrays.
    n_jobs : int, default=None
        Number of threads that read images and run the network. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    random_state : int, RandomState instance or None, default=None
        Draws the weights at the start, the validation part and the order of images.
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
        Backbone and head as the content of one ONNX file.
    history_ : list of dict
        Losses of each epoch.
    quantization_ : dict
        Only with `quantize`: accuracy before and after on held-out images, and sizes in bytes.
    record_ : ModelRecord
        What the model says of itself, as it is now.
    training_summary_ : dict
        Number of images in all and by class, the backbone and its licence, and settings; saved with
        the model.
    n_features_in_ : int
        Number of columns of X; only where X was 2-D.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X; only where X was 2-D with names that are all strings.

    See Also
    --------
    BackboneDetector : With any network.

    Notes
    -----
    No checkpoint of DeiT comes with a Python package, so the export needs a machine that is online,
    once. Of the study's settings, the bottleneck, batches of 32, the learning rate of 1e-3 for the
    head, early stopping and at most 50 epochs are the defaults.

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
        quantize: Literal["float16", "static", "dynamic"] | None = None,
        cache_dir: str | Path | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        input_shape: tuple[int, ...] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            backbone,
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
            quantize=quantize,
            cache_dir=cache_dir,
            checkpoint=checkpoint,
            device=device,
            class_weight=class_weight,
            input_shape=input_shape,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
