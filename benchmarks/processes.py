"""Measurements in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.files import ROOT


def run_apart(*words: str, environment: Mapping[str, str | None] | None = None) -> Any:
    """Run Python in the root of the checkout; return what it printed, which is JSON.

    Environment variables that are None are not set.
    """
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={key: value for key, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)
