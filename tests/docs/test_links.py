"""Links of the pages have words, and lead to files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/guide").glob("*.md")]
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_have_words_and_a_target(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for words, target in LINK.findall(text):
        assert words, f"the link to {target} cannot be seen where pages are not built"
        if not re.match(r"https?:|mailto:|#|(\.\./)?auto_examples/", target):  # made by the build
            assert (page.parent / target.partition("#")[0]).exists(), target
