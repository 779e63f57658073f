"""Single figures in sentences, named by the result and the keys under which they stand."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.files import RESULTS
from benchmarks.pages.markdown import figure

__all__ = ["result"]


def result(name: str, *keys: str) -> str:
    """Return a figure of results/NAME.json; the last of the keys is the form in which it is shown.

    The form is one of Python, such as ``.2f`` or ``.0%``; ``MB`` for bytes; or, for an estimate,
    the number of digits of the value and its interval.
    """
    *path, form = keys
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    if not found.get("command"):
        raise ValueError(f"{name}.json does not say which command wrote it.")
    for key in path:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return show(found, form)


def show(found: Any, form: str) -> str:
    """Write a figure in a form."""
    if isinstance(found, dict):
        found = [found[end] for end in ("value", "low", "high")]
    if isinstance(found, list):
        return figure(found, int(form))
    if form == "MB":
        return f"{found / 1e6:.2g} MB"
    return format(found, form).replace("%", " %")
