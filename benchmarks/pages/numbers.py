"""Numbers in prose that look measured: each fills a hole, or is listed with what else it is.

Such a number has a decimal point or a unit of time, size or proportion. What is not a figure of a
result, such as a limit of the library or a figure of somebody else's, is in numbers.toml beside
this file: by page, the words around the number, and what it is.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

LISTED = Path(__file__).parent / "numbers.toml"

_NOT_PROSE = re.compile(
    r"^ *```.*?^ *```$"  # blocks of code
    r"|<!-- (?:table|list|value): .*?<!-- end -->"  # holes, which are filled from results
    r"|<!--.*?-->|`+[^`]*`+|\]\([^)]*\)|<[^>]*>",  # marks, names, targets of links
    re.DOTALL | re.MULTILINE,
)
_UNIT = (
    r"(?:%|percent|[mu]?s|seconds?|minutes?|hours?|[kMGT]i?B|(?:mega|giga)?bytes|times|x|points?)"
)
_MEASURED = re.compile(rf"(?<![\w.])(?:\d*\.\d+|\d[\d,]*(?= ?{_UNIT}(?!\w| \d)))")


def read_listed() -> dict[str, dict[str, str]]:
    """Return what is listed: by page, from words of it to what the number in them is."""
    return tomllib.loads(LISTED.read_text(encoding="utf-8"))


def prose_of(text: str) -> str:
    """Return the prose of a page, on one line."""
    return " ".join(_NOT_PROSE.sub(" ", text).split())


def find_untraced(page: str, text: str) -> list[str]:
    """Return the numbers of a page that are neither from a result nor listed, with words around."""
    prose, listed = prose_of(text), read_listed()
    known = [
        range(found.start(), found.end())
        for words in {**listed["*"], **listed.get(page, {})}
        for found in re.finditer(re.escape(words), prose)
    ]
    return [
        prose[max(0, found.start() - 40) : found.end() + 20]
        for found in _MEASURED.finditer(prose)
        if not any(found.start() in place for place in known)
    ]
