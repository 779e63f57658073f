"""Every number of the pages comes from a result, or is known not to be one."""

import pytest

from benchmarks.files import ROOT
from benchmarks.pages.numbers import find_untraced, prose_of, read_listed
from benchmarks.pages.pages import find_pages

PAGES = [page for page in find_pages() if page not in ("docs/api.md", "docs/changelog.md")]


@pytest.mark.parametrize("page", PAGES)
def test_a_number_in_prose_is_from_a_result_or_listed(page):
    assert find_untraced(page, (ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", read_listed())
def test_what_is_listed_is_there(page):
    pages = PAGES if page == "*" else [page]
    prose = "".join(prose_of((ROOT / name).read_text(encoding="utf-8")) for name in pages)
    assert [words for words in read_listed()[page] if words not in prose] == []


@pytest.mark.parametrize(
    "claim", ["an AUC of 0.9", "finds 80 %", "takes 3 ms", "53 MB", "3x faster", "10 times", "2.5"]
)
def test_a_claim_without_a_result_is_found(claim):
    assert len(find_untraced("page", f"It {claim} here.")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`C=0.01` is code",
        "<!-- value: result protocol_e rows -->0.9 [0.8, 1.0]<!-- end -->",
        "```python\nx = 0.5\n```",
        "[a link](page-0.1.md)",
        "128 x 128 pixels, 4 bits, 10 000 images",
        "with 95 % confidence",
    ],
)
def test_what_is_no_claim_is_left_alone(text):
    assert find_untraced("page", text) == []
