"""The rows of a scan as a table: CSV, JSON lines or Parquet, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from detectorkit.scan.judging import ScanRow
from detectorkit.utils.extras import require_extra
from detectorkit.utils.files import open_whole
from detectorkit.utils.json import dumps

__all__ = ["check_table", "write_table"]

_GROUP: Final = 10_000  # rows that are in memory at a time


def check_table(path: Path) -> None:
    """Check that a table of the suffix of a path can be written, before the long work starts."""
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise ValueError(f"scan: the output {path} has none of the suffixes {known}.")
    if path.suffix.lower() == ".parquet":
        require_extra("scan", "pyarrow", caller=f"scan: the output {path}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"scan: the folder {path.parent} for {path.name} does not exist. Make it first."
        )


def write_table(path: Path, rows: Iterable[ScanRow]) -> None:
    """Write the rows, in the form that the suffix of the path says."""
    with open_whole(path) as file:
        _WRITERS[path.suffix.lower()](file, iter(rows))


def _write_csv(file: BinaryIO, rows: Iterator[ScanRow]) -> None:
    # A name that is not UTF-8 is written with escapes.
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
    table = csv.writer(text)
    table.writerow(ScanRow._fields)
    table.writerows(rows)
    text.flush()
    text.detach()


def _write_lines(file: BinaryIO, rows: Iterator[ScanRow]) -> None:
    file.writelines(f"{dumps(row)}\n".encode("ascii") for row in rows)


def _write_parquet(file: BinaryIO, rows: Iterator[ScanRow]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"size": pa.int64()} | dict.fromkeys(("score", "probability", "seconds"), pa.float64())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in ScanRow._fields])
    with parquet.ParquetWriter(file, schema) as writer:
        while group := [row._replace(path=_as_utf8(row.path)) for row in islice(rows, _GROUP)]:
            columns = dict(zip(ScanRow._fields, zip(*group, strict=True), strict=True))
            writer.write_table(pa.table(columns, schema))


def _as_utf8(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


_WRITERS: Final[dict[str, Callable[[BinaryIO, Iterator[ScanRow]], None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_lines,
}
