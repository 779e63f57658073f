"""Without an extra, the modules that cannot be imported have no doctests to run."""

from importlib.util import find_spec
from pathlib import Path

SOURCES = list((Path(__file__).parent / "detectorkit").rglob("*.py"))
MISSING = [name for name in ("numba", "torch") if find_spec(name) is None]

collect_ignore = [
    str(path)
    for path in SOURCES
    if any(f"\nimport {name}\n" in path.read_text() for name in MISSING)
]
