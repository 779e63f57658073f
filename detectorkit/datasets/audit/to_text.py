"""An audit as plain text: tables with aligned columns, and the verdict in words."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Final

import numpy as np

from detectorkit.datasets.audit.groups import CLASS_NAMES, Copies, FileGroup, Spread, percent
from detectorkit.utils.tables import text_table
from detectorkit.utils.text import printable

if TYPE_CHECKING:
    from detectorkit.datasets.audit.audit import Audit

__all__ = ["audit_to_text"]

_WIDTH = 100  # characters in a line of text; tables may be wider
_SHOWN = 2  # number of values of a distribution that a cell shows
_VERDICTS: Final = {
    "fail": "FAILED: do not train or measure on these files as they are.",
    "warn": "PASSED WITH WARNINGS: bear these in mind when you read results.",
    "ok": "PASSED.",
}
_WHERE: Final = {
    "within_class": "within one class",
    "across_classes": "in both classes",
    "across_splits": "in more than one part of the split",
}
_HEADINGS: Final = (
    "",
    "n",
    "format",
    "height",
    "width",
    "bytes/px",
    "JPEG quality",
    "chroma",
    "progr.",
    "profile",
    "EXIF",
    "sharpness",
)


def audit_to_text(audit: Audit) -> str:
    """Format the result of an audit as plain text."""
    lines = []
    for title, groups in (
        ("By class", audit.by_class),
        ("By generator", audit.by_generator),
        ("By source", audit.by_source),
    ):
        if groups:
            lines += [title, *text_table(map(_group_row, groups), _HEADINGS, indent=2), ""]
    lines += [
        "Numbers are medians, followed by minimum and maximum if these differ. Sharpness is",
        "log(1 + variance of the Laplacian), measured after one resize and one compression.",
        "",
        *_metadata_lines(audit),
        "",
        *_copies_lines(audit),
        "",
        _VERDICTS[audit.verdict],
    ]
    for finding in audit.findings:
        lines += ["", _wrap(f"  {finding.severity:4}  ", finding.text)]
    return "\n".join(lines)


def _wrap(start: str, text: str) -> str:
    return fill(
        printable(text),
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,  # so that paths can be copied
        break_on_hyphens=False,
    )


def _group_row(group: FileGroup) -> tuple[str, ...]:
    kind = CLASS_NAMES[group.label]
    return (
        kind if group.name == kind else f"{kind}: {printable(group.name)}",
        str(group.n),
        _shares(group.format),
        _spread(group.height, 0),
        _spread(group.width, 0),
        _spread(group.bytes_per_pixel, 2),
        _shares(group.jpeg_quality),
        _shares(group.subsampling),
        percent(group.progressive),
        percent(group.has_profile),
        percent(group.has_exif),
        _spread(group.sharpness, 1),
    )


def _spread(spread: Spread, decimals: int) -> str:
    median, low, high = (f"{value:.{decimals}f}" for value in spread)
    return median if low == high else f"{median} ({low}-{high})"


def _shares(shares: dict[str, float]) -> str:
    """Format the most common values, with their proportions unless all files are alike."""
    if len(shares) == 1:
        return next(iter(shares)) or "-"
    cells = [f"{value or '-'}: {percent(share)}" for value, share in shares.items()]
    return ", ".join(cells[:_SHOWN]) + (" ..." if len(cells) > _SHOWN else "")


def _metadata_lines(audit: Audit) -> list[str]:
    rows = audit.metadata.in_words() | {"sharpness itself, no classifier": audit.sharpness}
    if np.isnan(audit.metadata.everything.value):
        return ["Too few images to measure how well the facts of the files tell the classes apart."]
    title = "What a classifier that sees no pixel reaches: AUC, cross-validated, 95 % interval"
    return [title, *text_table(rows.items(), indent=2)]


def _copies_lines(audit: Audit) -> list[str]:
    lines = ["The same picture several times"]
    table = text_table([(_WHERE[name], _count(c)) for name, c in audit.copies.items()], indent=2)
    for line, copies in zip(table, audit.copies.values(), strict=True):
        lines.append(line)
        lines += [f"    {' = '.join(map(printable, paths))}" for paths in copies.examples]
    return lines


def _count(copies: Copies) -> str:
    return f"{copies.near} pictures in {copies.n_files} files, {copies.exact} in identical files"
