"""Checks of constructor parameters, run in `fit`, with one form of message."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

__all__ = [
    "check_argument",
    "check_choice",
    "check_integer",
    "check_pair",
    "check_real",
    "parameter_error",
]


def parameter_error(estimator: Any, name: str, expected: str) -> ValueError:
    """Make the error for a parameter of a wrong value.

    Parameters
    ----------
    estimator : object
        The estimator that has the parameter.
    name : str
        The name of the parameter.
    expected : str
        What it must be.

    Returns
    -------
    error : ValueError
        To be raised; it names class, parameter, value and cure.
    """
    value = getattr(estimator, name)
    return ValueError(f"{type(estimator).__name__}: {name}={value!r} must be {expected}.")


def check_argument(caller: str, name: str, value: Any, choices: Sequence[Any]) -> None:
    """Check that an argument of a function is one of several values.

    Parameters
    ----------
    caller : str
        The name of the function.
    name : str
        The name of the argument.
    value : object
        What was given.
    choices : sequence
        The values that are allowed.

    Raises
    ------
    ValueError
        If it is none of the choices.
    """
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{caller}: {name}={value!r} must be one of {allowed}.")


def check_choice(estimator: Any, name: str, choices: Sequence[Any]) -> Any:
    """Check that a parameter is one of several values.

    Parameters
    ----------
    estimator : object
        The estimator that has the parameter.
    name : str
        The name of the parameter.
    choices : sequence
        The values that are allowed.

    Returns
    -------
    value : object
        The value of the parameter.

    Raises
    ------
    ValueError
        If it is none of the choices.
    """
    value = getattr(estimator, name)
    if value not in choices:
        raise parameter_error(estimator, name, "one of " + ", ".join(map(repr, choices)))
    return value


def check_real(
    estimator: Any, name: str, *, above: float = float("-inf"), below: float = float("inf")
) -> float:
    """Check that a parameter is a number in an open interval.

    Parameters
    ----------
    estimator : object
        The estimator that has the parameter.
    name : str
        The name of the parameter.
    above, below : float
        The bounds, not included.

    Returns
    -------
    value : float
        The value of the parameter.

    Raises
    ------
    ValueError
        If it is no number in the interval.
    """
    value: Any = getattr(estimator, name)
    is_number = isinstance(value, Real) and value is not True and value is not False
    if not is_number or not above < value < below:
        limits = [f"above {above:g}"] * (above > float("-inf"))
        limits += [f"below {below:g}"] * (below < float("inf"))
        raise parameter_error(estimator, name, "a number " + " and ".join(limits))
    return float(value)


def check_integer(estimator: Any, name: str, *, minimum: int) -> int:
    """Check that a parameter is a whole number of a least size.

    Parameters
    ----------
    estimator : object
        The estimator that has the parameter.
    name : str
        The name of the parameter.
    minimum : int
        The least value allowed.

    Returns
    -------
    value : int
        The value of the parameter.

    Raises
    ------
    ValueError
        If it is no whole number or too small.
    """
    value: Any = getattr(estimator, name)
    is_whole = isinstance(value, Integral) and value is not True and value is not False
    if not is_whole or value < minimum:
        raise parameter_error(estimator, name, f"a whole number of at least {minimum}")
    return int(value)


def check_pair(estimator: Any, name: str) -> tuple[int, int]:
    """Check that a parameter is a pair of positive whole numbers, (height, width).

    Parameters
    ----------
    estimator : object
        The estimator that has the parameter.
    name : str
        The name of the parameter.

    Returns
    -------
    value : tuple of (int, int)
        The value of the parameter.

    Raises
    ------
    ValueError
        If it is anything else.
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
