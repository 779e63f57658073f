"""Markup in few lines, so that a file that is made is no longer than what is in it."""

from __future__ import annotations

import re


def squeeze(markup: str) -> str:
    """Leave out the space between tags, and ends of lines within them."""
    markup = re.sub(r">\s*\n\s*<", "><", markup)
    return re.sub(r"<[^<>]*>", lambda tag: " ".join(tag[0].split("\n")), markup)
