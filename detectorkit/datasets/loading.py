"""Find images and their labels: folders and CSV manifests."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from detectorkit.images.image_files import find_images

__all__ = ["load_images"]

_LABELS = {"0": 0, "real": 0, "1": 1, "generated": 1}


def load_images(data: str | os.PathLike[str]) -> Bunch:
    """List the images of a folder or a CSV manifest with their labels.

    No image is opened: a list of paths is what detectors take.

    Parameters
    ----------
    data : str or Path
        A folder with ``real/`` and ``generated/<generator>/`` in it; folders below ``real/``
        are names of sources, and deeper ones are searched. Or a CSV file with the columns
        ``path`` (relative to the file) and ``label`` (0, 1, "real" or "generated"), and
        any others.

    Returns
    -------
    data : Bunch
        Paths and what is known of each, with these entries.

        data : list of str
            Paths of the images.
        target : ndarray of shape (n_samples,)
            0 for real, 1 for generated.
        target_names : list of str
            "real" and "generated".
        metadata : dict of str to ndarray of shape (n_samples,)
            Further columns as text: of a folder "generator" (empty for photographs) and
            "source" (empty for generated images).
        origin : ndarray of shape (n_samples,)
            Where each image comes from: its "generator", or its "source" where that is empty,
            or "photographs" or "generated" where both are.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `data`.
    ValueError
        If there are no images, or a row of the manifest makes no sense.

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
        raise FileNotFoundError(f"There is no folder or CSV file {place}.")
    return _from_folder(place) if place.is_dir() else _from_manifest(place)


def _from_folder(folder: Path) -> Bunch:
    paths: list[str] = []
    target: list[int] = []
    metadata: dict[str, list[str]] = {"generator": [], "source": []}
    for label, (name, column) in enumerate((("real", "source"), ("generated", "generator"))):
        for path in find_images(folder / name):
            below = path.relative_to(folder / name).parts
            paths.append(str(path))
            target.append(label)
            for key, values in metadata.items():
                values.append(below[0] if key == column and len(below) > 1 else "")
    if not paths:
        raise ValueError(
            f"{folder} has no images in real/ and generated/<generator>/. Arrange them so, or "
            "pass a CSV manifest with the columns path and label."
        )
    return _bunch(paths, target, metadata)


def _from_manifest(manifest: Path) -> Bunch:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        if not {"path", "label"} <= set(columns):
            raise ValueError(
                f"{manifest} has the columns {columns}; a manifest needs path and label."
            )
        rows = list(reader)
    if not rows:
        raise ValueError(f"{manifest} has no rows; list at least one image.")
    target = []
    for number, row in enumerate(rows, start=2):
        label = _LABELS.get((row["label"] or "").strip().lower())
        if label is None or not row["path"]:
            raise ValueError(
                f"{manifest}, line {number}: path {row['path']!r}, label {row['label']!r}. "
                "A row needs a path and a label 0, 1, real or generated."
            )
        target.append(label)
    paths = [str(manifest.parent / row["path"]) for row in rows]
    others = [column for column in columns if column not in {"path", "label"}]
    return _bunch(paths, target, {name: [row[name] or "" for row in rows] for name in others})


def _bunch(paths: list[str], target: list[int], metadata: dict[str, list[str]]) -> Bunch:
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
    )
