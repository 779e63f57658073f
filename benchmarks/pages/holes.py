"""Put tables and single figures into pages of prose.

A hole is what stands between ``<!-- table: NAME -->`` and ``<!-- end -->``: blocks of Markdown
("table", "list") or, inside a sentence, a figure ("value"). Words after the name are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import ModuleType

HOLE = re.compile(r"<!-- (table|list|value): ([^<>]+?) -->(.*?)<!-- end -->", re.DOTALL)
AT_LINE_START = re.compile(r"^\s*<!-- value: ", re.MULTILINE)

Makers = dict[str, Callable[..., str]]


def find_makers(modules: Iterable[ModuleType]) -> Makers:
    """Return the functions of modules that fill holes: those that `__all__` lists."""
    return {
        name.replace("_", "-"): getattr(module, name)
        for module in modules
        for name in module.__all__
    }


def fill(page: str, makers: Makers, *, keep_marks: bool = True) -> str:
    """Fill the holes of a page.

    Without the marks, the page cannot be filled a second time; that is for pages that people read
    as they are, in a terminal.
    """
    if AT_LINE_START.search(page):
        raise ValueError("A value at the start of a line would not be part of its paragraph.")

    def put(match: re.Match[str]) -> str:
        kind, words = match[1], match[2].split()
        name, *rest = words
        if name not in makers:
            raise ValueError(f"{match[2]!r} is not a hole that is known: {sorted(makers)}.")
        made = makers[name](*rest)
        if not keep_marks:
            return made
        space = {"value": "", "table": "\n", "list": "\n\n"}[kind]
        return f"<!-- {kind}: {match[2]} -->{space}{made}{space}<!-- end -->"

    return HOLE.sub(put, page)
