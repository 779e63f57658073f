"""Find images and their labels in folders and CSV manifests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from detectorkit.datasets.ledger import COLUMNS, find_ledger_rows, group_images
from detectorkit.datasets.manifest import read_manifest
from detectorkit.images.image_files import PassedOver, search_images
from detectorkit.utils.names import as_names

__all__ = ["list_photographs", "load_images"]


def load_images(data: str | os.PathLike[str]) -> Bunch:
    """List the images of a folder or a CSV manifest with their labels.

    Images are not opened: the paths can be passed to detectors as X.

    Parameters
    ----------
    data : str or Path
        Folder with ``real/`` and ``generated/<generator>/`` in it; the folders in ``real/``
        name the sources, and deeper folders are searched too. Or a manifest: a CSV file in UTF-8
        with the columns ``path`` (relative to the file) and ``label`` (0, 1, "real" or
        "generated"), and any other columns. A ``ledger.csv`` (see `Ledger`) is a manifest too;
        where a folder has one, its columns are added to ``metadata``.

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
        groups : ndarray of shape (n_samples,)
            Number of the group of each image, for ``groups=``. Images of one "subject", with one
            "seed" and "base_model" (or else "generator"), or with one of the "instance" pictures
            in common are in one group; so is a photograph whose "sha256" is that of an instance
            picture. Without these columns, each image has a group of its own.
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
    if place.is_dir():
        return _from_folder(place)
    target, columns = read_manifest(place)
    paths = [str(place.parent / path) for path in columns.pop("path")]
    del columns["label"]
    return _bunch(paths, target, columns, PassedOver())


def list_photographs(folder: Path) -> Bunch:
    """List all images of a folder without real/ and generated/ as photographs."""
    passed_over = PassedOver()
    paths = [str(path) for path in search_images(folder, passed_over)]
    if not paths:
        raise ValueError(f"there are no images in {folder}. {passed_over}".rstrip())
    empty = [""] * len(paths)
    return _bunch(paths, [0] * len(paths), {"generator": empty, "source": empty}, passed_over)


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
    _add_ledgers(folder, paths, metadata, passed_over)
    return _bunch(paths, target, metadata, passed_over)


def _find_unlabelled(folder: Path) -> list[str]:
    """Name the folders of images beside real/ and generated/, such as fake/."""
    labelled = [place for place in (folder / "real", folder / "generated") if place.exists()]
    _, names, _ = next(os.walk(folder), ("", [], []))
    unlabelled = []
    for place in (folder / name for name in sorted(names) if not name.startswith(".")):
        # Not by name, as some file systems do not distinguish capitals.
        if not any(place.samefile(known) for known in labelled):
            n_images = len(search_images(place, PassedOver()))
            unlabelled += [f"{place.name}/ (images: {n_images})"] if n_images else []
    return unlabelled


def _add_ledgers(
    folder: Path, paths: list[str], metadata: dict[str, list[str]], passed_over: PassedOver
) -> None:
    """Add the columns of the ledgers that lie beside the images or above them."""
    rows = find_ledger_rows(folder, paths, passed_over)
    for name in COLUMNS if rows else ():
        if name not in ("path", "label", *metadata):
            metadata[name] = [rows.get(path, {}).get(name, "") for path in paths]


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
        groups=group_images(columns, len(paths)),
        passed_over=passed_over,
    )
