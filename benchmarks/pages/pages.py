"""Put the figures of the results into the pages of prose and the cards of the shipped detectors.

    python -m benchmarks pages [--check]

With --check nothing is written; it says which pages are not up to date.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks.files import MODELS, ROOT, write_text
from benchmarks.pages.cards import SHIPPED, card
from benchmarks.pages.holes import fill, find_makers

PAGES = {
    "README.md": ("side_by_side",),
    "docs/accuracy.md": (
        "sources",
        "side_by_side",
        "protocols",
        "families",
        "false_positives",
        "robustness",
        "choices",
    ),
    "docs/performance.md": ("speed", "speed_networks", "speed_start", "speed_training"),
    "docs/explanations.md": ("explanations",),
    "docs/texture.md": ("texture",),
    "docs/guide/fingerprints.md": ("fingerprints",),
}
"""Pages, and the modules whose tables they show."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--check", action="store_true", help="write nothing")


def run(arguments: argparse.Namespace) -> None:
    """Write what is not up to date, or say so."""
    changed = [path for path, text in render_all() if path.read_text(encoding="utf-8") != text]
    if arguments.check and changed:
        names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
        raise SystemExit(f"Not up to date: {names}. Run python -m benchmarks pages.")
    for path, text in render_all():
        if path in changed:
            write_text(path, text)
            print(path.relative_to(ROOT))


def render_all() -> list[tuple[Path, str]]:
    """Return every page with its text."""
    pages = [(ROOT / name, render(name)) for name in PAGES]
    return [*pages, *((MODELS / f"{name}.md", card(name)) for name in SHIPPED)]


def render(name: str) -> str:
    """Return a page with its holes filled."""
    makers = find_makers(import_module(f"benchmarks.pages.{module}") for module in PAGES[name])
    return fill((ROOT / name).read_text(encoding="utf-8"), makers)
