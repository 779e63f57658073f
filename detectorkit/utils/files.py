"""Files and folders written whole or not at all, and the checksums of files."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from detectorkit.utils.progress import progress_bar, tell

__all__ = [
    "check_new_folder",
    "fill_whole_folder",
    "hash_file",
    "hash_files",
    "open_whole",
    "read_regular",
    "read_start",
    "write_whole",
]


def hash_files(paths: Sequence[str | os.PathLike[str]], *, verbose: bool = False) -> str:
    """Compute one SHA-256 for a set of files, which does not depend on their names and order.

    Parameters
    ----------
    paths : sequence of str or Path
        Paths of the files to hash.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Returns
    -------
    sha256 : str
        SHA-256 in hexadecimal of the sorted SHA-256 of the files in hexadecimal, one per line. For
        one file it differs from the SHA-256 of that file.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    digests = []
    with progress_bar("Hashing files", len(paths), show=verbose) as advance:
        for path in paths:
            digests.append(hash_file(path))
            advance(1)
    lines = "".join(f"{digest}\n" for digest in sorted(digests))
    return hashlib.sha256(lines.encode("ascii")).hexdigest()


def hash_file(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_regular(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a regular file: not a pipe that may never end, nor more than a number of bytes.

    Raises
    ------
    OSError
        If the file cannot be read, is not a regular file, or is longer; `strerror` says which.
    """
    with _open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes > max_bytes:
            raise OSError(errno.EFBIG, f"longer than {max_bytes} bytes", os.fspath(path))
        return file.read(n_bytes)  # and not what is added meanwhile


def read_start(path: str | os.PathLike[str], n_bytes: int) -> bytes:
    """Read the first bytes of a regular file."""
    with _open_regular(path) as file:
        return file.read(n_bytes)


@contextmanager
def _open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        yield file


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text or bytes to a file, whole or not at all."""
    with open_whole(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def open_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at its path when it is complete, or not at all.

    Notes
    -----
    The content is first written to a hidden file beside `path`, under a unique name, so that
    several processes may write to the same path: the last one wins.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    unfinished = _unique_beside(target)
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
        unfinished.replace(target)
    except OSError as error:
        _name(error, path, unfinished)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def check_new_folder(caller: str, folder: Path) -> None:
    """Check that a folder is new or empty, and that the folder that it is to be in exists."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{caller}: {folder} exists and is not an empty folder. Name a new one."
        )
    if not folder.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{caller}: there is no folder {folder.parent} to make {folder} in."
        )


@contextmanager
def fill_whole_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder to fill, which becomes `path`, or is deleted after an error."""
    path = path.absolute()
    for left in path.parent.glob(f".{glob.escape(path.name[:40])}-{'[0-9a-f]' * 32}"):
        tell(f"{left} may be left from a run that was killed. Delete it if none is at work.")
    unfinished = _unique_beside(path)
    unfinished.mkdir()
    try:
        yield unfinished
        if path.exists():
            path.rmdir()
        unfinished.rename(path)
    except OSError as error:
        _name(error, path, unfinished)
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _name(error: OSError, path: str | os.PathLike[str], unfinished: Path) -> None:
    """Have an error name the file of the user, and not one that the user has never seen."""
    found = error.filename
    if error.errno is not None and (found is None or str(found).startswith(str(unfinished))):
        error.filename = os.fspath(path)


def _unique_beside(path: Path) -> Path:
    """Return a hidden, unique name in the same folder, short enough for every file system."""
    return path.with_name(f".{path.name[:40]}-{uuid.uuid4().hex}")
