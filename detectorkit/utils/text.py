"""Any text, such as the name of a file, as text in HTML and in Markdown, and never as markup."""

from __future__ import annotations

import re
from html import escape

__all__ = ["printable", "to_html_text", "to_markdown_code", "to_markdown_text"]

# Control characters and ends of lines; marks that turn the direction of writing, with which a name
# can pass for another; halves of surrogate pairs, which stand for bytes of a file name that are no
# UTF-8 and cannot be written to a file.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
# What has a meaning anywhere in a line. Not every dialect lets a backslash protect "<" and "&",
# so these become entities.
_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]|:(?=//)|(?<=www)\.")
# What has a meaning at the start of a line: headings, lists, rules.
_MARKDOWN_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=#|[=+-](?:[\s=+-]|$)))(.)")


def printable(text: str) -> str:
    r"""Spell out the characters that break lines, hide, or cannot be written to a file.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    text : str
        One line.

    Examples
    --------
    >>> from detectorkit.utils.text import printable
    >>> print(printable("a\nb.png"))
    a\nb.png
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def to_html_text(text: str) -> str:
    """Give text for HTML, also for the inside of an attribute.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    html : str
        One line that shows it.

    Examples
    --------
    >>> from detectorkit.utils.text import to_html_text
    >>> to_html_text("<img>.png")
    '&lt;img&gt;.png'
    """
    return escape(printable(text))


def to_markdown_text(text: str) -> str:
    r"""Give text for Markdown, also for the cell of a table.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    markdown : str
        One line that shows it in CommonMark and its relatives.

    Examples
    --------
    >>> from detectorkit.utils.text import to_markdown_text
    >>> print(to_markdown_text("a|b_<img>.png"))
    a\|b\_&lt;img&gt;.png
    """
    line = _MARKDOWN.sub(r"\\\g<0>", escape(printable(text).strip(), quote=False))
    return _MARKDOWN_START.sub(r"\1\\\2", line)


def to_markdown_code(text: str, language: str = "") -> str:
    """Give text as a block of code for Markdown.

    Parameters
    ----------
    text : str
        Any text; its lines are kept.
    language : str, default=""
        What it is written in, for colours.

    Returns
    -------
    markdown : str
        The block, between fences that the text does not hold.
    """
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable_lines(text)}\n{fence}"


def printable_lines(text: str) -> str:
    """Do as `printable` line by line, with spaces for tabs."""
    return "\n".join(printable(line.expandtabs(4)) for line in text.split("\n"))
