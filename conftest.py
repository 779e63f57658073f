"""What holds for all tests, those in docstrings too.

Without an extra, the modules that cannot be imported have no doctests to run.
"""

import os
import re
from importlib.util import find_spec
from pathlib import Path

# Before numpy and the others are loaded. Tests run on all cores, in several processes: threads of
# BLAS and OpenMP would only wait for one another, and make some tests ten times as slow.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

SOURCES = list((Path(__file__).parent / "detectorkit").rglob("*.py"))
MISSING = [name for name in ("numba", "starlette", "torch") if find_spec(name) is None]

collect_ignore = [
    str(path)
    for path in SOURCES
    if any(re.search(rf"(?m)^(import|from) {name}\b", path.read_text()) for name in MISSING)
]
