"""What the metrics of saliency check of their arguments."""

from __future__ import annotations

from numbers import Integral
from typing import Any

__all__ = []


def _check_count(caller: str, name: str, value: Any, *, minimum: int) -> None:
    is_whole = isinstance(value, Integral) and value is not True and value is not False
    if not is_whole or value < minimum:
        raise ValueError(
            f"{caller}: {name}={value!r} must be a whole number of at least {minimum}."
        )
