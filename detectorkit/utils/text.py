"""Escaping of text, such as names of files, for lines, HTML and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

__all__ = ["did_you_mean", "printable", "to_html_text", "to_markdown_code", "to_markdown_text"]

# Control characters and line ends; marks that change the direction of writing, with which a name
# can look like another; halves of surrogate pairs, which stand for bytes of a file name that are
# not UTF-8 and cannot be written to a file.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
# Characters that are markup anywhere in a line. Not every dialect lets a backslash escape "<" and
# "&", so these become entities.
_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]|:(?=//)|(?<=www)\.")
# Characters that are markup at the start of a line: headings, lists, rules.
_MARKDOWN_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=#|[=+-](?:[\s=+-]|$)))(.)")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question, after a space, that suggests the known name most like one; or "".

    Examples
    --------
    >>> from detectorkit.utils.text import did_you_mean
    >>> print(f"There is no cilp.{did_you_mean('cilp', ['clip', 'cnn'])}")
    There is no cilp. Did you mean 'clip'?
    """
    from difflib import get_close_matches

    return "".join(f" Did you mean {one!r}?" for one in get_close_matches(name, known, n=1))


def printable(text: str) -> str:
    r"""Escape characters that break lines, are invisible, or cannot be written to a file.

    Examples
    --------
    >>> from detectorkit.utils.text import printable
    >>> print(printable("a\nb.png"))
    a\nb.png
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def to_html_text(text: str) -> str:
    """Escape text for HTML, also for attributes.

    Examples
    --------
    >>> from detectorkit.utils.text import to_html_text
    >>> to_html_text("<img>.png")
    '&lt;img&gt;.png'
    """
    return escape(printable(text))


def to_markdown_text(text: str) -> str:
    r"""Escape text for Markdown, also for cells of tables.

    Examples
    --------
    >>> from detectorkit.utils.text import to_markdown_text
    >>> print(to_markdown_text("a|b_<img>.png"))
    a\|b\_&lt;img&gt;.png
    """
    line = _MARKDOWN.sub(r"\\\g<0>", escape(printable(text).strip(), quote=False))
    return _MARKDOWN_START.sub(r"\1\\\2", line)


def to_markdown_code(text: str, language: str = "") -> str:
    """Format text as a block of code in Markdown."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable_lines(text)}\n{fence}"


def printable_lines(text: str) -> str:
    """Apply `printable` to each line, after replacing tabs with spaces."""
    return "\n".join(printable(line.expandtabs(4)) for line in text.split("\n"))
