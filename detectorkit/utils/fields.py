"""Reading of the fields of a JSON record, with checks and errors that name the field."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from typing import Any, Final

from detectorkit.exceptions import ModelFileError

__all__ = ["Fields", "is_finite"]

_MISSING: Final = object()


class Fields:
    """Fields of a JSON object in a record, each checked when it is read.

    Attributes
    ----------
    name : str
        Name of the model in error messages.
    """

    def __init__(self, content: dict[str, Any], name: str, place: str = "") -> None:
        self._content = content
        self.name = name
        self._place = place

    @classmethod
    def from_json(cls, text: str, name: str) -> Fields:
        """Read a record from JSON."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(f"{name}: the record is damaged: {error!r}.") from error
        if not isinstance(content, dict):
            raise ModelFileError(f"{name}: the record is damaged: it is not a JSON object.")
        return cls(content, name)

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def error(self, key: str, expected: str) -> ModelFileError:
        """Make the error for a field with a wrong value."""
        value = self._content.get(key, _MISSING)
        found = "missing" if value is _MISSING else reprlib.repr(value)
        return ModelFileError(
            f"{self.name}: the record is damaged: {self._place}{key} is {found}; {expected} was "
            "expected."
        )

    def has(self, key: str) -> bool:
        """Return whether a field is there, even if it is null."""
        return key in self._content

    def get(self, key: str) -> Any:
        """Return the value of a field without a check."""
        return self._content.get(key)

    def part(self, key: str) -> Fields:
        """Return the fields of an object in this object."""
        value = self._content.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return Fields(value, self.name, f"{self._place}{key}.")

    def parts(self, key: str) -> list[Fields]:
        """Return the fields of each object in a list; none if there is no list."""
        values = self._content.get(key)
        if values is None:
            return []
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            raise self.error(key, "a list of objects")
        return [
            Fields(one, self.name, f"{self._place}{key}[{index}].")
            for index, one in enumerate(values)
        ]

    def text(self, key: str, choices: Sequence[str] = ()) -> str:
        """Return a field of text."""
        value = self._content.get(key)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.error(key, " or ".join(map(repr, choices)) if choices else "text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a field that is a finite number."""
        value: Any = self._content.get(key, default)
        if not is_finite(value):
            raise self.error(key, "a finite number")
        return float(value)

    def proportion(self, key: str) -> float | None:
        """Return a field that is a number from 0 to 1 or null."""
        value: Any = self._content.get(key)
        if value is not None and not (is_finite(value) and 0 <= value <= 1):
            raise self.error(key, "a number from 0 to 1 or null")
        return value

    def numbers(self, key: str) -> list[float]:
        """Return a field that is a list of finite numbers."""
        values = self._content.get(key)
        if not isinstance(values, list) or not all(map(is_finite, values)):
            raise self.error(key, "a list of finite numbers")
        return [float(value) for value in values]

    def integer(self, key: str) -> int | None:
        """Return a field that is a positive integer or null."""
        value = self._content.get(key)
        if value is not None and not _is_positive(value):
            raise self.error(key, "a positive integer or null")
        return value

    def size(self, key: str) -> tuple[int, int] | None:
        """Return a field of a height and a width, or null."""
        value = self._content.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_positive, value)):
            raise self.error(key, "a height and a width, two positive integers,")
        return value[0], value[1]


def is_finite(value: Any) -> bool:
    """Return whether a value of JSON is a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= 1e300


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
