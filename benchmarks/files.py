"""Where results are, and how they are read and written.

A result is JSON with as much on a line as fits, so that a difference is seen at a glance. Floats
have seven significant digits, more than any page shows. An `Estimate` is [value, low, high]; what
is not defined is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CACHE = ROOT / "benchmarks" / "cache"  # features of backbones, states of trainings; not committed
DOCS = ROOT / "docs"
MODELS = ROOT / "detectorkit" / "models"

N_DIGITS = 7
WIDTH = 160


def read_json(path: Path) -> dict[str, Any]:
    """Read a result; one that was not measured yet is empty."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write a result, whole or not at all."""
    write_text(path, to_json(result) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def rounded(value: float) -> float:
    """Round a figure to the digits that are kept."""
    return float(f"{value:.{N_DIGITS}g}")


def to_json(value: Any, indent: int = 0) -> str:
    """Write a value as JSON, on one line where it fits."""
    if isinstance(value, float):
        value = None if math.isnan(value) else rounded(value)
    if not isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    parts = list(_parts(value, indent + 1))
    if indent + sum(len(part) + 2 for part in parts) <= WIDTH and "\n" not in "".join(parts):
        return opening + ", ".join(parts) + closing
    lines = _share_lines(parts, WIDTH - indent)
    margin = "\n" + " " * (indent + 1)
    return opening + margin + ("," + margin).join(lines) + "\n" + " " * indent + closing


def _parts(value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{json.dumps(str(key), ensure_ascii=False)}: {to_json(item, indent)}"
    else:
        for item in value:
            yield to_json(item, indent)


def _share_lines(parts: list[str], width: int) -> list[str]:
    """Put parts of one line beside one another, as many as fit."""
    lines: list[str] = []
    room = 0
    for part in parts:
        if "\n" not in part and len(part) + 2 <= room:
            lines[-1] += ", " + part
            room -= len(part) + 2
        else:
            lines.append(part)
            room = 0 if "\n" in part else width - len(part)
    return lines
