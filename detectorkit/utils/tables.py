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
    r"""Format a table as lines of text, with columns two spaces apart.

    Parameters
    ----------
    rows : iterable of sequence
        Rows of cells, which are converted by ``str``. All rows have the same number of cells.
    headings : sequence of str, default=None
        Headings of the columns. None leaves out this line.
    align : str, default=""
        Alignment of each column: "<" for left or ">" for right. Further columns are aligned like
        the last one named, or to the left.
    indent : int, default=0
        Number of spaces before each line.

    Returns
    -------
    lines : list of str
        Lines of the table, without spaces at the end.

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
        Rows of cells in Markdown; `to_markdown_text` converts any text to it.
    headings : sequence of str
        Headings of the columns, in Markdown.

    Returns
    -------
    markdown : str
        Table with one line per row, without a newline at the end.

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
