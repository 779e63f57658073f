"""Check whether format, size or compression alone would give the answer away.

Prints the formats, sizes and compression of the files of each class, generator and source, how well
a classifier that sees no pixels tells photographs from generated images, the images that occur
several times, and a verdict. Exit status: 0 the data passed, 1 they passed but some images could
not be read, 2 unusable input, 3 the data failed.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

from detectorkit.cli._common import (
    add_data,
    add_jobs,
    add_json,
    add_random_state,
    get_column,
    load_data,
    process_paths,
)
from detectorkit.utils.json import dumps

__all__ = ["add_arguments", "run"]

_FAILED = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit audit``."""
    add_data(parser)
    parser.add_argument(
        "--split",
        metavar="COLUMN",
        help="column of the manifest that names the part of each image (train, test and so on); "
        "the same image, subject, seed or instance picture in two parts fails the audit (default: "
        "split, if there is one)",
    )
    parser.add_argument(
        "--max-auc",
        type=float,
        default=0.6,
        metavar="A",
        help="greatest AUC that a classifier that sees no pixels may reach (default: 0.6)",
    )
    parser.add_argument(
        "--allow-pairs",
        action="store_true",
        help="allow photographs together with the images that were made from them",
    )
    add_random_state(parser)
    add_json(parser)
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit audit``."""
    from detectorkit.datasets.audit import judge_files, read_audit_files

    found = load_data(arguments)
    get_column(found, "--split", arguments.split)  # checked before all files are read
    split = arguments.split or "split"
    read_chunk = partial(read_audit_files, n_jobs=arguments.jobs)
    files, read, failures = process_paths(read_chunk, found.data, "Reading images")
    columns = {"generator": "generator", "source": "source", "split": split}
    result = judge_files(
        files,
        [found.data[i] for i in read],
        found.target[read],
        **{
            name: found.metadata[column][read]
            for name, column in columns.items()
            if column in found.metadata
        },
        ledger={name: column[read] for name, column in found.metadata.items()},
        max_auc=arguments.max_auc,
        allow_pairs=arguments.allow_pairs,
        n_jobs=arguments.jobs,
        random_state=arguments.random_state,
        verbose=True,
    )
    if arguments.json:
        content = {"n": len(read), "n_unreadable": len(failures)} | result.to_dict()
        print(dumps(content, indent=1))
    else:
        print(result.to_text())
    return _FAILED if not result.passed else int(bool(failures))
