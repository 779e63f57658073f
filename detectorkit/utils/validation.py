"""Checks of parameters, arguments and scores, with error messages of one form."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "check_argument",
    "check_choice",
    "check_confidence",
    "check_count",
    "check_integer",
    "check_number",
    "check_pair",
    "check_real",
    "check_scores",
    "check_seed",
    "check_threshold",
    "parameter_error",
    "refuse_masked",
    "refuse_name",
]


_MAX_AREA: Final = 100_000_000  # as many pixels as an image file may have


def parameter_error(estimator: Any, name: str, expected: str) -> ValueError:
    """Make the error for a parameter with a wrong value."""
    value = getattr(estimator, name)
    return ValueError(f"{type(estimator).__name__}: {name}={value!r} must be {expected}.")


def check_argument(caller: str, name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that an argument of a function is one of several values."""
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{caller}: {name}={value!r} must be one of {allowed}.")


def check_choice(estimator: Any, name: str, choices: Sequence[Any]) -> Any:
    """Check that a parameter is one of several values."""
    value = getattr(estimator, name)
    if value not in choices:
        raise parameter_error(estimator, name, "one of " + ", ".join(map(repr, choices)))
    return value


def check_real(
    estimator: Any,
    name: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Check that a parameter is a number in an interval."""
    value: Any = getattr(estimator, name)
    caller = type(estimator).__name__
    return check_number(
        caller, name, value, minimum=minimum, maximum=maximum, above=above, below=below
    )


def check_integer(estimator: Any, name: str, *, minimum: int) -> int:
    """Check that a parameter is a whole number of at least a minimum."""
    return check_count(type(estimator).__name__, name, getattr(estimator, name), minimum=minimum)


def check_number(
    caller: str,
    name: str,
    value: Any,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Check that an argument of a function is a number in an interval."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not (minimum <= value <= maximum and above < value < below):
        interval = _interval(minimum, maximum, above, below)
        raise ValueError(f"{caller}: {name}={value!r} must be a number{interval}.")
    return float(value)


def check_count(caller: str, name: str, value: Any, *, minimum: int) -> int:
    """Check that an argument of a function is a whole number of at least a minimum."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < minimum:
        raise ValueError(
            f"{caller}: {name}={value!r} must be a whole number of at least {minimum}."
        )
    return int(value)


def check_confidence(caller: str, confidence: Any) -> float:
    """Check the confidence level of intervals."""
    return check_number(caller, "confidence", confidence, above=0, below=1)


def check_threshold(caller: str, threshold: Any) -> float:
    """Check a threshold of scores; it may be infinite, as the first of `roc_curve` is."""
    return (
        float(threshold)
        if threshold in (-np.inf, np.inf)
        else check_number(caller, "threshold", threshold)
    )


def check_scores(caller: str, scores: Any, *, name: str = "scores") -> NDArray[np.float64]:
    """Check that scores are one finite number per image."""
    refuse_masked(caller, name, scores)
    try:
        values = np.asarray(scores)
        # numpy would drop the imaginary parts of complex numbers, and only warn.
        values = values.astype(object if values.dtype.kind == "c" else values.dtype, copy=False)
        values = values.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{caller}: {name} must be real numbers, one per image: {error}."
        ) from error
    if values.ndim != 1:
        raise ValueError(
            f"{caller}: {name} of shape {values.shape} must be one number per image. Pass one "
            "column."
        )
    # An exported detector computes in single precision, and squares of scores must be finite.
    wrong = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(wrong):
        raise ValueError(
            f"{caller}: {name} must be finite, but {len(wrong)} of {len(values)} are not, in "
            f"single precision; the first is {values[wrong[0]]} at index {wrong[0]}. Leave such "
            "images out, or repair the detector."
        )
    return values


def refuse_masked(caller: str, name: str, values: Any) -> None:
    """Refuse masked entries, which numpy's functions take for values like any other."""
    # Without a mask, `numpy.ma` need not be imported, which takes 25 ms.
    if getattr(values, "mask", False) is not False and np.ma.is_masked(values):
        count = f"{np.ma.getmaskarray(values).sum()} of {np.size(values)}"
        raise ValueError(
            f"{caller}: {count} entries of {name} are masked. Leave these images out, or pass "
            f"{name}.filled(value)."
        )


def check_seed(caller: str, random_state: Any) -> int:
    """Convert a random state to the seed of one function call."""
    from sklearn.utils import check_random_state

    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    is_whole = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    if not is_whole or not 0 <= random_state < 2**32:
        raise ValueError(
            f"{caller}: random_state={random_state!r} must be a whole number from 0 to 2**32 - 1, "
            "a numpy RandomState, or None."
        )
    return int(random_state)


def _interval(minimum: float, maximum: float, above: float, below: float) -> str:
    """Describe an interval in words: " from 0 to 1", " above 0 and below 1"."""
    if math.isfinite(minimum) and math.isfinite(maximum):
        return f" from {minimum:g} to {maximum:g}"
    bounds = {"of at least": minimum, "above": above, "of at most": maximum, "below": below}
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    return " " * bool(words) + " and ".join(words)


def check_pair(estimator: Any, name: str) -> tuple[int, int]:
    """Check that a parameter is a pair of positive whole numbers, (height, width)."""
    value = getattr(estimator, name)
    try:
        height, width = value
        good = all(isinstance(v, Integral) and int(v) > 0 for v in (height, width))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise parameter_error(estimator, name, "a pair (height, width) of positive whole numbers")
    if int(height) * int(width) > _MAX_AREA:
        raise parameter_error(
            estimator, name, f"a height and a width of at most {_MAX_AREA} pixels"
        )
    return int(height), int(width)


def refuse_name(caller: str, detector: Any) -> None:
    """Refuse the name or the file of a detector where the detector itself is needed."""
    if isinstance(detector, str | os.PathLike):
        raise TypeError(
            f"{caller}: detector={detector!r} must be a fitted detector, not its name or file. "
            "Call load_detector first."
        )
