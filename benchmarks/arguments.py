"""Options that several benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the folder with the images."""
    parser.add_argument(
        "data",
        metavar="DATA",
        type=Path,
        help="folder with a manifest.csv, see benchmarks/accuracy/data.py",
    )


def add_output(parser: argparse.ArgumentParser, default: Path) -> None:
    """Add the file to write to."""
    parser.add_argument("-o", "--output", type=Path, default=default, help="file to write to")


def add_repeats(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the number of turns."""
    parser.add_argument("--repeats", type=int, default=default, help="turns whose median counts")
