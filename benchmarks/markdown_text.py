"""Tables and figures in Markdown."""

from __future__ import annotations


def table(head: list[str], rows: list[list[str]]) -> str:
    """Give a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cost(budget: dict) -> str:
    """Say what a training might cost at most."""
    epochs = f"{budget['max_epochs']} epoch" + "s" * (budget["max_epochs"] > 1)
    return epochs + (f" of {budget['max_images']} images" if budget["max_images"] else "")


def figure(estimate: dict) -> str:
    """Give a value with its interval, where it has one."""
    if estimate["value"] is None:
        return ""
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
