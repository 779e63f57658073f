"""Optional packages, which are installed as extras."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["how_to_install", "require_extra"]


def require_extra(extra: str, *packages: str, caller: str) -> None:
    """Check that the packages of an extra can be imported."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{caller} needs {package}, which is not installed. It comes with the extra "
                f'"{extra}": {how_to_install(extra, package)}'
            ) from error


def how_to_install(extra: str, *packages: str) -> str:
    """Return the command that installs the packages of an extra.

    It names these packages and not the extra: it is then right however detectorkit itself was
    installed, also from a checkout, and needs no quotation marks, which differ between shells.
    `packages` are named where the metadata of the installation do not know the extra.
    """
    try:
        requirements = requires("detectorkit") or []
    except PackageNotFoundError:
        requirements = []
    own = re.compile(rf"""([\w.-]+).*;.*\bextra == ["']{extra}["']""")
    found = [match[1] for one in requirements if (match := own.match(one))]
    return f"pip install {' '.join(found or packages)}"
