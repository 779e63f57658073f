"""What several sub-commands need: going on past broken images, and printing figures."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectorkit.exceptions import ImageReadError
from detectorkit.utils.progress import progress_bar
from detectorkit.utils.tables import text_table

if TYPE_CHECKING:
    from detectorkit.evaluation import Estimate

__all__ = [
    "METHODS",
    "add_data",
    "add_jobs",
    "add_json",
    "add_model",
    "add_random_state",
    "check_output",
    "get_column",
    "make_explainer",
    "print_metrics",
    "process_paths",
]

METHODS = {
    "gradient": "GradientSaliency",
    "smooth-grad": "SmoothGrad",
    "integrated-gradients": "IntegratedGradients",
    "grad-cam": "GradCAM",
    "attention": "AttentionRollout",
    "occlusion": "OcclusionSaliency",
}
"""The kinds of maps, by what the command line calls them."""

_CHUNK = 512


def add_data(parser: ArgumentParser) -> None:
    """Add the argument ``data``.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument(
        "data",
        help="folder with real/ and generated/<generator>/, or CSV file with path and label",
    )


def add_jobs(parser: ArgumentParser) -> None:
    """Add the option ``--jobs``.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="number of threads (default: all cores)"
    )


def add_json(parser: ArgumentParser) -> None:
    """Add the option ``--json``.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_random_state(parser: ArgumentParser) -> None:
    """Add the option ``--random-state``.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument(
        "--random-state", type=int, default=0, metavar="N", help="seed (default: 0)"
    )


def add_model(parser: ArgumentParser) -> None:
    """Add the argument ``model``.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser.
    """
    parser.add_argument(
        "model", help="ONNX file that `detectorkit train` wrote, or name of a shipped detector"
    )


def check_output(name: str) -> Path:
    """Make sure that a file can be written, before an hour of work and not after it.

    Parameters
    ----------
    name : str
        The file.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    """
    path = Path(name)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to.")
    return path


def get_column(found: Any, option: str, name: str | None) -> Any:
    """Give the column that an option names.

    Parameters
    ----------
    found : Bunch
        What `load_images` found.
    option : str
        The option, for the error message.
    name : str or None
        The column; None where the option was not given.

    Returns
    -------
    column : ndarray of shape (n_samples,) or None
        Its values as text.

    Raises
    ------
    ValueError
        If the data have no such column.
    """
    if name is None:
        return None
    if name not in found.metadata:
        raise ValueError(f"{option} {name}: the data have the columns {list(found.metadata)}.")
    return found.metadata[name]


def make_explainer(detector: Any, method: str) -> Any:
    """Make what explains a detector.

    Parameters
    ----------
    detector : estimator
        Fitted.
    method : str
        One of `METHODS`.

    Returns
    -------
    explainer : Saliency
        With as many threads as the detector.
    """
    from detectorkit import saliency

    explainer = getattr(saliency, METHODS[method])(detector)
    if "n_jobs" in explainer.get_params(deep=False):
        explainer.set_params(n_jobs=detector.n_jobs)
    return explainer


def process_paths(
    function: Callable[[Sequence[str]], NDArray[Any]], paths: Sequence[str], what: str
) -> tuple[NDArray[Any], NDArray[np.intp], list[ImageReadError]]:
    """Apply a function to files; name those that cannot be read on standard error.

    Parameters
    ----------
    function : callable
        Takes paths and gives an array of as many results.
    paths : sequence of str
        The files.
    what : str
        What is being done, for the progress bar.

    Returns
    -------
    results : ndarray of shape (n_read, ...)
        Those of the files that could be read.
    read : ndarray of shape (n_read,)
        Their indices among the paths.
    failures : list of ImageReadError
        One for every other file.

    Raises
    ------
    ValueError
        If no file could be read.
    """
    results: list[NDArray[Any]] = []
    read: list[int] = []
    failures: list[ImageReadError] = []
    with progress_bar(what, len(paths), show=True) as advance:
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            try:
                results.append(function(chunk))
                read.extend(range(start, start + len(chunk)))
            except ImageReadError:  # find out which, one by one
                for index, path in enumerate(chunk, start):
                    try:
                        results.append(function([path]))
                        read.append(index)
                    except ImageReadError as error:
                        failures.append(ImageReadError(path, error.reason))
            advance(len(chunk))
    for failure in failures:
        print(failure, file=sys.stderr)
    if not read:
        raise ValueError(f"none of the {len(paths)} images could be read.")
    return np.concatenate(results), np.array(read, np.intp), failures


def print_metrics(title: str, metrics: Mapping[str, Estimate]) -> None:
    """Print metrics as lines of name, value and interval.

    Parameters
    ----------
    title : str
        Printed above.
    metrics : mapping of str to Estimate
        As `binary_metrics` gives them.
    """
    print(title)
    rows = [(name.replace("_", " "), estimate) for name, estimate in metrics.items()]
    print("\n".join(text_table(rows, indent=2)))
