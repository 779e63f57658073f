"""Without torch, the modules that cannot be imported have no doctests to run."""

from importlib.util import find_spec
from pathlib import Path

SOURCES = (Path(__file__).parent / "detectorkit").rglob("*.py")

collect_ignore = []
if find_spec("torch") is None:
    collect_ignore = [str(path) for path in SOURCES if "\nimport torch\n" in path.read_text()]
