"""JSON that every reader takes: no NaN, no infinity, no types of numpy."""

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
    """Return a value in a form that JSON can hold.

    Parameters
    ----------
    value : object
        Dataclasses, named tuples and mappings become dicts whose keys are text; arrays and other
        sequences become lists; numbers of numpy become those of Python; paths become text.

    Returns
    -------
    plain : object
        The same figures. None stands for nan and infinity, for which JSON has no number.

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
    """Return a value as JSON.

    Parameters
    ----------
    value : object
        Anything that `to_plain` takes.
    indent : int, default=None
        Spaces of each level; None writes one line.

    Returns
    -------
    text : str
        Valid JSON.

    Raises
    ------
    TypeError
        If the value holds something that JSON has no form for.
    """
    return json.dumps(to_plain(value), indent=indent, allow_nan=False)
