"""Features of a backbone, computed from images and optionally cached on disk."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.backbones.store import Backbone
from detectorkit.graph.reference import compute_features
from detectorkit.graph.runner import make_session
from detectorkit.images.batches import concatenate_batches, iter_slices, map_batches
from detectorkit.images.levels import to_levels
from detectorkit.images.sequence import ImageSequence
from detectorkit.utils.feature_cache import KEY_BYTES, FeatureCache
from detectorkit.utils.progress import track

__all__ = ["cache_name", "embed_images", "key_of"]

_BATCH: Final = 8
_RUN_SIZE: Final = 4


def key_of(pixels: NDArray[np.uint8]) -> bytes:
    """Compute the key of an image in the cache."""
    return blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=KEY_BYTES).digest()


def embed_images(
    backbone: Backbone,
    images: ImageSequence,
    *,
    cache_dir: Path | None = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> NDArray[np.float32]:
    """Compute the features of images; with crops, the means over the crops.

    Parameters
    ----------
    backbone : Backbone
        Network that computes the features.
    images : ImageSequence
        The images, not yet read.
    cache_dir : Path, default=None
        Folder in which features are kept between calls, for all backbones. None keeps none.
    n_jobs : int, default=None
        Number of threads that read images and run the network. None means 1 unless in a
        `joblib.parallel_config` context; -1 means all processors.
    verbose : bool, default=False
        Whether to show progress on standard error.

    Returns
    -------
    features : ndarray of shape (n_samples, n_features), dtype float32
        Features of the images, one row per image.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded. The error names the path and its index.
    """
    session = make_session(backbone.content, backbone.name)
    folder = None if cache_dir is None else Path(cache_dir) / cache_name(backbone)
    cache = None if folder is None else FeatureCache(folder)
    function = partial(_embed, backbone=backbone, session=session, cache=cache)
    preprocessing = backbone.network_input.preprocessing
    batches = map_batches(function, images, preprocessing, n_jobs=n_jobs, batch_size=_BATCH)
    shown = track("Computing features", batches, len(images), show=verbose)
    try:
        return concatenate_batches(iter(shown), len(images))
    finally:
        if cache is not None:
            cache.flush()


def cache_name(backbone: Backbone) -> str:
    """Return the name of the folder in which a backbone's features are kept."""
    made_of = blake2b(backbone.content, digest_size=8)
    made_of.update(repr((backbone.network_input.mean, backbone.network_input.std)).encode())
    return f"{backbone.name}-{made_of.hexdigest()}"


def _embed(
    batch: NDArray[Any], *, backbone: Backbone, session: Any, cache: FeatureCache | None
) -> NDArray[np.float32]:
    is_cropped = backbone.network_input.n_crops is not None
    n_images = len(batch)
    pixels = batch.reshape(-1, *batch.shape[2:]) if is_cropped else batch
    keys = [] if cache is None else [key_of(image) for image in pixels]
    known = [None if cache is None else cache.get(key) for key in keys] or [None] * len(pixels)
    missing = [i for i, row in enumerate(known) if row is None]
    rows = {i: row for i, row in enumerate(known) if row is not None}
    for part in iter_slices(len(missing), backbone.run_size or _RUN_SIZE):
        index = missing[part]
        scaled = backbone.network_input.scale(to_levels(pixels[index]))
        for i, row in zip(index, compute_features(session, scaled), strict=True):
            rows[i] = row
            if cache is not None:
                cache.put(keys[i], row)
    features = np.stack([rows[i] for i in range(len(pixels))])
    if backbone.columns is not None:
        features = features[:, backbone.columns]
    mean: NDArray[np.float32] = features.reshape(n_images, -1, features.shape[1]).mean(axis=1)
    return mean
