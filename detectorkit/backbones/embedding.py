"""Features of a backbone, computed from images and optionally cached on disk."""

from __future__ import annotations

import warnings
import zlib
from functools import partial
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from detectorkit.backbones.store import Backbone
from detectorkit.graph.reference import compute_features
from detectorkit.graph.runner import make_session
from detectorkit.images.batches import concatenate_batches, iter_slices, map_batches
from detectorkit.images.levels import to_levels
from detectorkit.images.sequence import ImageSequence
from detectorkit.utils.files import open_whole
from detectorkit.utils.progress import track

__all__ = ["EmbeddingCache", "cache_name", "embed_images", "key_of"]

_KEY_BYTES: Final = 16
_BATCH: Final = 8
_RUN_SIZE: Final = 4
_PART: Final = 512  # images per file of the cache; at most so many are lost if a run is stopped


class EmbeddingCache:
    """Cache of features on disk, with a hash of an image's pixels as the key.

    Parameters
    ----------
    folder : Path
        Folder of the files. It is made when the first file is written.

    Notes
    -----
    The key is a hash of the prepared pixels, so that the same image is found again under any file
    name, and in every fold of a cross-validation. The files hold numpy arrays without pickle. A
    damaged file is ignored with a warning, and its features are computed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self._new: list[bytes] = []
        self._lock = Lock()
        for path in sorted(folder.glob("part-*.npz")):
            self._known.update(_read_part(path))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the features of an image, if they are in the cache.

        Parameters
        ----------
        key : bytes
            Key of the image, from `key_of`.

        Returns
        -------
        features : ndarray of shape (n_features,) or None
            Features of the image; None if they are not in the cache.
        """
        return self._known.get(key)

    def put(self, key: bytes, features: NDArray[np.float32]) -> None:
        """Add the features of an image to the cache.

        Parameters
        ----------
        key : bytes
            Key of the image, from `key_of`.
        features : ndarray of shape (n_features,)
            Features of the image to keep.
        """
        with self._lock:
            if key not in self._known:
                self._known[key] = features
                self._new.append(key)
            if len(self._new) >= _PART:
                self._write()

    def flush(self) -> None:
        """Write the new features to a new file."""
        with self._lock:
            if self._new:
                self._write()

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = np.stack([np.frombuffer(key, np.uint8) for key in self._new])
        values = np.stack([self._known[key] for key in self._new])
        name = f"part-{blake2b(keys.tobytes(), digest_size=8).hexdigest()}.npz"
        with open_whole(self._folder / name) as file:
            np.savez(file, keys=keys, values=values)
        self._new = []


def _read_part(path: Path) -> dict[bytes, NDArray[np.float32]]:
    """Read a file of the cache; return nothing and warn if it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            keys, values = part["keys"], part["values"]
        fault = _find_fault(keys, values)
    except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        fault = str(error)
    if fault is not None:
        warnings.warn(
            f"The kept features in {path} are damaged ({fault}) and are computed again. Delete the "
            "file to avoid this warning.",
            stacklevel=2,
        )
        return {}
    return dict(zip([key.tobytes() for key in keys], values, strict=True))


def _find_fault(keys: NDArray[Any], values: NDArray[Any]) -> str | None:
    """Return why arrays cannot be keys and their features, or None if they can."""
    if keys.shape != (len(values), _KEY_BYTES) or values.ndim != 2:
        return f"keys of shape {keys.shape}, features of shape {values.shape}"
    return None if np.isfinite(values).all() else "features that are not finite"


def key_of(pixels: NDArray[np.uint8]) -> bytes:
    """Compute the key of an image in the cache."""
    return blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=_KEY_BYTES).digest()


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
    cache = None if folder is None else EmbeddingCache(folder)
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
    batch: NDArray[Any], *, backbone: Backbone, session: Any, cache: EmbeddingCache | None
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
