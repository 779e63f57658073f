"""Treat all images alike, so that their files do not tell photographs from generated images."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from detectorkit.datasets.manifest import format_manifest
from detectorkit.exceptions import ImageReadError
from detectorkit.images.batches import iter_slices
from detectorkit.images.decoding import load_image
from detectorkit.images.treatment import Treatment
from detectorkit.utils.files import check_new_folder, fill_whole_folder, hash_file
from detectorkit.utils.labels import check_labels
from detectorkit.utils.names import as_names
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import track

__all__ = ["TREATMENTS", "align", "align_image"]

TREATMENTS: Final = ("as-found", "aligned", "crop")
"""Treatments of an image before it is measured; see `align_image`."""

_CHUNK = 32  # files that a thread treats at a time
_LONGEST_NAME = 60  # characters in the name of a folder; file systems allow 255 bytes


def align_image(
    image: NDArray[np.uint8],
    treatment: Literal["as-found", "aligned", "crop"] = "aligned",
    *,
    side: int = 160,
    quality: int = 85,
    random_state: int | np.random.RandomState | None = None,
) -> NDArray[np.uint8]:
    """Treat one image as all images of a data set are to be treated.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB image, as `load_image` returns it.
    treatment : {"as-found", "aligned", "crop"}, default="aligned"
        Treatment of the image. "aligned" takes the centre square, resizes it once to `side` by
        averaging over areas, and compresses it once as JPEG with 4:2:0. "crop" takes `side` x
        `side` pixels at native resolution and compresses them in the same way: this keeps the
        fine traces that resizing destroys. "as-found" changes nothing.
    side : int, default=160
        Height and width of the treated image, in pixels.
    quality : int, default=85
        JPEG quality, from 1 to 100.
    random_state : int, RandomState instance or None, default=None
        Where "crop" cuts: None takes the centre, as for measuring; anything else draws a place,
        as for training.

    Returns
    -------
    aligned : ndarray of shape (side, side, 3), dtype uint8
        Treated image, decoded from its JPEG data. "as-found" returns `image` itself.

    Raises
    ------
    ValueError
        If `treatment`, `side` or `quality` is not allowed, or the image is too small to crop.

    Notes
    -----
    "aligned" enlarges an image that is smaller than `side` linearly. That leaves traces of its
    own, so choose a `side` that is not larger than the smallest image.

    References
    ----------
    .. [1] Grommelt, P., Weiss, L., Pfreundt, F.-J. and Keuper, J. (2024). Fake or JPEG?
       Revealing common biases in generated image detection datasets.
       :doi:`10.48550/arXiv.2403.17608`

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.datasets.aligning import align_image
    >>> align_image(np.zeros((200, 300, 3), np.uint8)).shape
    (160, 160, 3)
    """
    _check_treatment("align_image", treatment, TREATMENTS)
    if treatment == "as-found":
        return image
    chosen = Treatment(treatment, side, quality)
    _check_size("align_image", image, chosen)
    if treatment == "crop" and random_state is not None:
        random = check_random_state(random_state)
        row, col = (random.randint(length - side + 1) for length in image.shape[:2])
        image = image[row : row + side, col : col + side]
    return chosen.apply(image)


def align(
    paths: Sequence[str | os.PathLike[str]],
    y: Any,
    output: str | os.PathLike[str],
    *,
    treatment: Literal["aligned", "crop"] = "aligned",
    side: int = 160,
    quality: int = 85,
    metadata: Mapping[str, Any] | None = None,
    skip_unreadable: bool = False,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> list[ImageReadError]:
    """Write a copy of a data set in which all images are treated alike.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of the image files.
    y : array-like of shape (n_samples,)
        0 for real, 1 for generated.
    output : str or Path
        Folder to write, which must be new or empty. It appears when it is complete.
    treatment : {"aligned", "crop"}, default="aligned"
        Treatment of the images, as in `align_image`; crops are taken from the centre.
    side : int, default=160
        Height and width of the copies, in pixels.
    quality : int, default=85
        JPEG quality, from 1 to 100.
    metadata : dict of str to array-like of shape (n_samples,), default=None
        Further columns for the manifest, such as ``load_images(...).metadata``. An image goes to
        a folder named by its "generator" or, if that is empty, by its "source".
    skip_unreadable : bool, default=False
        Whether to leave out files that cannot be decoded instead of raising an error.
    n_jobs : int, default=None
        Number of threads; -1 means all processors. The copy does not depend on it.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    failures : list of ImageReadError
        Errors of the files that were left out.

    Raises
    ------
    FileExistsError
        If `output` is a file or a folder that is not empty.
    FileNotFoundError
        If the parent folder of `output` does not exist.
    ImageReadError
        If a file cannot be decoded and `skip_unreadable` is False; nothing is written then.
    ValueError
        If a parameter is not allowed, an image is too small to crop, or no image can be read.

    Notes
    -----
    The folder has ``real/<origin>/000001.jpg``, ``generated/<generator>/000002.jpg`` and so on,
    with numbers for names, and a ``manifest.csv``; `load_images` reads either. The manifest has
    the columns path, label, all of `metadata`, original_path and processing. Columns of
    `metadata` named width, height, format, bytes and sha256 are replaced by the values of the copy.
    The SHA-256 of the original file is added to a column named instance.
    The text of a column "processing" is kept, and the treatment is added to it: earlier processing
    of a file leaves traces too. Before a text that begins with "=", "+", "-" or "@" it has an
    apostrophe, since spreadsheets run such texts as formulas.

    Each copy is compressed once: the file holds the data that were encoded from the treated pixels.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from detectorkit.datasets import load_images
    >>> from detectorkit.datasets.aligning import align
    >>> from detectorkit.images.encoding import encode_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("real/a.png", "generated/sdxl/b.png"):
    ...         (Path(folder) / name).parent.mkdir(parents=True)
    ...         data = encode_image(np.zeros((300, 200, 3), np.uint8))
    ...         _ = (Path(folder) / name).write_bytes(data)
    ...     found = load_images(folder)
    ...     copy = Path(folder) / "copy"
    ...     failures = align(found.data, found.target, copy, metadata=found.metadata)
    ...     names = [Path(path).relative_to(copy).as_posix() for path in load_images(copy).data]
    >>> names
    ['real/photographs/000001.jpg', 'generated/sdxl/000002.jpg']
    """
    _check_treatment("align", treatment, TREATMENTS[1:])
    chosen = Treatment(treatment, side, quality)
    columns = {name: as_names(values) for name, values in (metadata or {}).items()}
    check_consistent_length(paths, y, *columns.values())
    labels = check_labels("align", y)
    rows = [
        _Row(number, str(path), int(label), {name: str(v[number]) for name, v in columns.items()})
        for number, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]
    check_new_folder("align", Path(output))
    with fill_whole_folder(Path(output)) as folder:
        copier = _Copier(chosen, skip_unreadable=skip_unreadable)
        copies, failures = [], []
        # Only this thread writes, so that none is still at it when the folder must vanish.
        for row, data in zip(rows, _encode_all(copier, rows, n_jobs, show=verbose), strict=True):
            if isinstance(data, ImageReadError):
                failures.append(data)
            else:
                copies.append(copier.describe(row, data))
                _write(folder / copies[-1]["path"], data)
        if not copies:
            raise ValueError(f"align: none of the {len(rows)} images could be read.")
        _write_manifest(folder / "manifest.csv", copies, [*columns])
    return failures


def _check_treatment(caller: str, treatment: str, treatments: Sequence[str]) -> None:
    if treatment not in treatments:
        raise ValueError(f"{caller}: treatment={treatment!r} must be one of {list(treatments)}.")


def _check_size(caller: str, image: NDArray[np.uint8], treatment: Treatment) -> None:
    height, width = image.shape[:2]
    if treatment.kind == "crop" and min(height, width) < treatment.side:
        raise ValueError(
            f"{caller}: a crop with side={treatment.side} does not fit into {height} x {width} "
            'pixels. Pass a smaller side, or treatment="aligned".'
        )


class _Row(NamedTuple):
    """One file of the original data set, and its columns of the manifest."""

    number: int
    path: str
    label: int
    metadata: dict[str, str]


class _Copier:
    """Make treated copies of files, and the rows of the manifest that describe them."""

    def __init__(self, treatment: Treatment, *, skip_unreadable: bool) -> None:
        self.treatment = treatment
        self.skip_unreadable = skip_unreadable

    def encode(self, rows: Sequence[_Row]) -> list[bytes | ImageReadError]:
        """Return the content of the copy of each file, or the error that prevented it."""
        results: list[bytes | ImageReadError] = []
        for row in rows:
            try:
                image = load_image(row.path, index=row.number)
                _check_size(f"align: {row.path}", image, self.treatment)
                results.append(self.treatment.encode(image))
            except ImageReadError as error:
                if not self.skip_unreadable:
                    raise
                results.append(ImageReadError(row.path, error.reason))
        return results

    def describe(self, row: _Row, data: bytes) -> dict[str, Any]:
        """Return the row of the manifest for a copy."""
        kind, unknown = (("real", "photographs"), ("generated", "generated"))[row.label]
        origin = row.metadata.get("generator") or row.metadata.get("source") or unknown
        history = [row.metadata.get("processing", ""), self.treatment.describe()]
        current = {
            "width": self.treatment.side,
            "height": self.treatment.side,
            "format": "JPEG",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        if "instance" in row.metadata:  # the copy is linked to what was made from the original
            original = hash_file(row.path)
            current["instance"] = f"{row.metadata['instance']} {original}".strip()
        return {
            **row.metadata,
            **{name: value for name, value in current.items() if name in row.metadata},
            "path": f"{kind}/{_safe_name(origin) or unknown}/{row.number + 1:06}.jpg",
            "label": row.label,
            "original_path": row.path,
            "processing": "; ".join(filter(None, history)),
        }


def _safe_name(name: str) -> str:
    """Turn a text of a manifest, which may be "../x", into a safe name of a folder."""
    return re.sub(r"[^\w.-]+", "_", name)[:_LONGEST_NAME].strip("._")


def _encode_all(
    copier: _Copier, rows: Sequence[_Row], n_jobs: int | None, *, show: bool
) -> Iterator[bytes | ImageReadError]:
    chunks = (rows[part] for part in iter_slices(len(rows), _CHUNK))
    parts = map_in_order(copier.encode, chunks, n_jobs=n_jobs)
    for part in track("Aligning", parts, len(rows), show=show):
        yield from part


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_manifest(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    names = dict.fromkeys(["path", "label", *columns, "original_path", "processing"])
    path.write_bytes(format_manifest(rows, list(names)))
