import html
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from detectorkit.evaluation import binary_metrics
from detectorkit.metrics.estimates import Estimate
from detectorkit.report.histogram import count_scores
from detectorkit.report.page import Page
from detectorkit.utils.files import write_whole
from detectorkit.utils.text import printable, to_html_text, to_markdown_text


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]


def outline_of(page):
    outline = Outline()
    outline.feed(page.to_html())
    return outline


def render(markdown):
    """The HTML that CommonMark with tables makes of it."""
    return MarkdownIt("commonmark").enable("table").render(markdown)


def plain(rendered):
    return html.unescape(re.sub(r"<[^>]*>", "", rendered)).strip()


@pytest.fixture
def page():
    page = Page("<script>alert(1)</script>")
    page.heading("A & B")
    page.paragraph("<b>")
    page.code("{<}")
    y, scores = np.array([0, 1, 0, 1]), np.array([-1.0, 1, 0.5, 2])
    page.metrics(binary_metrics(y, scores))
    page.score_histogram(scores, y, 0.0)
    page.images("Pictures", np.zeros((1, 8, 8, 3), np.uint8), ["<img>.png"])
    return page


def test_a_page_is_self_contained_and_escaped(page, tmp_path):
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text == page.to_html()
    outline = outline_of(page)
    assert "script" not in outline.tags
    assert outline.tags.count("img") == 1
    assert all(link.startswith("data:image/png;base64,") for link in outline.links)
    assert outline.tags.count("tr") == 11
    assert "A &amp; B" in text


def test_a_page_as_markdown_has_the_same_text_and_tables(page):
    rendered = render(page.to_markdown())
    assert "<script" not in rendered
    assert "<img" not in rendered
    assert rendered.count("<tr>") == 11
    assert "<h2>A &amp; B</h2>" in rendered
    assert "<code>{&lt;}" in rendered
    assert "Chart, in the HTML page only" in rendered
    assert "<li>&lt;img&gt;.png</li>" in rendered


def test_cells_with_pipes_and_line_ends_stay_one_cell():
    page = Page("t")
    page.table(["name", "n"], [["a|b\nc", 3], [r"d\|e", 4]])
    rendered = render(page.to_markdown())
    assert re.findall("<td>(.*)</td>", rendered) == [r"a|b\nc", "3", r"d\|e", "4"]


def test_intervals_do_not_break_in_html_and_undefined_figures_are_said_in_words():
    page = Page("t")
    page.metrics({"roc_auc": Estimate(0.5, 0.25, 0.75), "f1": Estimate(*[float("nan")] * 3)})
    assert "0.250\u00a0to\u00a00.750" in page.to_html()
    assert "| roc auc | 0.500 | 0.250 to 0.750 |" in page.to_markdown()
    assert "| f1 | not defined |  |" in page.to_markdown()


def test_metrics_can_be_explained_and_have_another_confidence():
    page = Page("t")
    estimate = Estimate(0.5, 0.25, 0.75)
    page.metrics({"recall": estimate}, meanings={"recall": "proportion found"}, confidence=0.9)
    assert "| metric | value | 90 % interval | meaning |" in page.to_markdown()
    assert "proportion found" in page.to_html()


def test_long_pages_have_a_table_of_contents_below_the_lead():
    page = Page("t")
    page.paragraph("What matters most", "lead")
    for name in ("One", "<Two>", "Three"):
        page.heading(name)
        page.heading("detail", 3)
    assert "<nav" not in page.to_html()
    page.heading("Four")
    text = page.to_html()
    links = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', text)
    assert [name for _, name in links] == ["One", "&lt;Two&gt;", "Three", "Four"]
    assert all(f'<h2 id="{place}">{name}</h2>' in text for place, name in links)
    assert text.index("What matters most") < text.index("<nav") < text.index("<h2")
    assert "<a" not in page.to_markdown()


def test_pictures_are_shown_in_their_own_size():
    page = Page("t")
    page.images("Pictures", [np.zeros((160, 324, 3), np.uint8)], ["wide"])
    assert '<figure style="width: 324px">' in page.to_html()


def test_warnings_and_lists_look_different_from_paragraphs():
    page = Page("t")
    page.paragraph("Mind", "warning")
    page.items(["one", "two"])
    assert '<p class="warning">Mind</p>' in page.to_html()
    assert "> Mind\n\n- one\n- two\n" in page.to_markdown()


@settings(deadline=None)
@given(st.text())
def test_any_text_stays_text_in_html(text):
    assert html.unescape(to_html_text(text)) == printable(text)
    assert not set("<>\"'\n") & set(to_html_text(text))


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_written_and_is_one_line(text):
    assert printable(text).encode("utf-8").decode() == printable(text)
    assert len(printable(text).splitlines()) <= 1


@settings(deadline=None)
@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\\`*_[]()<>#|~$!&-+=1.: \t\n")))
)
def test_any_text_stays_text_in_markdown(text):
    rendered = render(to_markdown_text(text))
    assert set(re.findall(r"</?(\w+)", rendered)) <= {"p"}
    assert plain(rendered).split() == printable(text).split()


@settings(deadline=None)
@given(st.text(alphabet="`a\n ~"))
def test_any_text_stays_in_its_block_of_code(text):
    page = Page("t")
    page.code(text)
    page.paragraph("after")
    rendered = render(page.to_markdown())
    assert rendered.endswith("</code></pre>\n<p>after</p>\n")


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [([1.0, 1.0], 1.0), ([-2.0, 3.0], 9.0), ([0.0, 1.0], float("inf")), ([0.5, 0.5], -0.5)],
)
def test_every_score_and_the_threshold_are_within_the_histogram(scores, threshold):
    scores, y = np.array(scores), np.array([0, 1])
    edges, counts = count_scores(scores, y, threshold)
    assert sum(map(sum, counts)) == 2
    assert not np.isfinite(threshold) or edges[0] <= threshold <= edges[-1]
    page = Page("t")
    page.score_histogram(scores, y, threshold)
    assert "nan" not in page.to_html()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "page.html"
    write_whole(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(target, "new \ud800")
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
