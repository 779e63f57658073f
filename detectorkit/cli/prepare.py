"""Put folders of real and generated images together into one data set with a split and an audit.

OUT gets a manifest.csv with a row for each image (its label, generator, source, part of the split
and what ledgers say of it) and an audit.txt. The images are split 80/10/10 into train, val and
test, with the same proportion of each source and generator, and with copies of one image and the
images of one subject, seed or instance picture in one part. The subject of a photograph is known
in the folders of LFW (NAME/NAME_0001.jpg), and in those of CelebA if identity_CelebA.txt lies in
the folder, beside it, or in a folder Anno beside it.

Images stay where they are and as they are: the treatment belongs to the detector, which applies
that of its training to every image that it is given, and a second one would leave traces of its
own. With --size, OUT gets copies instead, as `detectorkit align` writes them: centre square, one
resize, one JPEG.

OUT must be new or empty, and appears when it is complete. Exit status: 0 done, 1 done but some
images could not be read and are left out, 2 unusable input, in which case nothing is written.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectorkit.cli._common import (
    add_jobs,
    add_random_state,
    process_paths,
    tell_passed_over,
)
from detectorkit.images.image_files import PassedOver, search_images
from detectorkit.utils.files import check_new_folder, fill_whole_folder
from detectorkit.utils.tables import text_table

__all__ = ["add_arguments", "run"]

_PARTS: Final = ("train", "val", "test")
_LFW_PHOTOGRAPH: Final = re.compile(r"_\d{4}$")
_MOST_OF_LFW: Final = 500  # photographs of the one person whom scikit-learn then reads

Rows = list[dict[str, str]]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit prepare``."""
    parser.add_argument("output", metavar="OUT", help="new folder for the data set")
    for option, what in (("--real", "photographs"), ("--generated", "generated images")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            type=_named_folder,
            metavar="NAME=FOLDER",
            help=f"folder of {what}, and their name in tables; repeatable",
        )
    parser.add_argument(
        "--ledger",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="folder of generated images with a ledger.csv, which names the generators; repeatable",
    )
    parser.add_argument(
        "--lfw",
        action="store_true",
        help="add the photographs of Labeled Faces in the Wild from scikit-learn's data folder; "
        "scikit-learn downloads them (200 MB) if they are not there",
    )
    parser.add_argument(
        "--size", type=int, metavar="N", help="write aligned copies of N x N pixels into OUT"
    )
    parser.add_argument(
        "--max-per-source",
        type=int,
        metavar="N",
        help="draw at most N images from each folder (default: all)",
    )
    add_random_state(parser)
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit prepare``."""
    from detectorkit.datasets.audit import judge_files, read_audit_files

    output = Path(arguments.output)
    check_new_folder("prepare", output)
    listed = _list_images(arguments)
    read_files = partial(read_audit_files, n_jobs=arguments.jobs)
    files, read, failures = process_paths(
        read_files, [row["path"] for row in listed], "Reading images"
    )
    rows = _complete([listed[i] for i in read], files)
    _split(rows, files, arguments.random_state)
    with fill_whole_folder(output) as folder:
        if arguments.size is None:
            paths = [row["path"] for row in rows]
            _write_manifest(folder, output, rows)
        else:
            paths = _write_copies(folder, output, rows, arguments.size, arguments.jobs)
            copies = [str(folder / Path(path).relative_to(output)) for path in paths]
            files = process_paths(read_files, copies, "Reading copies")[0]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        audit = judge_files(
            files,
            paths,
            [int(row["label"]) for row in rows],
            generator=columns["generator"],
            source=columns["source"],
            split=columns["split"],
            ledger=columns,
            n_jobs=arguments.jobs,
            random_state=arguments.random_state,
            verbose=True,
        )
        (folder / "audit.txt").write_text(f"{audit.to_text()}\n", encoding="utf-8")
    print(audit.to_text())
    print("\n".join(_summary(output, rows)))
    return 1 if failures else 0


def _named_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


def _list_images(arguments: Namespace) -> Rows:
    """List the images of all folders, each with what is known of it."""
    passed_over = PassedOver()
    real = [*arguments.real, *([("lfw", _find_lfw())] if arguments.lfw else [])]
    folders = [_list_photographs(name, folder, passed_over) for name, folder in real]
    folders += [_list_generated(name, place, passed_over) for name, place in arguments.generated]
    folders += [_list_ledger(folder) for folder in arguments.ledger]
    tell_passed_over(arguments, passed_over)
    rows = [row for rows in folders for row in _draw(rows, arguments)]
    if len({row["label"] for row in rows}) < 2:
        raise ValueError(
            "prepare: pass folders of photographs (--real or --lfw) and of generated images "
            "(--generated or --ledger)."
        )
    return rows


def _draw(rows: Rows, arguments: Namespace) -> Rows:
    n = arguments.max_per_source
    if n is None or len(rows) <= n:
        return rows
    if n < 1:
        raise ValueError(f"--max-per-source {n}: pass a number of at least 1.")
    random = np.random.RandomState(arguments.random_state)
    return [rows[i] for i in np.sort(random.permutation(len(rows))[:n])]


def _list_paths(option: str, folder: Path, passed_over: PassedOver) -> list[str]:
    paths = [str(path) for path in search_images(folder, passed_over)]
    if not paths:
        raise ValueError(f"{option}: there are no images in {folder}. Check the path.")
    return paths


def _list_photographs(name: str, folder: Path, passed_over: PassedOver) -> Rows:
    people = _read_identities(folder)
    return [
        {"path": path, "label": "0", "source": name, "subject": _find_subject(Path(path), people)}
        for path in _list_paths(f"--real {name}", folder, passed_over)
    ]


def _list_generated(name: str, folder: Path, passed_over: PassedOver) -> Rows:
    from detectorkit.datasets.ledger import find_ledger_rows

    paths = _list_paths(f"--generated {name}", folder, passed_over)
    known = find_ledger_rows(folder, paths, passed_over)
    return [
        {**known.get(path, {}), "path": path, "label": "1", "generator": name} for path in paths
    ]


def _list_ledger(folder: Path) -> Rows:
    from detectorkit.datasets import read_ledger

    return [{**row.to_cells(), "path": str(folder / row.path)} for row in read_ledger(folder)]


def _find_subject(path: Path, people: dict[str, str]) -> str:
    """Return the person in a photograph: by CelebA's list, or LFW's NAME/NAME_0001.jpg."""
    person = _LFW_PHOTOGRAPH.sub("", path.stem)
    return people.get(path.stem) or (person if person == path.parent.name else "")


def _read_identities(folder: Path) -> dict[str, str]:
    """Read CelebA's person of each photograph by the stem of its name; {} without the list."""
    for place in (folder, folder.parent, folder.parent / "Anno"):
        listing = place / "identity_CelebA.txt"
        if listing.is_file():
            lines = map(str.split, listing.read_text("utf-8").splitlines())
            return {Path(line[0]).stem: f"celeba-{line[1]}" for line in lines if len(line) == 2}
    return {}


def _find_lfw() -> Path:
    """Return the folder of LFW in scikit-learn's data folder, and have it downloaded if needed."""
    from sklearn.datasets import fetch_lfw_people, get_data_home

    folder = Path(get_data_home()) / "lfw_home" / "lfw_funneled"
    if not folder.is_dir():
        # It also reads what it has downloaded: as little as can be, one person, a few pixels.
        fetch_lfw_people(min_faces_per_person=_MOST_OF_LFW, resize=0.1)
    return folder


def _complete(rows: Rows, files: NDArray[np.void]) -> Rows:
    """Return rows that all have the same columns, with what the files themselves say."""
    from detectorkit.datasets.ledger import COLUMNS

    names = dict.fromkeys(["path", "label", "generator", "source", "split", *COLUMNS])
    return [
        {name: row.get(name, "") for name in names}
        | {name: str(facts[name]) for name in ("width", "height")}
        | {"sha256": facts["sha256"].decode("ascii")}
        for row, facts in zip(rows, files, strict=True)
    ]


def _split(rows: Rows, files: NDArray[np.void], random_state: int) -> None:
    """Fill the column split, with each generator and source in each part, and groups whole."""
    from detectorkit.datasets import near_duplicate_groups, train_val_test_split
    from detectorkit.datasets.ledger import group_images
    from detectorkit.model_selection.split import merge_groups

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    together = [group_images(columns, len(rows)), near_duplicate_groups(files["picture"])]
    groups = merge_groups(together, len(rows))
    origins = [f"{row['label']} {row['generator'] or row['source']}" for row in rows]
    parts = train_val_test_split(
        np.arange(len(rows)),
        origins,
        groups=groups,
        keep_near_duplicates=False,  # they are in the groups
        random_state=random_state,
    )[:3]
    for part, index in zip(_PARTS, parts, strict=True):
        for i in index:
            rows[i]["split"] = part
        if len({rows[i]["label"] for i in index}) < 2:
            n_groups = [len(np.unique(groups[np.array(columns["label"]) == c])) for c in "01"]
            raise ValueError(
                f"prepare: the part {part} would have images of one class only: the photographs "
                f"make {n_groups[0]} groups and the generated images {n_groups[1]} that must not "
                "be split apart. Add images of other subjects, seeds and instance pictures."
            )


def _write_manifest(folder: Path, output: Path, rows: Rows) -> None:
    """Write the manifest of images that stay where they are."""
    from detectorkit.datasets.manifest import format_manifest

    named: Iterable[dict[str, str]] = (
        {**row, "path": _relative(row["path"], output)} for row in rows
    )
    (folder / "manifest.csv").write_bytes(format_manifest(named, list(rows[0])))


def _relative(path: str, output: Path) -> str:
    """Return the path from the folder of the manifest, or the absolute one on another drive."""
    try:
        # Without links, or the steps up from a linked folder would lead elsewhere.
        return Path(os.path.relpath(Path(path).absolute(), output.resolve())).as_posix()
    except ValueError:
        return str(Path(path).absolute())


def _write_copies(
    folder: Path, output: Path, rows: Rows, size: int, n_jobs: int | None
) -> list[str]:
    """Write aligned copies with a manifest; return the paths that they will have."""
    from detectorkit.datasets import align, load_images

    metadata = {name: [row[name] for row in rows] for name in rows[0]}
    paths, labels = metadata.pop("path"), metadata.pop("label")
    align(
        paths,
        np.array(labels, int),
        folder,
        side=size,
        metadata=metadata,
        n_jobs=n_jobs,
        verbose=True,
    )
    copies = load_images(folder / "manifest.csv")
    for row, instance in zip(rows, copies.metadata["instance"], strict=True):
        row["instance"] = instance
    return [str(output / Path(path).relative_to(folder)) for path in copies.data]


def _summary(output: Path, rows: Rows) -> Sequence[str]:
    """List the images of each origin and part, and what to do next."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = ("photographs", "generated")[int(row["label"])]
        origin = f"{kind}: {row['generator'] or row['source']}"
        counts.setdefault(origin, dict.fromkeys(_PARTS, 0))[row["split"]] += 1
    table = [(origin, *map(str, parts.values())) for origin, parts in sorted(counts.items())]
    manifest = output / "manifest.csv"
    return [
        "",
        *text_table(table, ["Images", *_PARTS], align="<>>>"),
        "",
        f"Written: {manifest} and {output / 'audit.txt'}",
        "Next, with a detector that treats all images alike (centre square, one resize, one JPEG):",
        f"  detectorkit train {manifest} -o model.onnx",
        f"  detectorkit evaluate model.onnx {manifest} --part test",
    ]
