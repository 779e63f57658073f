"""Predict for the images of folders, archives and manifests of any size, into a table.

Each image has a row: path, size, sha256, score, probability, verdict, what the file says of itself,
model, seconds, and the error if it cannot be read. Archives are zip and tar files, also compressed
ones and those in folders; their images are shown as archive!member. A manifest is a CSV file with a
column path.

The table ends in .parquet (which needs the extra "scan"), .csv or .jsonl. What is done is kept in
a journal beside it: repeat a command that was stopped, and it goes on where it was.

With --scheduler, the workers of a cluster of dask do the work (this needs the extra "dask"). They
must see the files under the same paths.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from detectorkit.cli._common import add_fpr, add_jobs, find_threshold, tell_passed_over
from detectorkit.utils.extras import require_extra

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit scan``."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="FOLDER",
        help="folder, zip or tar archive, CSV manifest, or image file",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="table to write, such as out.parquet"
    )
    parser.add_argument("-m", "--model", help="ONNX file, or name of a shipped detector")
    add_fpr(parser)
    parser.add_argument(
        "--again", action="store_true", help="begin anew, and overwrite the table and the journal"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="scheduler of dask, such as tcp://HOST:8786"
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit scan``."""
    from detectorkit.models import default_detector, find_detector
    from detectorkit.scan import scan_to_file

    threshold = None
    if arguments.fpr is not None:
        from detectorkit.graph.runner import read_record

        record = read_record(find_detector(arguments.model))
        threshold = find_threshold(record, arguments.fpr, arguments.model or default_detector())
    with _workers(arguments.scheduler):
        summary = scan_to_file(
            arguments.images,
            arguments.output,
            model=arguments.model,
            threshold=threshold,
            n_jobs=arguments.jobs,
            again=arguments.again,
            verbose=True,
        )
    tell_passed_over(arguments, summary.passed_over)
    print(summary)
    return 1 if summary.counts[None] else 0


@contextmanager
def _workers(scheduler: str | None) -> Iterator[None]:
    """Have the workers of a scheduler do the work, if there is one."""
    if scheduler is None:
        yield
        return
    require_extra("dask", "distributed", caller="--scheduler")
    from distributed import Client
    from joblib import parallel_config

    with Client(scheduler, timeout=10), parallel_config("dask"):
        yield
