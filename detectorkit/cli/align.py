"""Write a copy of a data set in which every image is processed in the same way.

In the copy, format, size and compression no longer tell photographs from generated images. The
content of the images and the traces of an earlier resize remain: run `detectorkit audit` on the
copy. Images that cannot be read are named and left out. Exit status: 0 done, 1 done but some images
could not be read, 2 unusable input, in which case nothing is written.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from detectorkit.cli._common import add_data, add_jobs, load_data
from detectorkit.utils.progress import tell

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit align``."""
    add_data(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="new folder for the copy"
    )
    parser.add_argument(
        "--treatment",
        choices=("aligned", "crop"),
        default="aligned",
        help="aligned: cut the centre square and resize it once; crop: cut the centre at native "
        "resolution, which keeps the fine traces (default: aligned)",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=160,
        metavar="N",
        help="height and width of the copies, in pixels (default: 160)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        default=85,
        metavar="N",
        help="JPEG quality of the copies, from 1 to 100 (default: 85)",
    )
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit align``."""
    from detectorkit.datasets import align

    found = load_data(arguments)
    failures = align(
        found.data,
        found.target,
        arguments.output,
        treatment=arguments.treatment,
        side=arguments.side,
        quality=arguments.quality,
        metadata=found.metadata,
        skip_unreadable=True,
        n_jobs=arguments.jobs,
        verbose=True,
    )
    for failure in failures:
        tell(str(failure))
    print(f"{len(found.data) - len(failures)} images in {arguments.output}")
    return 1 if failures else 0
