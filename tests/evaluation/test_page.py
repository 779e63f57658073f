from html.parser import HTMLParser

import numpy as np

from detectorkit.evaluation import binary_metrics
from detectorkit.evaluation.page import Page


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]


def test_a_page_is_self_contained_and_escaped(tmp_path):
    page = Page("<script>alert(1)</script>")
    page.heading("A & B")
    page.paragraph("<b>")
    page.code("{<}")
    y, scores = np.array([0, 1, 0, 1]), np.array([-1.0, 1, 0.5, 2])
    page.metrics(binary_metrics(y, scores))
    page.score_histogram(scores, y, 0.0)
    page.images("Pictures", np.zeros((1, 8, 8, 3), np.uint8), ["<img>.png"])
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert "script" not in outline.tags
    assert outline.tags.count("img") == 1
    assert all(link.startswith("data:image/png;base64,") for link in outline.links)
    assert outline.tags.count("tr") == 11
    assert "A &amp; B" in text
