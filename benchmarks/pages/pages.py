"""Put the figures of the results into the pages of prose and the cards of the shipped detectors.

    python -m benchmarks pages [--check]

With --check nothing is written; it says which pages are not up to date.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks.files import DOCS, MODELS, ROOT, write_text
from benchmarks.pages.cards import SHIPPED, card
from benchmarks.pages.holes import fill, find_makers

MODULES = (
    "choices",
    "ensembles",
    "explanations",
    "false_positives",
    "families",
    "fingerprints",
    "honest",
    "protocols",
    "robustness",
    "side_by_side",
    "single",
    "sources",
    "speed",
    "speed_networks",
    "speed_start",
    "speed_training",
    "texture",
)
"""Modules whose `__all__` names what fills the holes of the pages."""


def find_pages() -> list[str]:
    """Return the pages that have holes, and those that might: README.md and all of docs/."""
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), *(DOCS / "guide").glob("*.md")]
    return sorted(page.relative_to(ROOT).as_posix() for page in pages)


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
    pages = [(ROOT / name, render(name)) for name in find_pages()]
    return [*pages, *((MODELS / f"{name}.md", card(name)) for name in SHIPPED)]


def render(name: str) -> str:
    """Return a page with its holes filled."""
    makers = find_makers(import_module(f"benchmarks.pages.{module}") for module in MODULES)
    return fill((ROOT / name).read_text(encoding="utf-8"), makers)
