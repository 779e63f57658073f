"""What the files of each class, generator and source are like, and which pictures recur."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASS_NAMES", "Copies", "FileGroup", "Spread", "describe_groups", "find_copies"]

CLASS_NAMES: Final = ("photographs", "generated")

_COMMONEST = 5  # values that are kept of each distribution
_EXAMPLES = 5


class Spread(NamedTuple):
    """Where the values of a group of files lie.

    Attributes
    ----------
    median, low, high : float
        The middle one, the least and the greatest.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class FileGroup:
    """What the files of one class, or of one generator or source in it, are like.

    Attributes
    ----------
    name : str
        Of the generator or source, or of the class.
    label : int
        0 for real, 1 for generated.
    n : int
        Number of files.
    height, width, aspect, bytes_per_pixel : Spread
        Of the files; aspect is width divided by height.
    sharpness : Spread
        As `measure_sharpness` gives it.
    format, jpeg_quality, subsampling : dict of str to float
        The commonest values, at most five, and the share of all files that has each; an empty
        name stands for files that are no JPEG. A quality such as "~92" is the nearest, of files
        that were not quantised as libjpeg does.
    progressive, has_profile, has_exif : float
        Share of the files.
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
    """Describe the files of each class and value of a column.

    Parameters
    ----------
    files : ndarray of shape (n_samples,), dtype FILE_DTYPE
        As `read_audit_files` gives them.
    y : ndarray of shape (n_samples,)
        0 for real, 1 for generated.
    column : array-like of shape (n_samples,), default=None
        Names of generators or sources; None takes each class as a whole.

    Returns
    -------
    groups : tuple of FileGroup
        Photographs first, then by name. Without a name, a group is called "(none)".
    """
    names = np.array(CLASS_NAMES)[y] if column is None else np.asarray(column).astype(str)
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
    """Give a share in words in which few is not none and most is not all."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"


def quality_names(files: NDArray[np.void]) -> list[str]:
    """Give the JPEG quality of each file as text, with "~" where it is the nearest only."""
    rows = zip(files["jpeg_quality"], files["standard_tables"], strict=True)
    return [f"{'' if known else '~'}{value:.0f}" if value > 0 else "" for value, known in rows]


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(float(np.median(values)), float(values.min()), float(values.max()))


def _value_shares(values: Any) -> dict[str, float]:
    """Give the commonest values with the share of each, the commonest first."""
    names, counts = np.unique(np.asarray(values, str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return {str(names[i]): float(counts[i] / counts.sum()) for i in order}


@dataclass(frozen=True)
class Copies:
    """Pictures of which there are several files.

    Attributes
    ----------
    exact : int
        Number of pictures whose files are the same to the last bit.
    near : int
        Number of pictures that are the same but for size, compression or small edits; those of
        `exact` are among them.
    n_files : int
        Number of files that show the latter.
    examples : tuple of tuple of str
        Paths of some of them; exact copies come first.
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
    """Find pictures that recur within parts of the data, or across them.

    Parameters
    ----------
    paths : sequence of str or Path
        The files.
    files : ndarray of shape (n_samples,), dtype FILE_DTYPE
        As `read_audit_files` gives them.
    pictures : ndarray of shape (n_samples,)
        As `near_duplicate_groups` gives them.
    parts : ndarray of shape (n_samples,)
        The part that each file belongs to: its class, or "train", "test" and so on. Files whose
        part is "" are passed over.
    across : bool
        Whether to find pictures that are in several parts, or those that recur in one.

    Returns
    -------
    copies : Copies
        How many, and some examples.
    """
    known = np.flatnonzero(np.asarray(parts).astype(str) != "")
    part = np.unique(np.asarray(parts)[known], return_inverse=True)[1]
    exact, near = (
        [known[members] for members in _recurring(groups[known], part, across=across)]
        for groups in (np.unique(files["sha256"], return_inverse=True)[1], pictures)
    )
    examples = dict.fromkeys(
        tuple(str(paths[i]) for i in _example(members, parts, across=across))
        for members in (*exact, *near)
    )
    return Copies(
        exact=len(exact),
        near=len(near),
        n_files=sum(len(members) for members in near),
        examples=tuple(examples)[:_EXAMPLES],
    )


def _example(members: NDArray[np.intp], parts: Any, *, across: bool) -> NDArray[np.intp]:
    """Give two members, or one of each part."""
    if not across:
        return members[:2]
    return members[np.unique(np.asarray(parts)[members], return_index=True)[1]]


def _recurring(
    groups: NDArray[np.int64], part: NDArray[np.int64], *, across: bool
) -> list[NDArray[np.intp]]:
    """Give the members of each group that is in several parts, or more than once in one."""
    if len(groups) == 0:
        return []
    if not across:
        groups = groups * (part.max() + 1) + part
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [m for m in members if (len(np.unique(part[m])) if across else len(m)) > 1]
