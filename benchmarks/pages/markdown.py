"""Tables, lists and figures in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any

from detectorkit.evaluation import Estimate

TREATMENTS = {"aligned": "aligned", "crop": "crop", "as-found": "as found"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, of cells that are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(estimate: Estimate | Sequence[float | None], digits: int = 3) -> str:
    """Return a value with its interval, where it has one."""
    value, low, high = (float("nan") if x is None else x for x in estimate)
    if isnan(value):
        return ""
    if isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def value(estimate: Estimate | Sequence[float], digits: int = 3) -> str:
    """Return a value without its interval."""
    return f"{estimate[0]:.{digits}f}"


def cost(budget: dict[str, Any]) -> str:
    """Say what a training might cost at most."""
    epochs = f"{budget['max_epochs']} epoch" + "s" * (budget["max_epochs"] > 1)
    return epochs + (f" of {budget['max_images']} images" if budget["max_images"] else "")


def mean(values: Iterable[float]) -> str:
    """Return a mean."""
    values = list(values)
    return f"{sum(values) / len(values):.3f}"


def mean_and_worst(by_name: dict[str, float]) -> str:
    """Return the mean, and the highest with its name."""
    worst = max(by_name, key=lambda name: by_name[name])
    return f"{mean(by_name.values())} ({worst} {by_name[worst]:.3f})"
