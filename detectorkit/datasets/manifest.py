"""CSV manifests of images: read them, and write them so that no spreadsheet runs a cell."""

from __future__ import annotations

import csv
import io
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from detectorkit.utils.files import read_regular

__all__ = ["escape_formula", "format_manifest", "read_manifest", "unescape_formula"]

_LABELS: Final = {"0": 0, "real": 0, "1": 1, "generated": 1}
_MAX_BYTES: Final = 2**30  # of a manifest: some ten million rows
_SHOWN: Final = 200  # characters of a cell in an error message
_CURE: Final = "Save the table as a CSV file with commas, in UTF-8."
# What a spreadsheet takes for a formula, perhaps after apostrophes, so that each can be undone.
_FORMULA: Final = re.compile(r"'*(?:[=+@\t\r]|-(?![\d.]))")


def read_manifest(manifest: Path) -> tuple[list[int], dict[str, list[str]]]:
    """Read the labels and the columns of a manifest, the columns path and label among them."""
    content = read_regular(manifest, _MAX_BYTES)
    try:
        return _read_table(manifest, content)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"load_images: {manifest} is not text in UTF-8: it has the byte "
            f"0x{error.object[error.start]:02x}. {_CURE}"
        ) from error


def _read_table(manifest: Path, content: bytes) -> tuple[list[int], dict[str, list[str]]]:
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
    return target, found


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


def format_manifest(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """Return rows as a CSV file, with an apostrophe before what looks like a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows({name: escape_formula(cell) for name, cell in row.items()} for row in rows)
    # Names of files that are not UTF-8 are escaped, so that the manifest can be read again.
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def escape_formula(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would take for a formula and run."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unescape_formula(cell: str) -> str:
    """Remove the apostrophe that `escape_formula` put before a text."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
