"""Optional packages, which are installed as extras."""

from __future__ import annotations

import importlib

__all__ = ["require_extra"]


def require_extra(extra: str, *packages: str, caller: str) -> None:
    """Check that the packages of an extra can be imported."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{caller} needs {package}, which is not installed: "
                f"pip install 'detectorkit[{extra}]'"
            ) from error
