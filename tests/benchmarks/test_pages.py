"""The pages, the cards and the figures are made from the results."""

import re

import pytest

from benchmarks.files import DOCS, MODELS, ROOT
from benchmarks.pages.cards import SHIPPED, card
from benchmarks.pages.holes import fill, find_makers
from benchmarks.pages.markdown import figure, table
from benchmarks.pages.pages import PAGES, render
from detectorkit.evaluation import Estimate


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_the_results(name):
    assert render(name) == (ROOT / name).read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_shows_the_results(name):
    text = card(name)
    assert text == (MODELS / f"{name}.md").read_text()
    assert "<!--" not in text


@pytest.mark.parametrize("name", ["explanations", "fingerprint_detection", "texture"])
def test_a_figure_shows_the_results(name):
    # Places depend on the fonts and the release of matplotlib, so words and marks are compared.
    figures = pytest.importorskip("benchmarks.pages.figures")
    parts = re.compile(r"<text[^>]*>([^<]*)<|<(use) ")

    def shown(svg):
        return parts.findall(svg)

    committed = (DOCS / "figures" / f"{name}.svg").read_text()
    assert shown(figures.draw(name)) == shown(committed)


def test_every_maker_of_a_page_is_used():
    for name, modules in PAGES.items():
        page = (ROOT / name).read_text()
        used = set(re.findall(r"<!-- (?:table|list|value): ([\w-]+)", page))
        imported = [pytest.importorskip(f"benchmarks.pages.{module}") for module in modules]
        assert set(find_makers(imported)) == used


def test_holes_are_filled_again_and_prose_stays():
    page = "Prose.\n\n<!-- table: rows a 1 -->\nold\n<!-- end -->\n\n"
    page += "It is <!-- value: one -->0<!-- end -->.\n"
    makers = {"rows": lambda *words: table(["", ""], [words]), "one": lambda: "1"}
    once = fill(page, makers)
    assert "| a | 1 |" in once
    assert "It is <!-- value: one -->1<!-- end -->.\n" in once
    assert "old" not in once
    assert fill(once, makers) == once


def test_holes_without_marks_leave_text_alone():
    assert fill("a <!-- value: one --><!-- end --> b", {"one": lambda: "1"}, keep_marks=False) == (
        "a 1 b"
    )


def test_a_hole_that_nothing_fills_is_an_error():
    with pytest.raises(ValueError, match="'nothing' is not a hole that is known"):
        fill("<!-- table: nothing -->\n<!-- end -->", {})


def test_a_value_may_not_begin_a_line():
    with pytest.raises(ValueError, match="start of a line"):
        fill("text\n<!-- value: one -->1<!-- end -->", {"one": lambda: "1"})


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.5, 0.25, 0.75), "0.500 [0.250, 0.750]"),
        ([0.5, None, None], "0.500"),
        ([None, None, None], ""),
    ],
)
def test_a_figure_has_its_interval_where_there_is_one(estimate, text):
    assert figure(estimate) == text
