"""Find images and their labels in folders and CSV manifests."""

from __future__ import annotations

import csv
import io
import os
import reprlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.utils import Bunch

from detectorkit.images.image_files import PassedOver, search_images
from detectorkit.utils.files import read_regular
from detectorkit.utils.names import as_names

__all__ = ["load_images"]

_LABELS: Final = {"0": 0, "real": 0, "1": 1, "generated": 1}
_MAX_BYTES: Final = 2**30  # of a manifest: some ten million rows
_SHOWN: Final = 200  # characters of a cell in an error message
_CURE: Final = "Save the table as a CSV file with commas, in UTF-8."


def load_images(data: str | os.PathLike[str]) -> Bunch:
    """List the images of a folder or a CSV manifest with their labels.

    Images are not opened: the paths can be passed to detectors as X.

    Parameters
    ----------
    data : str or Path
        Folder with ``real/`` and ``generated/<generator>/`` in it; the folders in ``real/``
        name the sources, and deeper folders are searched too. Or a manifest: a CSV file in UTF-8
        with the columns ``path`` (relative to the file) and ``label`` (0, 1, "real" or
        "generated"), and any other columns.

    Returns
    -------
    data : Bunch
        Paths with their labels and further columns, in these entries.

        data : list of str
            Paths of the images.
        target : ndarray of shape (n_samples,)
            Labels: 0 for real photographs, 1 for generated images.
        target_names : list of str
            Names of the labels: "real" and "generated".
        metadata : dict of str to ndarray of shape (n_samples,)
            Further columns, as Python strings. A folder has "generator" (empty for photographs) and
            "source" (empty for generated images).
        origin : ndarray of shape (n_samples,)
            Origin of each image: its "generator" or, if that is empty, its "source" or, if that
            is empty too, "photographs" or "generated".
        passed_over : PassedOver
            What the search of a folder passed over: ``unread`` folders and ``others``, which are
            not images.

    Raises
    ------
    FileNotFoundError
        If `data` does not exist.
    OSError
        If the manifest cannot be read, is not a regular file, or is larger than 1 GiB.
    ValueError
        If there are no images, a row of the manifest lacks a path or a valid label, a column is
        there twice, or the file is not a CSV file in UTF-8.

    Warns
    -----
    UserWarning
        If a folder, or a file without a suffix, cannot be read, or a folder of images is neither
        real/ nor generated/.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from detectorkit.datasets import load_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("real/a.png", "generated/sdxl/b.png"):
    ...         (Path(folder) / name).parent.mkdir(parents=True)
    ...         _ = (Path(folder) / name).write_bytes(b"...")
    ...     found = load_images(folder)
    >>> found.target, found.metadata["generator"].tolist()
    (array([0, 1]), ['', 'sdxl'])
    """
    place = Path(data)
    if not place.exists():
        raise FileNotFoundError(
            f"load_images: there is no folder or CSV file {place}. Check the path."
        )
    return _from_folder(place) if place.is_dir() else _from_manifest(place)


def _from_folder(folder: Path) -> Bunch:
    paths: list[str] = []
    target: list[int] = []
    metadata: dict[str, list[str]] = {"generator": [], "source": []}
    passed_over = PassedOver()
    for label, (name, column) in enumerate((("real", "source"), ("generated", "generator"))):
        for path in search_images(folder / name, passed_over):
            below = path.relative_to(folder / name).parts
            paths.append(str(path))
            target.append(label)
            for key, values in metadata.items():
                values.append(below[0] if key == column and len(below) > 1 else "")
    passed_over.unlabelled = _find_unlabelled(folder)
    if not paths:
        raise ValueError(
            f"load_images: {folder} has no images in real/ and generated/<generator>/. Sort the "
            "images into these folders, or pass a CSV manifest with the columns path and label. "
            f"{passed_over}".rstrip()
        )
    passed_over.warn("load_images")
    return _bunch(paths, target, metadata, passed_over)


def _find_unlabelled(folder: Path) -> list[str]:
    """Name the folders of images beside real/ and generated/, such as fake/."""
    labelled = [place for place in (folder / "real", folder / "generated") if place.exists()]
    _, names, _ = next(os.walk(folder), ("", [], []))
    unlabelled = []
    for place in (folder / name for name in sorted(names)):
        # Not by name, as some file systems do not distinguish capitals.
        if not any(place.samefile(known) for known in labelled):
            n_images = len(search_images(place, PassedOver()))
            unlabelled += [f"{place.name}/ (images: {n_images})"] if n_images else []
    return unlabelled


def _from_manifest(manifest: Path) -> Bunch:
    content = read_regular(manifest, _MAX_BYTES)
    try:
        return _read_table(manifest, content)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"load_images: {manifest} is not text in UTF-8: it has the byte "
            f"0x{error.object[error.start]:02x}. {_CURE}"
        ) from error


def _read_table(manifest: Path, content: bytes) -> Bunch:
    rows = _iter_rows(manifest, content)
    _, columns = next(rows, (1, []))
    if not {"path", "label"} <= set(columns):
        raise ValueError(
            f"load_images: {manifest} has the columns {reprlib.repr(columns)}, but a manifest "
            f"needs the columns path and label. {_CURE}"
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(
            f"load_images: {manifest} has the columns {reprlib.repr(twice)} more than once. Rename "
            "or remove one of each."
        )
    table: list[list[str]] = [[] for _ in columns]
    found = dict(zip(columns, table, strict=True))
    path_at, label_at = columns.index("path"), columns.index("label")
    target = []
    for number, found_cells in rows:
        row = found_cells + [""] * (len(columns) - len(found_cells))
        path, label = row[path_at], _LABELS.get(row[label_at].strip().lower())
        if label is None or not path or "\0" in path:
            raise ValueError(
                f"load_images: {manifest}, line {number}, has the path {_cut(path)} and the "
                f"label {_cut(row[label_at])}. A row needs the path of a file and a label 0, "
                "1, real or generated."
            )
        target.append(label)
        for cells, cell in zip(table, row, strict=False):
            cells.append(cell)
    if not target:
        raise ValueError(f"load_images: {manifest} has no rows. List at least one image.")
    paths = [str(manifest.parent / path) for path in found.pop("path")]
    del found["label"]
    return _bunch(paths, target, found, PassedOver())


def _iter_rows(manifest: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its first line."""
    reader = csv.reader(_open_text(content))
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            column = _find_long_cell(content, first, reader.line_num)
            raise ValueError(
                f"load_images: {manifest}, line {first}: the cell in column {column} cannot be "
                f"read: {error}. Shorten it, or close its quotation mark."
            ) from error
        if row:
            yield first, row


def _find_long_cell(content: bytes, first: int, last: int) -> int:
    """Return the number of the column at which the csv module gave up, in a row of some lines."""
    lines = list(islice(_open_text(content), first - 1, last))
    limit = csv.field_size_limit(sum(map(len, lines)))
    try:
        row = next(csv.reader(lines))
    finally:
        csv.field_size_limit(limit)
    return next((n for n, cell in enumerate(row, start=1) if len(cell) > limit), len(row))


def _cut(text: str) -> str:
    """Quote a cell for an error message, which must not be as long as a hostile cell."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def _open_text(content: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")


def _bunch(
    paths: list[str],
    target: list[int],
    metadata: dict[str, list[str]],
    passed_over: PassedOver,
) -> Bunch:
    labels = np.array(target, dtype=np.int64)
    columns = {name: as_names(values) for name, values in metadata.items()}
    origin = as_names(["photographs", "generated"])[labels]
    for name in ("source", "generator"):
        if name in columns:
            origin = np.where(columns[name] == "", origin, columns[name])
    return Bunch(
        data=paths,
        target=labels,
        target_names=["real", "generated"],
        metadata=columns,
        origin=origin,
        passed_over=passed_over,
    )
