"""The pages, the cards and the figures are made from the results."""

import re

import pytest

from benchmarks.files import DOCS, MODELS, ROOT
from benchmarks.pages.cards import SHIPPED, card
from benchmarks.pages.holes import fill, find_makers
from benchmarks.pages.markdown import figure, table
from benchmarks.pages.pages import MODULES, find_pages, render
from benchmarks.pages.single import result, show
from detectorkit.evaluation import Estimate


@pytest.mark.parametrize("name", find_pages())
def test_a_page_shows_the_results(name):
    assert render(name) == (ROOT / name).read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_shows_the_results(name):
    text = card(name)
    assert text == (MODELS / f"{name}.md").read_text()
    assert "<!--" not in text


@pytest.mark.parametrize("name", ["accuracy", "explanations", "fingerprint_detection", "texture"])
def test_a_figure_shows_the_results(name):
    # Places depend on the fonts and the release of matplotlib, so words and marks are compared.
    figures = pytest.importorskip("benchmarks.pages.figures")
    parts = re.compile(r"<text[^>]*>([^<]*)<|<(use) ")

    def shown(svg):
        return parts.findall(svg)

    committed = (DOCS / "figures" / f"{name}.svg").read_text()
    assert shown(figures.draw(name)) == shown(committed)


def test_every_maker_of_the_pages_is_used():
    pages = "".join((ROOT / name).read_text() for name in find_pages())
    used = set(re.findall(r"<!-- (?:table|list|value): ([\w-]+)", pages))
    modules = [pytest.importorskip(f"benchmarks.pages.{module}") for module in MODULES]
    assert set(find_makers(modules)) == used


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
    ("found", "form", "text"),
    [
        (0.0345, ".1%", "3.5 %"),
        (52731263, "MB", "53 MB"),
        ([0.5, 0.25, 0.75], "2", "0.50 [0.25, 0.75]"),
        ({"value": 0.5, "low": 0.25, "high": 0.75}, "1", "0.5 [0.2, 0.8]"),
        (414.2, ".0f", "414"),
    ],
)
def test_a_single_figure_has_the_form_that_is_asked_for(found, form, text):
    assert show(found, form) == text


def test_a_single_figure_comes_from_a_result():
    shown = result("protocol_e", "rows", "clip.as-found", "metrics", "roc_auc", "value", ".1f")
    assert shown == "0.9"


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
