"""Command line ``detectorkit``, with one file for each sub-command.

A sub-command is a module with `add_arguments(parser)` and `run(arguments)`, which returns the
exit status: 0 done, 1 some images could not be read (they are named on standard error), 2 unusable
input or a full disk. `detectorkit.__main__` adds 130 for Ctrl-C and 143 for SIGTERM. Only the
module of the command that is run is imported.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Container, Sequence
from typing import Any

from detectorkit._version import __version__
from detectorkit.exceptions import BackboneNotFoundError
from detectorkit.utils.progress import tell
from detectorkit.utils.text import did_you_mean

__all__ = ["main", "make_parser"]

COMMANDS = {
    "demo": "train and measure a detector on images made on the spot, and write a report",
    "audit": "check whether format, size or compression alone would give the answer away",
    "prepare": "put folders of real and generated images together into one data set with a split",
    "align": "write a copy of the images in which both classes are processed in the same way",
    "train": "fit a detector on a folder or a CSV manifest and save it",
    "calibrate": "fit the threshold or the probabilities of a saved detector to other images",
    "evaluate": "measure a saved detector on labelled images",
    "report": "measure a saved detector on labelled images and write a report as one HTML page",
    "predict": "predict for each image whether it is real or generated",
    "scan": "predict for the images of folders, archives and manifests of any size, into a table",
    "serve": "serve verdicts over HTTP, with a page on which pictures are dropped",
    "explain": "show where in an image the score of a detector comes from",
    "generate": "make generated images: DreamBooth and LoRA trainings, and samples, with a ledger",
    "models": "list the detectors that come along, or print the card of one",
    "backbones": "list, export and add the pretrained networks that detectors build on",
    "completion": "print a script that completes commands and names in bash, zsh or fish",
}

_FULL = {errno.ENOSPC, errno.EFBIG}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; a KeyboardInterrupt is the caller's."""
    # OpenCV logs every broken file on its own; our messages are printed instead.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    words = sys.argv[1:] if argv is None else list(argv)
    if not words:
        make_parser(words).print_help(sys.stderr)
        return 2
    arguments = argparse.Namespace(command="")
    try:
        arguments = _parse(words)
        status = int(arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (BackboneNotFoundError, ImportError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # so ends an import in C code
            raise KeyboardInterrupt from error
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = "standard output"  # what writes files names them
        tell(_describe(error, arguments))
        return 2
    # What a search passed over because it could not be read counts as an unreadable image.
    return status or int(getattr(arguments, "is_incomplete", False))


def _describe(error: Exception, arguments: argparse.Namespace) -> str:
    """Write an error in the words of the command line, where those of Python differ."""
    title, text = f"detectorkit {arguments.command}", str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"  # without the number of the error
    for name, value in vars(arguments).items():
        if isinstance(value, bool):  # an option without a value
            text = text.replace(f"{name}=True", f"--{name.replace('_', '-')}")
    # Functions and extras may be named as the command that needs them.
    text = text.removeprefix(f"{arguments.command}: ")
    return text if text.startswith(f"{title} ") else f"{title}: {text}"


class _Parser(argparse.ArgumentParser):
    """A parser whose options cannot be abbreviated, as those of its sub-commands."""

    def __init__(self, **options: Any) -> None:
        if sys.version_info >= (3, 14):
            options["suggest_on_error"] = True
        super().__init__(allow_abbrev=False, **options)


def make_parser(words: Container[str]) -> argparse.ArgumentParser:
    """Make the parser, with the arguments of those sub-commands that are among the words."""
    parser = _Parser(
        prog="detectorkit", description="Tell real photographs from AI-generated images."
    )
    parser.add_argument("--version", action="version", version=f"detectorkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in words:
            module = importlib.import_module(f"detectorkit.cli.{name}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run, fail=command.error)
    return parser


def _parse(words: list[str]) -> argparse.Namespace:
    parser = make_parser(words)
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        parser.error(f"there is no command {words[0]!r}.{did_you_mean(words[0], COMMANDS)}")
    arguments, rest = parser.parse_known_args(words)
    if rest and ("images" not in arguments or any(word.startswith("-") for word in rest)):
        arguments.fail(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse takes images from one place only, and leaves those after an option
        arguments.images += rest
    return arguments
