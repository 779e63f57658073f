"""Scan images: a generator of rows, and a table that a killed run goes on with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Final

from detectorkit.images.image_files import PassedOver
from detectorkit.scan.journal import Journal
from detectorkit.scan.judging import Judge, ScanRow
from detectorkit.scan.tables import check_table, write_table
from detectorkit.scan.walking import check_inputs, count_entries, iter_batches, walk_entries
from detectorkit.utils.parallel import map_in_order
from detectorkit.utils.progress import on_terminal, progress_bar, tell

__all__ = ["ScanSummary", "scan", "scan_to_file"]

_BATCH: Final = 8  # images that a thread judges at a time
_SECONDS: Final = 2.0  # that a batch of several takes a thread

Inputs = Sequence[str | os.PathLike[str]]


@dataclass
class ScanSummary:
    """What `scan_to_file` did.

    Attributes
    ----------
    counts : Counter of str
        Number of the rows by verdict; None counts the images that could not be scanned.
    n_new : int
        Number of the rows that this run added; others were in the journal of an earlier one.
    seconds : float
        Time of this run.
    passed_over : PassedOver
        What the search passed over.
    """

    counts: Counter[str | None]
    n_new: int = 0
    seconds: float = 0.0
    passed_over: PassedOver = field(default_factory=PassedOver)

    def __str__(self) -> str:
        verdicts = [f"{self.counts[name]} {name}" for name in ("real", "generated", "can't tell")]
        rate = self.n_new / max(self.seconds, 1e-9)
        return (
            f"{self.counts.total()} images: {', '.join(verdicts)}, {self.counts[None]} failed; "
            f"{rate:.3g} images a second."
        )


def scan(
    inputs: Inputs,
    *,
    model: str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    n_jobs: int | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[ScanRow]:
    """Scan the images of folders, archives, manifests and files.

    Parameters
    ----------
    inputs : sequence of str or Path
        Paths of folders, of zip and tar archives, of CSV manifests with a column ``path``, and of
        image files. Archives in folders are opened too.
    model : str or Path, default=None
        Name of a shipped detector, or path of an ONNX file. None takes the default detector.
    threshold : float, default=None
        Score above which the verdict is "generated". None uses the threshold and the band of the
        model.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a `joblib.parallel_config` context, which may
        also be one of dask; -1 means all processors.
    passed_over : PassedOver, default=None
        Object in which to note folders that cannot be read, and files that are not images.

    Yields
    ------
    row : ScanRow
        What was found out about the next image. An image that cannot be read has an error.

    Raises
    ------
    FileNotFoundError
        If an input does not exist.
    ValueError
        If a manifest has no column ``path``.

    Notes
    -----
    Memory does not grow with the size of files and archives. For each image a digest of its path
    is kept, some 100 bytes, since an image that is reached twice counts once.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from detectorkit.scan import scan
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 64)).save(Path(folder) / "a.png")
    ...     _ = (Path(folder) / "b.png").write_bytes(b"not an image")
    ...     rows = list(scan([folder], model="hog-svm"))
    >>> [Path(row.path).name for row in rows], rows[0].error
    (['a.png', 'b.png'], None)
    >>> rows[1].error
    'not an AVIF, BMP, GIF, HEIF, JPEG, JPEG 2000, PNG, TIFF or WebP image, whatever its name.'
    """
    places = [os.fspath(place) for place in inputs]
    check_inputs(places)
    claimed: set[str] = set()

    def claim(path: str) -> bool:
        is_new = path not in claimed
        claimed.add(path)
        return is_new

    judge = Judge.open(model, threshold)
    for rows in _scan_batches(judge, places, claim, passed_over or PassedOver(), n_jobs):
        yield from rows


def _scan_batches(
    judge: Judge,
    places: Sequence[str],
    claim: Callable[[str], bool],
    passed_over: PassedOver,
    n_jobs: int | None,
) -> Iterator[list[ScanRow]]:
    """Read ahead by a few batches only, and score them in parallel, in order.

    A batch takes a slow model a few seconds, so that little is lost when the scan is stopped.
    """
    limit = 1
    batches = iter_batches(walk_entries(places, claim, passed_over), lambda: limit)
    for rows in map_in_order(judge, batches, n_jobs=n_jobs):
        seconds = sum(row.seconds for row in rows) / len(rows)
        limit = min(max(int(_SECONDS / max(seconds, 1e-9)), 1), _BATCH)
        yield rows


def scan_to_file(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    n_jobs: int | None = None,
    again: bool = False,
    verbose: bool = False,
) -> ScanSummary:
    """Scan images into a table; a run that was killed goes on where it was.

    Rows are appended to a journal beside the output, ``output.journal``, from which the output is
    made at the end, whole or not at all. The rows are in the order of the search, so that the
    table of a run that was killed and repeated is that of an uninterrupted one, except for the
    seconds.

    Parameters
    ----------
    inputs : sequence of str or Path
        Paths to scan; see `scan`.
    output : str or Path
        Path of the table, which ends in ``.parquet`` (needs the extra ``scan``), ``.csv`` or
        ``.jsonl``.
    model : str or Path, default=None
        Name of a shipped detector, or path of an ONNX file. None takes the default detector.
    threshold : float, default=None
        Score above which the verdict is "generated". None uses the threshold and the band of the
        model.
    n_jobs : int, default=None
        Number of threads; see `scan`.
    again : bool, default=False
        Whether to begin anew, and overwrite the output and the journal that are there.
    verbose : bool, default=False
        Whether to show the progress on standard error, and to say that a scan goes on.

    Returns
    -------
    summary : ScanSummary
        Number of images by verdict, and what was passed over.

    Raises
    ------
    FileExistsError
        If the output exists and no journal is beside it.
    FileNotFoundError
        If an input, or the folder of the output, does not exist.
    ImportError
        If the output is Parquet and pyarrow is not installed.
    OSError
        If the disk is full. The journal keeps what is done.
    ValueError
        If there are no images, if the output has another suffix, or if the journal is of another
        scan.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from detectorkit.scan import scan_to_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 64)).save(Path(folder) / "a.png")
    ...     summary = scan_to_file([folder], Path(folder) / "out.csv", model="hog-svm")
    ...     lines = (Path(folder) / "out.csv").read_text().splitlines()
    >>> summary.counts.total(), len(lines)
    (1, 2)
    """
    begin = perf_counter()
    places = [os.fspath(place) for place in inputs]
    target = Path(output)
    check_table(target)
    check_inputs(places)
    judge = Judge.open(model, threshold)
    path = target.with_name(f"{target.name}.journal")
    if again:
        path.unlink(missing_ok=True)
    elif target.exists() and not path.exists():
        raise FileExistsError(
            f"scan: {target} exists. To scan again and overwrite it, pass again=True."
        )
    about = {"model": judge.sha256, "threshold": threshold, "inputs": places}
    with Journal(path, about) as journal:
        if journal.n_kept and verbose:
            tell(f"Going on after the {journal.n_kept} images in {path}.")
        summary = ScanSummary(journal.counts)
        _fill(journal, judge, places, summary.passed_over, n_jobs, show=verbose)
        if not journal.counts:
            journal.remove()
            raise ValueError(f"there are no images in {', '.join(places)}. {summary.passed_over}")
        write_table(target, journal.rows())
        journal.remove()
    summary.n_new = journal.counts.total() - journal.n_kept
    summary.seconds = perf_counter() - begin
    return summary


def _fill(
    journal: Journal,
    judge: Judge,
    places: Sequence[str],
    passed_over: PassedOver,
    n_jobs: int | None,
    *,
    show: bool,
) -> None:
    """Scan what is not yet in the journal."""
    found: list[int | None] = []  # how many images there are, once they are counted
    if show and on_terminal():
        Thread(target=lambda: found.append(count_entries(places)), daemon=True).start()

    def total() -> int | None:
        return None if not found or found[0] is None else found[0] - journal.n_kept

    try:
        with progress_bar("Scanning", total, show=show) as advance:
            for rows in _scan_batches(judge, places, journal.claim, passed_over, n_jobs):
                journal.append(rows)
                advance(len(rows))
    except KeyboardInterrupt:
        if show:
            of = f" of {found[0]}" if found and found[0] is not None else ""
            if on_terminal():
                tell("")  # ends the line of the progress bar
            tell(f"{journal.counts.total()}{of} images are done. Repeat the command to go on.")
        raise
