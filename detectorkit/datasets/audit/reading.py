"""Read the files of a data set once, for all measurements of the audit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from detectorkit.datasets.aligning import align_image
from detectorkit.datasets.audit.file_facts import parse_file_facts
from detectorkit.images.batches import iter_slices
from detectorkit.images.decoding import decode_image, read_image_bytes
from detectorkit.images.preprocessing import convert_color, resize_image
from detectorkit.model_selection.duplicates import perceptual_hash
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import track

__all__ = ["FILE_DTYPE", "measure_sharpness", "read_audit_files"]

FILE_DTYPE: Final = np.dtype(
    [
        ("format", "U4"),
        ("height", np.int64),
        ("width", np.int64),
        ("n_bytes", np.int64),
        ("jpeg_quality", np.float64),
        ("standard_tables", np.bool_),
        ("subsampling", "U16"),
        ("progressive", np.bool_),
        ("has_profile", np.bool_),
        ("has_exif", np.bool_),
        ("sha256", "S64"),
        ("aspect", np.float64),
        ("bytes_per_pixel", np.float64),
        ("sharpness", np.float64),
        ("picture", np.bool_, (255,)),
    ]
)
"""Type of a row for one file: its `FileFacts`, sharpness and perceptual hash ("picture")."""

_CHUNK = 64  # files that a thread reads at a time; does not depend on n_jobs
_HASH_SIZE = (64, 64)  # height and width of the images that `perceptual_hash` takes


def read_audit_files(
    paths: Sequence[str | os.PathLike[str]], *, n_jobs: int | None = None, verbose: bool = False
) -> NDArray[np.void]:
    """Read the facts that the audit needs; each file is read and decoded once.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of the image files.
    n_jobs : int, default=None
        Number of threads; -1 means all processors. The result does not depend on it.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    files : ndarray of shape (n_samples,), dtype FILE_DTYPE
        Facts with one row for each file, for `judge_files`. Rows of several calls can be joined
        with ``numpy.concatenate``.

    Raises
    ------
    ImageReadError
        If a file cannot be decoded; it names the path and its index.

    Notes
    -----
    Hashes are computed from the decoded colours, so that each file is decoded only once. Those
    that `perceptual_hash` computes from the luma of a JPEG differ in one or two bits.
    """
    chunks = ((part.start, paths[part]) for part in iter_slices(len(paths), _CHUNK))
    parts = map_in_order(_read_chunk, chunks, n_jobs=n_jobs)
    empty = np.empty(0, FILE_DTYPE)
    return np.concatenate([empty, *track("Reading images", parts, len(paths), show=verbose)])


def _read_chunk(chunk: tuple[int, Sequence[str | os.PathLike[str]]]) -> NDArray[np.void]:
    start, paths = chunk
    files = np.empty(len(paths), FILE_DTYPE)
    small = np.empty((len(paths), *_HASH_SIZE), np.uint8)
    for row, path in enumerate(paths):
        data = read_image_bytes(path, start + row)
        facts = parse_file_facts(data, path=path, index=start + row)
        image = decode_image(data, path=path, index=start + row)
        for name, value in facts._asdict().items():
            files[name][row] = value
        files["aspect"][row] = facts.aspect
        files["bytes_per_pixel"][row] = facts.bytes_per_pixel
        files["sharpness"][row] = measure_sharpness(image)
        small[row] = resize_image(convert_color(image, "gray"), _HASH_SIZE)
    files["picture"] = perceptual_hash(small, n_jobs=1)
    return files


def measure_sharpness(image: NDArray[np.uint8]) -> float:
    """Measure how sharp an image is after the treatment "aligned".

    Notes
    -----
    The variance of the Laplacian is a focus measure of [1]_. It is taken after `align_image`, so
    that size and compression of the file do not count, and as a logarithm, because it spans several
    powers of ten. The Laplacian has the 3 x 3 kernel with the four direct neighbours. 1 is added
    because the variance of a flat image is 0.

    References
    ----------
    .. [1] Pech-Pacheco, J. L., Cristobal, G., Chamorro-Martinez, J. and Fernandez-Valdivia, J.
       (2000). Diatom autofocusing in brightfield microscopy: a comparative study. ICPR.
       :doi:`10.1109/ICPR.2000.903548`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.datasets.audit.reading import measure_sharpness
    >>> measure_sharpness(np.zeros((200, 200, 3), np.uint8))
    0.0
    """
    grey: Any = convert_color(align_image(image, "aligned"), "gray")
    return float(np.log1p(cv2.Laplacian(grey, cv2.CV_64F).var()))
