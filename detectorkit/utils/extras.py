"""Packages that only some work needs."""

from __future__ import annotations

import importlib

__all__ = ["require_extra"]


def require_extra(extra: str, *packages: str, caller: str) -> None:
    """Make sure that the packages of an extra can be imported.

    Parameters
    ----------
    extra : str
        Its name.
    *packages : str
        The packages that are needed now.
    caller : str
        What the message begins with: a class and a parameter, or what needs them.

    Raises
    ------
    ImportError
        If one is missing; it names the extra.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{caller} needs {package}, which is not installed: "
                f"pip install 'detectorkit[{extra}]'"
            ) from error
