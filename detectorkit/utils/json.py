"""Strict JSON, without NaN, infinity and numpy types, which every reader can parse."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["dumps", "to_plain"]


def to_plain(value: Any) -> Any:
    """Convert a value to types that JSON can represent.

    Examples
    --------
    >>> import numpy as np
    >>> from detectorkit.utils.json import to_plain
    >>> to_plain({"auc": np.float64(0.5), "bounds": (0, float("nan")), 1: np.arange(2)})
    {'auc': 0.5, 'bounds': [0, None], '1': [0, 1]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    elif is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write a value as JSON."""
    return json.dumps(to_plain(value), indent=indent, allow_nan=False)
