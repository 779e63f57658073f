"""Checks of parameters, arguments and scores, with error messages of one form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

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
    "parameter_error",
]


def parameter_error(estimator: Any, name: str, expected: str) -> ValueError:
    """Make the error for a parameter with a wrong value.

    Parameters
    ----------
    estimator : object
        Estimator that has the parameter.
    name : str
        Name of the parameter with the wrong value.
    expected : str
        Description of an allowed value, such as "a positive number".

    Returns
    -------
    error : ValueError
        Error to raise, which names class, parameter, value and `expected`.
    """
    value = getattr(estimator, name)
    return ValueError(f"{type(estimator).__name__}: {name}={value!r} must be {expected}.")


def check_argument(caller: str, name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that an argument of a function is one of several values.

    Parameters
    ----------
    caller : str
        Name of the function that error messages begin with.
    name : str
        Name of the argument, for error messages.
    value : object
        Value that was passed to the function.
    choices : sequence
        All values that are allowed.

    Raises
    ------
    ValueError
        If the value is not one of the choices.
    """
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{caller}: {name}={value!r} must be one of {allowed}.")


def check_choice(estimator: Any, name: str, choices: Sequence[Any]) -> Any:
    """Check that a parameter is one of several values.

    Parameters
    ----------
    estimator : object
        Estimator that has the parameter.
    name : str
        Name of the parameter to check.
    choices : sequence
        All values that are allowed.

    Returns
    -------
    value : object
        The value of the parameter.

    Raises
    ------
    ValueError
        If the value is not one of the choices.
    """
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
    """Check that a parameter is a number in an interval.

    Parameters
    ----------
    estimator : object
        Estimator that has the parameter.
    name : str
        Name of the parameter to check.
    minimum, maximum : float
        Bounds that are included in the interval.
    above, below : float
        Bounds that are excluded from the interval.

    Returns
    -------
    value : float
        The value of the parameter.

    Raises
    ------
    ValueError
        If the value is not a number in the interval.
    """
    value: Any = getattr(estimator, name)
    caller = type(estimator).__name__
    return check_number(
        caller, name, value, minimum=minimum, maximum=maximum, above=above, below=below
    )


def check_integer(estimator: Any, name: str, *, minimum: int) -> int:
    """Check that a parameter is a whole number of at least a minimum.

    Parameters
    ----------
    estimator : object
        Estimator that has the parameter.
    name : str
        Name of the parameter to check.
    minimum : int
        Smallest value that is allowed.

    Returns
    -------
    value : int
        The value of the parameter.

    Raises
    ------
    ValueError
        If the value is not a whole number or is too small.
    """
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
    """Check that an argument of a function is a number in an interval.

    Parameters
    ----------
    caller : str
        Name of the function that error messages begin with.
    name : str
        Name of the argument, for error messages.
    value : object
        Value that was passed to the function.
    minimum, maximum : float
        Bounds that are included in the interval.
    above, below : float
        Bounds that are excluded from the interval.

    Returns
    -------
    value : float
        The value as a float.

    Raises
    ------
    ValueError
        If the value is not a number in the interval.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not (minimum <= value <= maximum and above < value < below):
        interval = _interval(minimum, maximum, above, below)
        raise ValueError(f"{caller}: {name}={value!r} must be a number{interval}.")
    return float(value)


def check_count(caller: str, name: str, value: Any, *, minimum: int) -> int:
    """Check that an argument of a function is a whole number of at least a minimum.

    Parameters
    ----------
    caller : str
        Name of the function that error messages begin with.
    name : str
        Name of the argument, for error messages.
    value : object
        Value that was passed to the function.
    minimum : int
        Smallest value that is allowed.

    Returns
    -------
    value : int
        The value as an int.

    Raises
    ------
    ValueError
        If the value is not a whole number or is too small.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < minimum:
        raise ValueError(
            f"{caller}: {name}={value!r} must be a whole number of at least {minimum}."
        )
    return int(value)


def check_confidence(caller: str, confidence: Any) -> float:
    """Check the confidence level of intervals.

    Parameters
    ----------
    caller : str
        Name of the function that error messages begin with.
    confidence : object
        Value that was passed to the function.

    Returns
    -------
    confidence : float
        A number above 0 and below 1.

    Raises
    ------
    ValueError
        If the value is not such a number.
    """
    return check_number(caller, "confidence", confidence, above=0, below=1)


def check_scores(caller: str, scores: Any, *, name: str = "scores") -> NDArray[np.float64]:
    """Check that scores are one finite number per image.

    Parameters
    ----------
    caller : str
        Name of the function, or of the detector that computed the scores.
    scores : array-like of shape (n_samples,)
        Scores, or other numbers, of the images.
    name : str, default="scores"
        Name of the argument, for error messages.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Scores of the images as floats.

    Raises
    ------
    ValueError
        If there are several columns, or a score is missing, NaN or infinite. A NaN is never above
        a threshold and would mean "real".
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"{caller}: {name} of shape {values.shape} must be one number per image. Pass one "
            "column."
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ValueError(
            f"{caller}: {name} must be finite, but {len(wrong)} of {len(values)} are not; the "
            f"first is {values[wrong[0]]} at index {wrong[0]}. Leave such images out, or repair "
            "the detector."
        )
    return values


def check_seed(caller: str, random_state: Any) -> int:
    """Convert a random state to the seed of one function call.

    Parameters
    ----------
    caller : str
        Name of the function that error messages begin with.
    random_state : int, RandomState instance or None
        Random state that was passed to the function.

    Returns
    -------
    seed : int
        An int is returned unchanged. Otherwise a seed is drawn from the RandomState, or from
        numpy's global one if None.

    Raises
    ------
    ValueError
        If the random state is of another type, or a number outside the range.
    """
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
    """Check that a parameter is a pair of positive whole numbers, (height, width).

    Parameters
    ----------
    estimator : object
        Estimator that has the parameter.
    name : str
        Name of the parameter to check.

    Returns
    -------
    value : tuple of (int, int)
        The value of the parameter.

    Raises
    ------
    ValueError
        If the value is not such a pair.
    """
    value = getattr(estimator, name)
    try:
        height, width = value
        good = all(isinstance(v, Integral) and int(v) > 0 for v in (height, width))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise parameter_error(estimator, name, "a pair (height, width) of positive whole numbers")
    return int(height), int(width)
