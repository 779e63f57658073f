"""Describe the files of each class, generator and source, and find copies of pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectorkit.utils.names import as_names

__all__ = ["CLASS_NAMES", "Copies", "FileGroup", "Spread", "describe_groups", "find_copies"]

CLASS_NAMES: Final = ("photographs", "generated")

_COMMONEST = 5  # number of values that are kept of each distribution
_EXAMPLES = 5  # number of pictures that are named


class Spread(NamedTuple):
    """Median and range of a value in a group of files.

    Attributes
    ----------
    median, low, high : float
        Median, minimum and maximum of the values.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class FileGroup:
    """Description of the files of one class, or of one generator or source in it.

    Attributes
    ----------
    name : str
        Name of the generator or source, or of the class.
    label : int
        Label of the files: 0 for real photographs, 1 for generated images.
    n : int
        Number of files in the group.
    height, width, aspect, bytes_per_pixel : Spread
        Height and width in pixels, width divided by height, and bytes per pixel.
    sharpness : Spread
        Sharpness of the images, as `measure_sharpness` returns it.
    format, jpeg_quality, subsampling : dict of str to float
        The most common values, at most five, each with its proportion of all files. An empty name
        stands for files that are not a JPEG. A quality such as "~92" is approximate: the files
        were not quantised as libjpeg does, and 92 is the nearest quality.
    progressive, has_profile, has_exif : float
        Proportions of the files that are progressive JPEGs, have a colour profile, and have EXIF
        data.
    """

    name: str
    label: int
    n: int
    height: Spread
    width: Spread
    aspect: Spread
    bytes_per_pixel: Spread
    sharpness: Spread
    format: dict[str, float]
    jpeg_quality: dict[str, float]
    subsampling: dict[str, float]
    progressive: float
    has_profile: float
    has_exif: float


def describe_groups(
    files: NDArray[np.void], y: NDArray[Any], column: Any = None
) -> tuple[FileGroup, ...]:
    """Describe the files of each class, or of each generator or source in it."""
    names = as_names(CLASS_NAMES)[y] if column is None else as_names(column)
    return tuple(
        _describe(str(name) or "(none)", label, files[(y == label) & (names == name)])
        for label in (0, 1)
        for name in np.unique(names[y == label])
    )


def _describe(name: str, label: int, files: NDArray[np.void]) -> FileGroup:
    return FileGroup(
        name=name,
        label=label,
        n=len(files),
        height=_spread(files["height"]),
        width=_spread(files["width"]),
        aspect=_spread(files["aspect"]),
        bytes_per_pixel=_spread(files["bytes_per_pixel"]),
        sharpness=_spread(files["sharpness"]),
        format=_value_shares(files["format"]),
        jpeg_quality=_value_shares(quality_names(files)),
        subsampling=_value_shares(files["subsampling"]),
        progressive=float(files["progressive"].mean()),
        has_profile=float(files["has_profile"].mean()),
        has_exif=float(files["has_exif"].mean()),
    )


def percent(share: float) -> str:
    """Format a proportion in percent, so that few do not read as none, nor most as all."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"


def quality_names(files: NDArray[np.void]) -> list[str]:
    """Format the JPEG quality of each file; "~" marks one that is only the nearest."""
    rows = zip(files["jpeg_quality"], files["standard_tables"], strict=True)
    return [f"{'' if known else '~'}{value:.0f}" if value > 0 else "" for value, known in rows]


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(float(np.median(values)), float(values.min()), float(values.max()))


def _value_shares(values: Any) -> dict[str, float]:
    """Find the most common values and their proportions, the most common first."""
    names, counts = np.unique(np.asarray(values, str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return {str(names[i]): float(counts[i] / counts.sum()) for i in order}


@dataclass(frozen=True)
class Copies:
    """Pictures that are in several files.

    Attributes
    ----------
    exact : int
        Number of pictures with several identical files.
    near : int
        Number of pictures with several files that may differ in size, compression or small edits;
        it includes those of `exact`.
    n_files : int
        Number of files of the pictures that `near` counts.
    examples : tuple of tuple of str
        Paths of the files of some pictures; exact copies come first.
    """

    exact: int
    near: int
    n_files: int
    examples: tuple[tuple[str, ...], ...]


def find_copies(
    paths: Sequence[str | os.PathLike[str]],
    files: NDArray[np.void],
    pictures: NDArray[np.int64],
    parts: Any,
    *,
    across: bool,
) -> Copies:
    """Find pictures that are several times in one part of the data, or in several parts."""
    names = as_names(parts)
    known = np.flatnonzero(names != "")
    part = np.unique(names[known], return_inverse=True)[1]
    exact, near = (
        [known[members] for members in _recurring(groups[known], part, across=across)]
        for groups in (np.unique(files["sha256"], return_inverse=True)[1], pictures)
    )
    examples = dict.fromkeys(
        tuple(str(paths[i]) for i in _example(members, names, across=across))
        for members in (*exact, *near)
    )
    return Copies(
        exact=len(exact),
        near=len(near),
        n_files=sum(len(members) for members in near),
        examples=tuple(examples)[:_EXAMPLES],
    )


def _example(members: NDArray[np.intp], parts: NDArray[Any], *, across: bool) -> NDArray[np.intp]:
    """Choose two members of a group, or one of each part."""
    if not across:
        return members[:2]
    return members[np.unique(parts[members], return_index=True)[1]]


def _recurring(
    groups: NDArray[np.int64], part: NDArray[np.int64], *, across: bool
) -> list[NDArray[np.intp]]:
    """List the members of each group that is in several parts, or several times in one part."""
    if len(groups) == 0:
        return []
    if not across:
        groups = groups * (part.max() + 1) + part
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [m for m in members if (len(np.unique(part[m])) if across else len(m)) > 1]
