"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detectorkit._version import __version__


def find_versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of some packages; of this one, that of the checkout."""
    known = {"python": platform.python_version(), "detectorkit": __version__}
    return {name: known.get(name) or version(name) for name in ("python", *packages)}


def describe_machine() -> dict[str, Any]:
    """Name the processor, what it can do with 8-bit numbers, and how busy it is.

    Above a load average of 1, other programs may have taken part, and times are too long.
    """
    found: dict[str, str] = {}
    known = Path("/proc/cpuinfo")
    for line in known.read_text().splitlines() if known.exists() else ():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    flags = found.get("flags", "").split()
    return {
        "processor": found.get("model name") or platform.processor() or platform.machine(),
        "n_cores": os.cpu_count(),
        "avx2": "avx2" in flags,
        "avx512": "avx512f" in flags,
        "vnni": any("vnni" in flag for flag in flags),
        "load_average_before": load_average(),
    }


def load_average() -> float:
    """Return how many programs took part in the last minute."""
    return round(os.getloadavg()[0], 2)
