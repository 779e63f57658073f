"""Optional packages, which are installed as extras."""

from __future__ import annotations

import importlib

__all__ = ["require_extra"]


def require_extra(extra: str, *packages: str, caller: str) -> None:
    """Check that the packages of an extra can be imported.

    Parameters
    ----------
    extra : str
        Name of the extra of detectorkit.
    *packages : str
        Names of the packages that are needed now.
    caller : str
        Beginning of the error message: the class and parameter, or the task, that needs them.

    Raises
    ------
    ImportError
        If a package is missing. The error names the package and the extra.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{caller} needs {package}, which is not installed: "
                f"pip install 'detectorkit[{extra}]'"
            ) from error
