"""Features of images on disk, in files of some megabytes of which few are in memory."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from detectorkit._version import __version__
from detectorkit.utils.files import open_whole

__all__ = ["KEY_BYTES", "FeatureCache", "open_cache"]

KEY_BYTES: Final = 16
"""Length of a key."""

_PART: Final = 512  # rows of a file; at most so many are lost if a run is stopped
_PART_BYTES: Final = 2**24
_N_OPEN: Final = 2  # files in memory; threads that read images in order are in one or two

_Part = tuple[NDArray[np.uint8], NDArray[np.float32]]


class FeatureCache:
    """Cache of rows of features on disk, with a hash of what they are computed from as the key.

    Parameters
    ----------
    folder : Path
        Folder of the files. It is made when the first file is written.

    Notes
    -----
    The files hold numpy arrays without pickle. Each is written whole or not at all, under a name of
    its own, so that several processes may share a folder. In memory are the keys, some 200 bytes
    for each row, and two files. A damaged file is ignored with a warning, and its features are
    computed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = sorted(folder.glob("part-*.npz"))
        self._places: dict[bytes, int] = {}
        self._new: dict[bytes, NDArray[np.float32]] = {}
        self._open: dict[int, NDArray[np.float32]] = {}
        self._lock = Lock()
        for number, path in enumerate(self._paths):
            keys = _read_sound(path, _read_keys)
            self._remember(number, [] if keys is None else [key.tobytes() for key in keys])

    def __len__(self) -> int:
        return len(self._places) + len(self._new)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        # It does not travel to other processes: they compute without a cache.
        return _nothing, ()

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the features of an image, if they are in the cache.

        Parameters
        ----------
        key : bytes
            Key of the image, of 16 bytes.

        Returns
        -------
        features : ndarray of shape (n_features,) or None
            Features of the image; None if they are not in the cache.
        """
        with self._lock:
            if key in self._new or key not in self._places:
                return self._new.get(key)
            number, row = divmod(self._places[key], _PART)
            if number not in self._open:
                self._read(number)
            return self._open[number][row] if key in self._places else None

    def put(self, key: bytes, features: NDArray[np.float32]) -> None:
        """Add the features of an image to the cache.

        Parameters
        ----------
        key : bytes
            Key of the image, of 16 bytes.
        features : ndarray of shape (n_features,)
            Features of the image to keep.
        """
        with self._lock:
            if key not in self._places:
                self._new[key] = features
            if len(self._new) >= min(_PART, max(1, _PART_BYTES // features.nbytes)):
                self._write()

    def flush(self) -> None:
        """Write the new features to a new file."""
        with self._lock:
            if self._new:
                self._write()

    def _remember(self, number: int, keys: list[bytes]) -> None:
        self._places.update((key, number * _PART + row) for row, key in enumerate(keys))

    def _read(self, number: int) -> None:
        """Read a file, or forget what it should hold."""
        part = _read_sound(self._paths[number], _read_part)
        if part is None:
            places = self._places.items()
            self._places = {key: place for key, place in places if place // _PART != number}
            return
        while len(self._open) >= _N_OPEN:
            del self._open[next(iter(self._open))]
        self._open[number] = part[1]

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = np.stack([np.frombuffer(key, np.uint8) for key in self._new])
        values = np.stack(list(self._new.values()))
        path = self._folder / f"part-{blake2b(keys.tobytes(), digest_size=8).hexdigest()}.npz"
        with open_whole(path) as file:
            np.savez(file, keys=keys, values=values)
        self._remember(len(self._paths), list(self._new))
        self._paths.append(path)
        self._new = {}


def open_cache(folder: str | Path | None, name: str, made_by: object) -> FeatureCache | None:
    """Open the cache of the features that are computed in one way, which its `repr` says."""
    if folder is None:
        return None
    way = blake2b(repr((__version__, made_by)).encode(), digest_size=8).hexdigest()
    return FeatureCache(Path(folder) / f"{name}-{way}")


def _nothing() -> None:
    """Stand for a cache in another process."""


def _read_sound(path: Path, read: Callable[[Any], Any]) -> Any:
    """Read a file of the cache; return None and warn if it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            return read(part)
    except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        warnings.warn(
            f"The kept features in {path} are damaged ({error}) and are computed again. Delete the "
            "file to avoid this warning.",
            stacklevel=3,
        )
    return None


def _read_keys(part: Any) -> NDArray[np.uint8]:
    keys: NDArray[np.uint8] = part["keys"]
    if keys.dtype != np.uint8 or keys.shape[1:] != (KEY_BYTES,) or len(keys) > _PART:
        raise ValueError(f"keys of shape {keys.shape}")
    return keys


def _read_part(part: Any) -> _Part:
    keys, values = _read_keys(part), part["values"]
    if values.ndim != 2 or len(values) != len(keys):
        raise ValueError(f"keys of shape {keys.shape}, features of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("features that are not finite")
    return keys, values
