"""The journal of a scan: its rows so far, which survive a kill at any moment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

from detectorkit.scan.judging import ScanRow
from detectorkit.utils.json import dumps

__all__ = ["Journal"]

_N_DIGEST: Final = 12  # bytes; no two of any number of paths agree in as many
_CURE: Final = "To begin anew, use another output, or again=True."


class Journal:
    """A file of JSON lines: what the scan is of, then a row for each image.

    Parameters
    ----------
    path : Path
        Path of the journal. If it exists, the scan goes on where it was.
    about : mapping
        What must be the same to go on: the model, the threshold and the inputs.

    Attributes
    ----------
    counts : Counter
        Number of the rows by verdict; None counts the errors.
    n_kept : int
        Number of the rows that were in the journal when it was opened.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.counts: Counter[str | None] = Counter()
        self._claimed: set[bytes] = set()  # digests: some 100 bytes an image
        self._file = path.open("ab", buffering=0)
        try:
            _lock(self._file, path)
            end = self._read(about)
            self._file.truncate(end)  # without a torn last line
            if not end:
                self._write(f"{dumps(about)}\n")
        except BaseException:
            self._file.close()
            raise
        self.n_kept = self.counts.total()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def claim(self, path: str) -> bool:
        """Return whether an image is still to be scanned: not done, nor met in this walk."""
        digest = _digest(path)
        if digest in self._claimed:
            return False
        self._claimed.add(digest)
        return True

    def append(self, rows: Iterable[ScanRow]) -> None:
        """Write rows, so that they survive the end of this process."""
        rows = list(rows)
        self._write("".join(f"{dumps(row)}\n" for row in rows))
        self.counts.update(row.verdict for row in rows)

    def rows(self) -> Iterator[ScanRow]:
        """Read the rows in the order in which they were written."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield ScanRow(**json.loads(line))

    def remove(self) -> None:
        """Delete the journal, whose rows are elsewhere now."""
        self._file.close()
        self.path.unlink()

    def _read(self, about: Mapping[str, Any]) -> int:
        """Read what is there, and return where the last whole line ends."""
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if end:
                    self._keep(line)
                else:
                    self._check_same(line, about)
                end += len(line)
        return end

    def _keep(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            self._claimed.add(_digest(row["path"]))
            self.counts[row["verdict"]] += 1
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the journal {self.path} is damaged. {_CURE}") from error

    def _check_same(self, line: bytes, about: Mapping[str, Any]) -> None:
        try:
            found = dict(json.loads(line))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is not the journal of a scan. {_CURE}") from error
        other = [key for key, value in about.items() if found.get(key) != value]
        if other:
            raise ValueError(
                f"the journal {self.path} is of a scan with another {' and another '.join(other)}: "
                f"{', '.join(str(found.get(key)) for key in other)}. Repeat that one to go on "
                f"with it. {_CURE}"
            )

    def _write(self, text: str) -> None:
        """Write at once, so that nothing waits in a buffer when the disk is full."""
        left = memoryview(text.encode("ascii"))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = str(self.path)
            raise


def _digest(path: str) -> bytes:
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=_N_DIGEST).digest()


def _lock(file: FileIO, path: Path) -> None:
    """Refuse to write to the journal of a scan that is at work, where the system can tell."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"another scan is at work on {path}. Wait for it, or stop it.") from error
    except OSError:  # a file system without locks
        return
