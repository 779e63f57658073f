"""Tables, as aligned lines of text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from detectorkit.utils.text import printable

__all__ = ["markdown_table", "text_table"]

_WIDEST: Final = 200  # characters of a cell to which a column is as wide


def text_table(
    rows: Iterable[Sequence[Any]],
    headings: Sequence[str] | None = None,
    *,
    align: str = "",
    indent: int = 0,
) -> list[str]:
    r"""Format a table as lines of text, with columns two spaces apart, and cells escaped.

    Examples
    --------
    >>> from detectorkit.utils.tables import text_table
    >>> print("\n".join(text_table([("a", 5), ("bcd", 10)], ["name", "n"], align="<>")))
    name   n
    a      5
    bcd   10
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if headings is not None:
        cells.insert(0, list(headings))
    if not cells:
        return []
    # One endless name must not widen the lines of all others.
    lengths = (filter(_WIDEST.__ge__, map(len, column)) for column in zip(*cells, strict=True))
    widths = [max(column, default=0) for column in lengths]
    sides = align.ljust(len(widths), (align or "<")[-1])
    return [
        " " * indent
        + "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def markdown_table(rows: Iterable[Sequence[str]], headings: Sequence[str]) -> str:
    """Write a table in Markdown.

    Examples
    --------
    >>> from detectorkit.utils.tables import markdown_table
    >>> print(markdown_table([("a", "5")], ["name", "n"]))
    | name | n |
    | --- | --- |
    | a | 5 |
    """
    return "\n".join(
        f"| {' | '.join(line)} |" for line in (headings, ["---"] * len(headings), *rows)
    )
