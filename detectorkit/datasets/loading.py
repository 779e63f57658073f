"""Find images and their labels in folders and CSV manifests."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from detectorkit.images.image_files import PassedOver, search_images

__all__ = ["load_images"]

_LABELS = {"0": 0, "real": 0, "1": 1, "generated": 1}


def load_images(data: str | os.PathLike[str]) -> Bunch:
    """List the images of a folder or a CSV manifest with their labels.

    Images are not opened: the paths can be passed to detectors as X.

    Parameters
    ----------
    data : str or Path
        Folder with ``real/`` and ``generated/<generator>/`` in it; the folders in ``real/``
        name the sources, and deeper folders are searched too. Or a CSV file with the columns
        ``path`` (relative to the file) and ``label`` (0, 1, "real" or "generated"), and
        any other columns.

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
            Further columns, as text. A folder has "generator" (empty for photographs) and
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
    ValueError
        If there are no images, or a row of the manifest lacks a path or a valid label.

    Warns
    -----
    UserWarning
        If a folder, or a file without a suffix, cannot be read.

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
    if not paths:
        raise ValueError(
            f"load_images: {folder} has no images in real/ and generated/<generator>/. Sort the "
            "images into these folders, or pass a CSV manifest with the columns path and label. "
            f"{passed_over}".rstrip()
        )
    passed_over.warn("load_images")
    return _bunch(paths, target, metadata, passed_over)


def _from_manifest(manifest: Path) -> Bunch:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        if not {"path", "label"} <= set(columns):
            raise ValueError(
                f"load_images: {manifest} has the columns {columns}. Add the missing one: a "
                "manifest needs the columns path and label."
            )
        rows = list(reader)
    if not rows:
        raise ValueError(f"load_images: {manifest} has no rows. List at least one image.")
    target = []
    for number, row in enumerate(rows, start=2):
        label = _LABELS.get((row["label"] or "").strip().lower())
        if label is None or not row["path"]:
            raise ValueError(
                f"load_images: {manifest}, line {number}, has the path {row['path']!r} and the "
                f"label {row['label']!r}. A row needs a path and a label 0, 1, real or generated."
            )
        target.append(label)
    paths = [str(manifest.parent / row["path"]) for row in rows]
    others = [column for column in columns if column not in {"path", "label"}]
    metadata = {name: [row[name] or "" for row in rows] for name in others}
    return _bunch(paths, target, metadata, PassedOver())


def _bunch(
    paths: list[str],
    target: list[int],
    metadata: dict[str, list[str]],
    passed_over: PassedOver,
) -> Bunch:
    labels = np.array(target, dtype=np.int64)
    columns = {name: np.array(values, dtype=str) for name, values in metadata.items()}
    origin = np.array(["photographs", "generated"])[labels]
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
