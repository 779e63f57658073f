"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, home_of: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    home_of : mapping of str to str
        For each public name, the module that defines it.

    Returns
    -------
    getattr : callable
        Takes a name and gives what it stands for; AttributeError for other names.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes just that
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home_of[name]), name)

    return __getattr__
