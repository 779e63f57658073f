"""A ledger of generated images: which model made each, from what, and with which settings."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.datasets.manifest import (
    escape_formula,
    format_manifest,
    read_manifest,
    unescape_formula,
)
from detectorkit.images.image_files import PassedOver
from detectorkit.model_selection._groups import EMPTY
from detectorkit.model_selection.split import connect_images
from detectorkit.utils.files import write_whole
from detectorkit.utils.json import dumps

__all__ = [
    "LEDGER_NAME",
    "Ledger",
    "LedgerRow",
    "find_ledger_rows",
    "group_images",
    "list_links",
    "read_ledger",
]

LEDGER_NAME: Final = "ledger.csv"
"""Name of the ledger in the folder of its images."""


@dataclass(frozen=True)
class LedgerRow:
    """One generated image: how it was made, for a ledger. None and empty mean "not known".

    Attributes
    ----------
    path : str
        Path of the image file, relative to the ledger.
    generator : str
        Name of the generator, such as "dreambooth".
    label : int, default=1
        Label of the image: 1 for a generated image, 0 for a real photograph.
    family : str, default=""
        Family of related generators, such as "stable-diffusion-1".
    source : str, default=""
        Who or what made the image, such as a repository.
    subject : str, default=""
        Person or thing that the image shows.
    seed : int or None, default=None
        Seed of the noise that the image was made from.
    instance : tuple of str, default=()
        SHA-256 of the pictures that the image, or its generator's adapter, was made from.
    prompt, negative_prompt : str, default=""
        Texts that the image was made after.
    guidance_scale : float or None, default=None
        Strength of the guidance by the prompt.
    num_inference_steps : int or None, default=None
        Number of denoising steps.
    scheduler : str, default=""
        Name of the noise scheduler.
    width, height : int or None, default=None
        Size of the image, in pixels.
    base_model, base_revision : str, default=""
        Name and revision of the pretrained generator.
    adapter : str, default=""
        SHA-256 of the file of the adapter.
    sha256 : str, default=""
        SHA-256 of the image file.
    libraries : dict of str to str
        Versions of the libraries that made the image.
    """

    path: str
    generator: str
    label: int = 1
    family: str = ""
    source: str = ""
    subject: str = ""
    seed: int | None = None
    instance: tuple[str, ...] = ()
    prompt: str = ""
    negative_prompt: str = ""
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    scheduler: str = ""
    width: int | None = None
    height: int | None = None
    base_model: str = ""
    base_revision: str = ""
    adapter: str = ""
    sha256: str = ""
    libraries: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LedgerRow:
        """Make a row from values by column; texts are read as the cells of a ledger.

        Parameters
        ----------
        values : dict of str to object
            Values by the name of their column.

        Returns
        -------
        row : LedgerRow
            The row.

        Raises
        ------
        ValueError
            If a column is unknown or missing, or a value cannot be read.
        """
        unknown = [name for name in values if name not in COLUMNS]
        if unknown or not {"path", "generator"} <= set(values):
            raise ValueError(
                f"LedgerRow: the row has the columns {list(values)}. It needs path and generator, "
                f"and may have no others than {list(COLUMNS)}."
            )
        return cls(**{name: _parse(name, value) for name, value in values.items()})

    def to_cells(self) -> dict[str, str]:
        """Convert the row to the texts of its cells.

        Returns
        -------
        cells : dict of str to str
            Text of each column, empty if the value is not known.
        """
        return {name: _format(getattr(self, name)) for name in COLUMNS}


COLUMNS: Final = tuple(
    sorted(
        (one.name for one in fields(LedgerRow)),
        key=lambda name: {"path": 0, "label": 1}.get(name, 2),
    )
)
_INTEGERS: Final = ("label", "seed", "num_inference_steps", "width", "height")


class Ledger:
    """The ledger of a folder of generated images, a manifest that `load_images` reads.

    Parameters
    ----------
    folder : str or Path
        Folder of the images. It is made if it does not exist.

    Attributes
    ----------
    path : Path
        Path of the ledger: ``ledger.csv`` in the folder.

    See Also
    --------
    read_ledger : Read the rows.
    load_images : Read the images, with groups that keep what belongs together in one part.

    Notes
    -----
    The file is written whole or not at all, and rows that are there are kept, so that a run that
    was killed can go on. Only one process at a time may add rows to a ledger.

    Before a text that begins with "=", "+", "-" or "@" the file has an apostrophe, since
    spreadsheets run such texts as formulas. `read_ledger` removes it.

    Examples
    --------
    >>> import tempfile
    >>> from detectorkit.datasets import Ledger, LedgerRow, load_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger(folder)
    ...     ledger.append([LedgerRow("0.png", "lora", subject="a mug", seed=7)])
    ...     ledger.append([{"path": "1.png", "generator": "lora", "subject": "a mug", "seed": 8}])
    ...     found = load_images(ledger.path)
    >>> found.metadata["seed"].tolist(), found.groups.tolist()
    (['7', '8'], [0, 0])
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / LEDGER_NAME

    def append(self, rows: Iterable[LedgerRow | Mapping[str, Any]]) -> None:
        """Add a row for each of some images, all or none.

        Parameters
        ----------
        rows : iterable of LedgerRow or dict
            Rows of the images. A row whose path is in the ledger already is passed over, as after
            a run that was killed and repeats its last images.

        Raises
        ------
        OSError
            If the ledger cannot be written.
        ValueError
            If a row has unknown columns, its cells cannot be read again, or it says of an image in
            the ledger that its file is another one.
        """
        kept = {row.path: row for row in self.rows()}
        n_kept = len(kept)
        for given in rows:
            row = given if isinstance(given, LedgerRow) else LedgerRow.from_dict(given)
            _check(row)
            known = kept.setdefault(row.path, row)
            if known.sha256 and row.sha256 and known.sha256 != row.sha256:
                raise ValueError(
                    f"Ledger: {self.path} has the SHA-256 {known.sha256} for {row.path}, and the "
                    f"new row has {row.sha256}. Write the new image under another name."
                )
        if len(kept) > n_kept:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            cells = [row.to_cells() for row in kept.values()]
            write_whole(self.path, format_manifest(cells, COLUMNS))

    def rows(self) -> list[LedgerRow]:
        """Read the rows; there are none if the ledger has not been written.

        Returns
        -------
        rows : list of LedgerRow
            Rows in the order in which they were added.
        """
        return read_ledger(self.path) if self.path.exists() else []


def read_ledger(path: str | os.PathLike[str]) -> list[LedgerRow]:
    """Read the rows of a ledger.

    Parameters
    ----------
    path : str or Path
        A ledger, or the folder that it is in.

    Returns
    -------
    rows : list of LedgerRow
        Rows in the order of the file. Columns that are missing count as not known.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not a manifest, or has columns or cells that a ledger does not have.
    """
    place = Path(path)
    place = place / LEDGER_NAME if place.is_dir() else place
    columns = read_manifest(place)[1]
    rows = []
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        try:
            values = dict(zip(columns, map(unescape_formula, cells), strict=True))
            rows.append(LedgerRow.from_dict(values))
        except ValueError as error:
            raise ValueError(f"read_ledger: {place}, row {number}: {error}") from error
    return rows


def find_ledger_rows(
    folder: Path, paths: Sequence[str], passed_over: PassedOver
) -> dict[str, dict[str, str]]:
    """Read the cells of images from the ledgers beside or above them, at most from `folder`."""
    above = {place for path in paths for place in Path(path).parents}
    cells: dict[str, dict[str, str]] = {}
    for place in sorted(above):
        if (place == folder or folder in place.parents) and (place / LEDGER_NAME).is_file():
            rows = read_ledger(place)
            cells |= {os.path.normpath(place / row.path): row.to_cells() for row in rows}
            passed_over.others -= Counter([Path(LEDGER_NAME).suffix])
    return {path: cells[key] for path in paths if (key := os.path.normpath(path)) in cells}


def _parse(name: str, value: Any) -> Any:
    """Convert a value, perhaps the text of a cell, to the type of its column."""
    try:
        if name == "instance":
            return tuple(value.split()) if isinstance(value, str) else tuple(value)
        if name == "libraries":
            return json.loads(value or "{}") if isinstance(value, str) else dict(value)
        if name == "label":
            value = {"real": 0, "generated": 1}.get(str(value).strip().lower(), value)
        if name in _INTEGERS or name == "guidance_scale":
            text = _clean(value)
            if not text:
                return None
            # Table programs write a column of integers with empty cells as 7.0.
            return float(text) if name == "guidance_scale" else int(text.removesuffix(".0"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"LedgerRow: {name}={value!r} cannot be read: {error}") from error
    return "" if value is None else str(value)


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, dict):
        return dumps(dict(sorted(value.items()))) if value else ""
    return "" if value is None else str(value)


def _check(row: LedgerRow) -> None:
    """Check that a row can be read again."""
    if not row.path or Path(row.path).is_absolute() or "\0" in row.path:
        raise ValueError(
            f"Ledger: path={row.path!r} must be the path of an image, relative to the ledger."
        )
    if row.path.encode("utf-8", "ignore").decode() != row.path:
        raise ValueError(f"Ledger: path={row.path!r} is not text in UTF-8. Rename the file.")
    if escape_formula(row.path) != row.path:
        raise ValueError(f"Ledger: path={row.path!r} looks like a formula. Begin it with './'.")
    limit = csv.field_size_limit()
    for name, cell in row.to_cells().items():
        if len(cell) >= limit:
            raise ValueError(
                f"Ledger: {name} of {row.path} has {len(cell)} characters, of which a CSV file can "
                f"have {limit}. Shorten it; for many instance pictures, give one hash of them all."
            )


def list_links(metadata: Mapping[str, Iterable[str]], n: int) -> dict[str, list[tuple[str, ...]]]:
    """List what each image may share with others: its subject, its seed, its instance pictures.

    A photograph is linked to what was made from it: by the SHA-256 of its own file, or, for a
    copy, by that of the original file among its instance pictures.
    """
    empty = [""] * n
    columns = {
        name: [_clean(cell) for cell in metadata.get(name, empty)]
        for name in ("subject", "seed", "instance", "sha256", "base_model", "generator")
    }
    # The noise of a seed is the same for all that start from one base model.
    models = [a or b for a, b in zip(columns["base_model"], columns["generator"], strict=True)]
    seeds = [
        f"{seed.removesuffix('.0')} of {model}" if seed and model else ""
        for seed, model in zip(columns["seed"], models, strict=True)
    ]
    pictures = zip(columns["instance"], columns["sha256"], strict=True)
    return {
        "subject": [(subject,) if subject else () for subject in columns["subject"]],
        "seed": [(seed,) if seed else () for seed in seeds],
        "instance picture": [tuple(f"{a} {b}".lower().split()) for a, b in pictures],
    }


def group_images(metadata: Mapping[str, Iterable[str]], n: int) -> NDArray[np.int64]:
    """Assign one number to all images that share a subject, a seed or an instance picture."""
    number: dict[tuple[str, str], int] = {}
    image, group = [], []
    for kind, links in list_links(metadata, n).items():
        for i, values in enumerate(links):
            for value in values:
                image.append(i)
                group.append(number.setdefault((kind, value), len(number)))
    return connect_images(np.array(image, np.int64), np.array(group, np.int64), n)


def _clean(cell: Any) -> str:
    text = str(cell).strip()
    return "" if text in EMPTY else text
