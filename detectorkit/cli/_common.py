"""Functions that several sub-commands use: arguments, reading of images, printing of metrics."""

from __future__ import annotations

import os
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.utils.progress import progress_bar, tell
from detectorkit.utils.tables import text_table

if TYPE_CHECKING:
    from detectorkit.evaluation import Estimate
    from detectorkit.graph.record import ModelRecord
    from detectorkit.images.image_files import PassedOver

__all__ = [
    "add_data",
    "add_fpr",
    "add_jobs",
    "add_json",
    "add_model_and_data",
    "add_part",
    "add_random_state",
    "check_output",
    "check_rate",
    "find_threshold",
    "get_column",
    "load_data",
    "print_metrics",
    "process_paths",
    "take_model_and_data",
    "take_rows",
    "tell_passed_over",
]

_CHUNK = 512


def add_data(parser: ArgumentParser) -> None:
    """Add the argument ``data``."""
    parser.add_argument(
        "data",
        help="folder with real/ and generated/<generator>/, or CSV file with path and label",
    )


def add_fpr(parser: ArgumentParser) -> None:
    """Add the option ``--fpr``."""
    parser.add_argument(
        "--fpr",
        type=float,
        metavar="RATE",
        help="use the model's threshold for this false-positive rate, such as 0.05, among the "
        "photographs on which it was measured, without a band of scores at which the verdict is "
        "can't tell (default: its own threshold and band)",
    )


def check_rate(option: str, rate: float | None) -> None:
    """Check that a rate, if an option sets one, is a proportion and not a percentage."""
    if rate is not None and not 0 < rate < 1:
        raise ValueError(
            f"{option} {rate:g}: pass a proportion between 0 and 1. Write 5 % as 0.05."
        )


def find_threshold(record: ModelRecord, fpr: float, name: str) -> float:
    """Return the model's threshold for a false-positive rate."""
    check_rate("--fpr", fpr)
    found = record.fpr_thresholds.get(fpr)
    if found is None:
        known = ", ".join(f"{rate:g}" for rate in record.fpr_thresholds) or "none"
        raise ValueError(
            f"--fpr {fpr:g}: the model {name} has thresholds for {known}. Set another one with "
            f"`detectorkit calibrate --fpr {fpr:g}` on photographs like yours."
        )
    return found


def add_jobs(parser: ArgumentParser) -> None:
    """Add the option ``--jobs``."""
    parser.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="number of threads (default: all cores)"
    )


def add_json(parser: ArgumentParser) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_random_state(parser: ArgumentParser) -> None:
    """Add the option ``--random-state``."""
    parser.add_argument(
        "--random-state", type=int, default=0, metavar="N", help="seed (default: 0)"
    )


def add_model_and_data(parser: ArgumentParser, options: str) -> None:
    """Add a model, by its place or by ``-m``, and data; `options` are all, for the usage."""
    parser.usage = f"%(prog)s [-h] [-m MODEL] {options} [MODEL] DATA"
    parser.add_argument(  # under this name, `main` collects them wherever they are
        "images",
        nargs="+",
        metavar="DATA",
        help="ONNX file that `detectorkit train` wrote, or name of a shipped detector, unless -m "
        "names it; then folder with real/ and generated/<generator>/, or CSV file with path and "
        "label",
    )
    parser.add_argument(
        "-m", "--model", help="ONNX file or name of a shipped detector; then DATA stands alone"
    )


def take_model_and_data(arguments: Namespace) -> None:
    """Set ``model`` and ``data`` to what `add_model_and_data` took."""
    *models, arguments.data = arguments.images
    models += [] if arguments.model is None else [arguments.model]
    if len(models) != 1:
        raise ValueError(
            "pass one MODEL and one DATA, such as model.onnx my-images, or -m MODEL and one DATA."
        )
    (arguments.model,) = models


def add_part(parser: ArgumentParser) -> None:
    """Add the option ``--part``."""
    parser.add_argument(
        "--part",
        metavar="NAME",
        help="use only the images that the column split of the manifest puts into this part, such "
        "as test (default: all)",
    )


def check_output(name: str, suffix: str = "") -> Path:
    """Check that an output file can be written, before the long work starts."""
    path = Path(name)
    if path.is_dir():
        raise IsADirectoryError(f"the output {name} is a folder. Pass the name of a file in it.")
    if path.suffix.lower() != (suffix or path.suffix.lower()):
        raise ValueError(f"the output {name} must have a name that ends in {suffix}.")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} for {path.name} does not exist. Make it first."
        )
    # A file is written beside its place first, but a device, such as /dev/null, is opened itself.
    written = path if path.exists() and not path.is_file() else folder
    if not os.access(written, os.W_OK):
        raise PermissionError(f"{written} must be writable for the output {name}.")
    return path


def load_data(arguments: Namespace) -> Any:
    """List the images of ``data`` and ``--part``, and tell what was passed over."""
    from detectorkit.datasets import load_images

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # told here, in one line
        found = load_images(arguments.data)
    tell_passed_over(arguments, found.passed_over)
    if "part" not in arguments:
        return found
    column = found.metadata.get("split", np.full(len(found.data), ""))
    parts = ", ".join(sorted({part for part in column if part})) or "none"
    if arguments.part is None:
        if parts != "none":
            tell(f"All parts of the column split are used ({parts}). For one, pass --part.")
        return found
    if not (column == arguments.part).any():
        raise ValueError(
            f"--part {arguments.part}: the column split of the data has the parts: {parts}."
        )
    return take_rows(found, np.flatnonzero(column == arguments.part))


def take_rows(found: Any, index: NDArray[np.intp]) -> Any:
    """Return some of the images that `load_images` found, with all their columns."""
    taken = found.copy()
    for name in ("target", "origin", "groups"):
        taken[name] = found[name][index]
    taken["data"] = [found.data[i] for i in index]
    taken["metadata"] = {name: column[index] for name, column in found.metadata.items()}
    return type(found)(**taken)


def tell_passed_over(arguments: Namespace, passed_over: PassedOver) -> None:
    """Report what a search passed over; the exit status becomes 1 if something was not read."""
    arguments.is_incomplete = bool(passed_over.unread)
    if text := str(passed_over):
        tell(text)


def get_column(found: Any, option: str, name: str | None) -> Any:
    """Return the column of the data that an option names."""
    if name is None:
        return None
    if name not in found.metadata:
        raise ValueError(
            f"{option} {name}: the data do not have this column. Use one of {list(found.metadata)}."
        )
    return found.metadata[name]


def process_paths(
    function: Callable[[Sequence[str]], NDArray[Any]], paths: Sequence[str], what: str
) -> tuple[NDArray[Any], NDArray[np.intp], list[ImageReadError]]:
    """Apply a function to image files, and name those that cannot be read on standard error."""
    results: list[NDArray[Any]] = []
    read: list[int] = []
    failures: list[ImageReadError] = []
    with progress_bar(what, len(paths), show=True) as advance:
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            try:
                results.append(function(chunk))
                read.extend(range(start, start + len(chunk)))
            except ImageReadError:  # process the files one by one to find the broken ones
                for index, path in enumerate(chunk, start):
                    try:
                        results.append(function([path]))
                        read.append(index)
                    except ImageReadError as error:
                        failures.append(ImageReadError(path, error.reason))
            advance(len(chunk))
    for failure in failures:
        tell(str(failure))
    if not read:
        raise ValueError(f"none of the {len(paths)} images could be read.")
    return np.concatenate(results), np.array(read, np.intp), failures


def print_metrics(title: str, metrics: Mapping[str, Estimate]) -> None:
    """Print metrics as lines of name, value and interval."""
    print(title)
    rows = [(name.replace("_", " "), estimate) for name, estimate in metrics.items()]
    print("\n".join(text_table(rows, indent=2)))
