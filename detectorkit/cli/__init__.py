"""The command line: one file a sub-command.

A sub-command is a module with `add_arguments(parser)` and `run(arguments)`, which returns the
exit status: 0 done, 1 some images failed (they are named on standard error), 2 unusable input.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from detectorkit._version import __version__

__all__ = ["main"]

COMMANDS = {
    "demo": "the main job end to end on images made on the spot, with a report to look at",
    "audit": "say whether format, size or compression alone would give the answer away",
    "align": "write a copy of the images in which both classes got the same treatment",
    "train": "fit a detector on a folder or a CSV manifest and save it",
    "calibrate": "fit the threshold or the probabilities of a saved detector to other images",
    "evaluate": "measure a saved detector on labelled images",
    "report": "write all that is known of a saved detector to one HTML page",
    "predict": "say of each image whether it is real or generated",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    status : int
        0 done, 1 some images failed, 2 unusable input, 130 stopped from the keyboard, 141 the
        reader of the output has gone.
    """
    # OpenCV logs every broken file in its own words; ours are printed instead.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    parser = argparse.ArgumentParser(
        prog="detectorkit", description="Tell real photographs from AI-generated images."
    )
    parser.add_argument("--version", action="version", version=f"detectorkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"detectorkit.cli.{name}")
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (OSError, ValueError) as error:
        print(f"detectorkit {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ndetectorkit {arguments.command}: stopped.", file=sys.stderr)
        return 130
