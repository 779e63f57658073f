import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.report.curves import MAX_GENERATORS, draw_curves

NAMES = ["a", "b<c>&", "$x_1$", "_d", "line\nbreak", 'quo"te', "naïve 日本", "x" * 60]


def make_evaluation(n=400, names=NAMES):
    random = np.random.default_rng(0)
    y = np.arange(n) % 2
    scores = random.normal(size=n) + 1.5 * y
    origin = np.where(y == 1, np.array(names)[np.arange(n) // 2 % len(names)], "photographs")
    return Evaluation(y, scores, 0.7, 1 / (1 + np.exp(0.7 - scores)), origin)


@pytest.fixture(scope="module")
def evaluation():
    return make_evaluation()


@pytest.fixture(scope="module")
def svgs(evaluation):
    return {curve.name: curve.svg for curve in draw_curves(evaluation)}


def words(svg):
    return [element.text for element in ET.fromstring(svg).iter("text")]


def lines(svg):
    """The curves inside the axes, as arrays of points."""
    paths = [path for path in ET.fromstring(svg).iter("path") if path.get("clip-path")]
    return [
        np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), float)
        for path in paths
        if "fill: none" in path.get("style")
    ]


def test_all_curves_are_drawn_with_words_for_those_who_cannot_see(svgs):
    assert list(svgs) == ["roc", "precision_recall", "det", "calibration", "confusion"]
    for svg in svgs.values():
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 8


def test_figures_in_the_legends_are_those_of_scikit_learn(evaluation, svgs):
    y, scores = evaluation.y_true, evaluation.scores
    assert f"all (AUC = {roc_auc_score(y, scores):.2f})" in words(svgs["roc"])
    chosen = (y == 0) | (evaluation.origin == "a")
    assert f"a (AUC = {roc_auc_score(y[chosen], scores[chosen]):.2f})" in words(svgs["roc"])
    precision = average_precision_score(y, scores)
    assert f"all (AP = {precision:.2f})" in words(svgs["precision_recall"])
    counts = confusion_matrix(y, scores > evaluation.threshold).ravel()
    assert set(map(str, counts)) <= set(words(svgs["confusion"]))


def test_roc_curves_run_from_corner_to_corner(svgs):
    curves = lines(svgs["roc"])
    assert len(curves) == 2 + len(NAMES)  # all, chance, and one a generator
    for curve in curves:
        assert np.allclose(curve[[0, -1]], curves[0][[0, -1]])
    width, height = np.abs(np.ptp(curves[0], axis=0))
    assert np.isclose(width, height)
    assert (np.diff(curves[0][:, 0]) >= 0).all()


def test_names_stay_text_and_none_is_lost(svgs):
    legend = [text for text in words(svgs["roc"]) if "AUC" in text]
    assert len(legend) == 2 + len(NAMES)
    for name in ("b<c>&", "$x_1$", "\u200b_d", r"line\nbreak", 'quo"te', "naïve 日本"):
        assert any(text.startswith(f"{name} (AUC") for text in legend), name
    assert any(text.startswith("xxx") and "…" in text for text in legend)
    assert "<c>" not in svgs["roc"]


def test_only_so_many_generators_get_a_curve():
    names = [f"generator {number}" for number in range(MAX_GENERATORS + 3)]
    roc = draw_curves(make_evaluation(names=names))[0]
    assert sum("AUC" in text for text in words(roc.svg)) == 2 + MAX_GENERATORS
    assert "the 12 of 15 with the most images" in roc.caption
    alone = draw_curves(make_evaluation(names=["one"]))[0]
    assert sum("AUC" in text for text in words(alone.svg)) == 2


def test_curves_can_stand_in_one_page(svgs):
    text = "".join(svgs.values())
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    used = re.findall(r'href="#([^"]*)"', text) + re.findall(r"url\(#([^)]*)\)", text)
    assert used
    assert set(used) <= set(identifiers)
    links = re.findall(r'\bhref="([^"#][^"]*)"', text)
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not re.search(r"<\?xml|<!DOCTYPE|<metadata|<style|<script|http", text)


def test_colours_follow_the_text_around(svgs):
    assert all("#000000" not in svg and "currentColor" in svg for svg in svgs.values())


def test_the_same_evaluation_gives_the_same_bytes_whatever_the_style(evaluation, svgs):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    with mpl.rc_context({"lines.linewidth": 7, "svg.hashsalt": "other", "text.color": "red"}):
        again = {curve.name: curve.svg for curve in draw_curves(evaluation)}
        assert mpl.rcParams["lines.linewidth"] == 7
    assert again == svgs
    assert plt.get_fignums() == before  # figures of others stay


def test_perfect_scores_and_equal_scores_can_be_drawn():
    evaluation = make_evaluation(n=40)
    y = evaluation.y_true
    for scores in (y.astype(float), np.zeros(len(y)), -y.astype(float)):
        assert len(draw_curves(replace(evaluation, scores=scores, probabilities=scores**2))) == 5


def test_without_probabilities_there_is_no_calibration(evaluation):
    names = [curve.name for curve in draw_curves(replace(evaluation, probabilities=None))]
    assert names == ["roc", "precision_recall", "det", "confusion"]


def test_one_class_has_no_curves(evaluation):
    real = evaluation.y_true == 0
    alone = Evaluation(
        evaluation.y_true[real], evaluation.scores[real], 0.0, None, evaluation.origin[real]
    )
    assert draw_curves(alone) == []


def test_without_matplotlib_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from detectorkit.report.curves import check_matplotlib\n"
        "try: check_matplotlib()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install matplotlib" in done.stdout


def test_matplotlib_is_imported_late():
    code = (
        "import sys, detectorkit.report.report\n"
        "print([name for name in ('matplotlib', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
