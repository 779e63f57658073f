"""Tables, as aligned lines of text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["markdown_table", "text_table"]


def text_table(
    rows: Iterable[Sequence[Any]],
    headings: Sequence[str] | None = None,
    *,
    align: str = "",
    indent: int = 0,
) -> list[str]:
    r"""Lay out a table as lines of text, its columns two spaces apart.

    Parameters
    ----------
    rows : iterable of sequence
        The cells, which are shown as ``str`` gives them; as many in each row.
    headings : sequence of str, default=None
        Names of the columns; None leaves this line out.
    align : str, default=""
        For each column "<", to the left, or ">", to the right. Columns that it does not reach
        are aligned as the last that it does, or to the left.
    indent : int, default=0
        Spaces before each line.

    Returns
    -------
    lines : list of str
        One a row, without spaces at the end.

    Examples
    --------
    >>> from detectorkit.utils.tables import text_table
    >>> print("\n".join(text_table([("a", 5), ("bcd", 10)], ["name", "n"], align="<>")))
    name   n
    a      5
    bcd   10
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if headings is not None:
        cells.insert(0, list(headings))
    if not cells:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = align.ljust(len(widths), (align or "<")[-1])
    return [
        " " * indent
        + "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def markdown_table(rows: Iterable[Sequence[str]], headings: Sequence[str]) -> str:
    """Write a table in Markdown.

    Parameters
    ----------
    rows : iterable of sequence of str
        The cells, which are Markdown already; `to_markdown_text` makes it of any text.
    headings : sequence of str
        Names of the columns.

    Returns
    -------
    markdown : str
        One line a row, without an end of line at the end.

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
