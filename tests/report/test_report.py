import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from itertools import pairwise

import cv2
import numpy as np
import pytest
from markdown_it import MarkdownIt

from detectorkit.calibration.decision import Band
from detectorkit.calibration.maps import SigmoidCalibration
from detectorkit.evaluation.evaluate import Evaluation
from detectorkit.evaluation.robustness.report import RobustnessReport
from detectorkit.graph.record import ModelRecord
from detectorkit.images.preprocessing import Preprocessing
from detectorkit.report import check_report_path, draw_curves, hash_files, make_report
from detectorkit.utils.text import printable

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "<img src=x onerror=document.title='owned'>.png",
    "\"><script>document.title='owned'</script>.png",
    "a|b' onload='document.title=1.png",
    "naïve 日本 🙂.png",
    "line\nbreak.png",
    "[x](javascript:alert(1)).png",
    "&lt;b&gt; `code` $x$ *y*.png",
    "no utf-8 \udcff.png",
    "\u202egnp.exe",
    "</title></style></svg><h1>big</h1>.png",
]
VOID = {"meta", "img", "br", "hr", "input"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "form", "base", "audio", "video"}
DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Document(HTMLParser):
    """Checks that every element is closed in order; keeps what a reader would see."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())


def make_evaluation(n=440, generators=("known-g", "new-g"), sources=("known-s", "new-s")):
    """Scores that tell known generators from photographs, and have the new ones upside down."""
    random = np.random.default_rng(1)
    y = np.arange(n) % 2
    turn = np.arange(n) // 2
    origin = np.where(
        y == 1,
        np.array(generators)[turn % len(generators)],
        np.array(sources)[turn % len(sources)],
    )
    lift = np.where(origin == generators[0], 2.0, -1.0)
    scores = random.normal(size=n) + lift * y
    return Evaluation(y, scores, 0.5, 1 / (1 + np.exp(0.5 - scores)), origin, n_resamples=100)


def make_record(**training):
    return ModelRecord(
        detector="HoGSVMDetector",
        preprocessing=Preprocessing((128, 128), "gray"),
        features=[{"name": "hog"}],
        classes=[0, 1],
        threshold=0.5,
        calibration=SigmoidCalibration(1.0, 0.5),
        training=training,
    )


RECORD = make_record(generators=["known-g"], sources=["known-s"], n_samples=7)


def make_images(n, size=(40, 200)):
    return [np.full((*size, 3), index % 256, np.uint8) for index in range(n)]


def part(evaluation, mask):
    return replace(
        evaluation,
        y_true=evaluation.y_true[mask],
        scores=evaluation.scores[mask],
        probabilities=evaluation.probabilities[mask],
        origin=evaluation.origin[mask],
    )


@pytest.fixture(scope="module")
def drawn():
    """Evaluations, each with its curves."""
    return []


@pytest.fixture(autouse=True)
def draw_once(drawn, request, monkeypatch):
    """Draw the curves of one evaluation once, for drawing is most of the time.

    That they are the same each time is tested below and in test_curves.py.
    """

    def draw(evaluation):
        for known, curves in drawn:
            if known is evaluation:
                return curves
        drawn.append((evaluation, draw_curves(evaluation)))
        return drawn[-1][1]

    if "the_same_input" not in request.node.name:
        monkeypatch.setattr("detectorkit.report.data.draw_curves", draw)


@pytest.fixture(scope="module")
def evaluation():
    return make_evaluation()


@pytest.fixture(scope="module")
def report(evaluation):
    n = len(evaluation.y_true)
    return make_report(
        evaluation,
        title="A report",
        record=RECORD,
        images=make_images(n),
        names=[f"{index}.png" for index in range(n)],
        hashes={"model": "ab" * 32, "data": "cd" * 32},
        command="detectorkit report m.onnx data -o r.html",
        notes=["A note of mine."],
        date=DATE,
    )


@pytest.fixture(scope="module")
def hostile_report():
    """Every name, title, note and command tries to be more than text."""
    evaluation = make_evaluation(generators=HOSTILE, sources=[*HOSTILE[::-1], "plain"])
    n = len(evaluation.y_true)
    return make_report(
        evaluation,
        title=HOSTILE[10],
        record=make_record(generators=HOSTILE[:4], sources=HOSTILE[4:], note=HOSTILE[2]),
        images=make_images(n),
        names=[HOSTILE[index % len(HOSTILE)] for index in range(n)],
        command=f"detectorkit report {HOSTILE[0]}",
        notes=HOSTILE,
        date=DATE,
    )


def check_self_contained(document):
    assert not FORBIDDEN & set(document.tags)
    identifiers = {value for name, value in document.attributes if name == "id"}
    for name, value in document.attributes:
        assert not name.startswith("on"), (name, value)
        if name in {"src", "href"}:
            assert value.startswith(("data:image/jpeg;base64,", "data:image/png;base64,", "#"))
            assert value[1:] in identifiers or not value.startswith("#")
        assert not re.search(r"url\((?!#)", value or "")


def test_the_page_is_balanced_and_self_contained(report):
    text = report.to_html()
    document = Document(text)
    check_self_contained(document)
    identifiers = [value for name, value in document.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert document.tags.count("svg") == 6
    assert text.count("http") == 1  # of http-equiv: there is no address


def test_figures_on_the_page_are_those_of_the_evaluation(report, evaluation):
    text = Document(report.to_html()).text
    for estimate in [
        *evaluation.metrics.values(),
        *evaluation.probability_metrics.values(),
        evaluation.macro_balanced_accuracy,
    ]:
        assert f"{estimate.value:.3f} {estimate.low:.3f} to {estimate.high:.3f}" in text
    for row in evaluation.origins:
        called = row.called_generated
        assert f"{row.n} {called.value:.3f} ({called.low:.3f} to {called.high:.3f})" in text
    for prevalence in (0.5, 0.1, 0.01):
        assert f"{100 * prevalence:g} % {evaluation.precision_at(prevalence).value:.3f}" in text
    for row in evaluation.reliability:
        assert f"{row.mean_probability:.3f} {row.generated.value:.3f}" in text


def test_undecided_images_are_counted_where_there_is_a_band(report, evaluation):
    assert "can't tell" not in report.to_markdown()
    banded = make_report(replace(evaluation, band=Band(-0.5, 0.5)), title="A band")
    undecided = int(np.sum((evaluation.scores > -0.5) & (evaluation.scores <= 0.5)))
    text = Document(banded.to_html()).text
    assert f"at scores from -0.5 to 0.5, which is so for {undecided} of" in text
    for estimate in banded.evaluation.verdict_metrics.values():
        assert f"{estimate.value:.3f}" in text


def test_known_and_unknown_stand_side_by_side(report, evaluation):
    known = np.isin(evaluation.origin, ["known-g", "known-s"])
    parts = {"self": part(evaluation, known), "foreign": part(evaluation, ~known)}
    summary = report.to_dict()["self_and_foreign"]
    for name, expected in parts.items():
        assert summary[name]["n"] == len(expected.y_true) == 220
        assert summary[name]["metrics"]["roc_auc"] == expected.metrics["roc_auc"].to_dict()
    own, other = (f"{parts[name].metrics['roc_auc'].value:.3f}" for name in ("self", "foreign"))
    assert re.search(
        rf"area under ROC curve {own} \([^)]*\) {other} ", Document(report.to_html()).text
    )
    assert "| generators | known-g | new-g |" in report.to_markdown()
    assert "| photographs from | known-s | new-s |" in report.to_markdown()


def test_a_class_of_one_kind_is_compared_with_both(evaluation):
    record = make_record(generators=["known-g"], sources=["elsewhere"])
    report = make_report(evaluation, title="t", record=record)
    summary = report.to_dict()["self_and_foreign"]
    assert summary["self"]["n_real"] == summary["foreign"]["n_real"] == 220
    assert summary["self"]["generators"] == ["known-g"]
    assert "The photographs are the same in both columns." in report.to_markdown()
    assert "The generated images are the same" not in report.to_markdown()


@pytest.mark.parametrize(
    "record", [None, make_record(), make_record(generators="known-g", sources=["photographs"])]
)
def test_what_is_not_recorded_is_said_to_be_so(evaluation, record):
    report = make_report(evaluation, title="t", record=record)
    text = Document(report.to_html()).text
    assert "Trained on generators: not recorded." in text
    assert "Trained on photographs from: not recorded." in text
    assert "does not say which of these it was trained on" in text
    content = report.to_dict()
    assert {row["training"] for row in content["evaluation"]["origins"]} == {"not recorded"}
    assert content["self_and_foreign"] == {}


def test_images_without_a_named_origin_are_not_taken_for_known():
    evaluation = make_evaluation(generators=["generated"], sources=["photographs"])
    record = make_record(generators=["generated", "g"], sources=["photographs", "s"])
    content = make_report(evaluation, title="t", record=record).to_dict()
    assert {row["training"] for row in content["evaluation"]["origins"]} == {"not recorded"}
    assert content["trained_on"] == {"generators": ["g"], "sources": ["s"]}
    assert content["headline"].startswith("220 photographs and 220 generated images. ")


def test_inverted_generators_are_named_in_words(report):
    inverted = report.to_dict()["inverted"]
    assert re.search(r"look more real than photographs do .*: new-g 0\.2", inverted)
    assert "known-g" not in inverted
    assert inverted in Document(report.to_html()).text


def test_an_inversion_that_may_be_chance_is_called_so():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5])
    y = np.array([0, 0, 0, 0, 1, 1, 1])
    origin = np.where(y == 1, "g", "s")
    report = make_report(Evaluation(y, scores, 1.0, None, origin), title="t")
    assert report.to_dict()["inverted"] == ""
    report = make_report(Evaluation(y, scores - 0.6 * y, 1.0, None, origin), title="t")
    assert report.to_dict()["inverted"].startswith("Perhaps inverted")


def test_the_page_warns(report):
    for text in (Document(report.to_html()).text, report.to_markdown()):
        assert "say little about other generators" in text
        assert "a verdict is not a proof" in text
        assert "A note of mine." in text


def test_its_repr_is_short(report):
    assert repr(report).startswith(f"Report(title={report.title!r}, hashes=")
    assert "array(" not in repr(report)
    assert len(repr(report)) < 2000


def test_the_surest_verdicts_are_shown(report, evaluation):
    content = report.to_dict()["examples"]
    right, alarms, misses = content.values()
    y, scores = evaluation.y_true, evaluation.scores
    real, generated = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    assert alarms[0]["index"] == real[np.argmax(scores[real])]
    assert alarms[0]["probability"] == evaluation.probabilities[alarms[0]["index"]]
    assert alarms[0]["name"] == f"{alarms[0]['index']}.png"
    assert misses[0]["index"] == generated[np.argmin(scores[generated])]
    assert [example["class"] for example in right] == ["generated"] * 4 + ["real"] * 4
    assert all(a["score"] >= b["score"] > 0.5 for a, b in pairwise(alarms))
    text = Document(report.to_html()).text
    for example in (*right, *alarms, *misses):
        assert f"{example['name']} ({example['class']}, {example['origin']})" in text


def test_pictures_are_small_jpegs(report):
    import base64

    encoded = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', report.to_html())
    assert len(encoded) == 24
    image = cv2.imdecode(np.frombuffer(base64.b64decode(encoded[0]), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (32, 160, 3)


class RedHalf:
    """A map that is high in the upper half of every image."""

    def transform(self, X):
        found = np.zeros(X.shape_of(0), np.float32)
        found[: len(found) // 2] = 1
        return [found]


def test_maps_stand_beside_the_pictures(evaluation):
    n = len(evaluation.y_true)
    report = make_report(evaluation, title="t", images=make_images(n), explainer=RedHalf())
    picture = report.examples[0].pictures[0]
    assert picture.shape == (32, 160 + 4 + 160, 3)
    red, _, blue = picture[:, 164:].astype(int).transpose(2, 0, 1)
    assert (red - blue)[:15].min() > 50
    assert np.abs(red - blue)[17:].max() < 10


def test_without_images_and_names_none_is_mentioned(evaluation):
    report = make_report(evaluation, title="t")
    assert report.to_dict()["examples"] == {}
    assert "Images worth a look" not in report.to_html()
    assert "<img" not in report.to_html()


def test_names_alone_give_a_list(evaluation):
    names = [f"picture-{index}" for index in range(len(evaluation.y_true))]
    text = make_report(evaluation, title="t", names=names).to_html()
    assert "<img" not in text
    assert text.count("<li>picture-") == 24


def test_files_lend_their_names(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    evaluation = Evaluation(
        np.array([0, 1]), np.array([1.0, -1.0]), 0.0, None, np.array(["s", "g"]), n_resamples=10
    )
    report = make_report(evaluation, title="t", images=paths)
    text = Document(report.to_html()).text
    assert "a.png (real, s): score 1.00" in text
    assert "b.png (generated, g): score -1.00" in text
    assert "None." in text  # nothing is right


def test_the_number_of_images_and_names_is_checked(evaluation):
    with pytest.raises(ValueError, match="images has 3 entries, but the evaluation is of 440"):
        make_report(evaluation, title="t", images=make_images(3))
    with pytest.raises(ValueError, match="names has 1 entries"):
        make_report(evaluation, title="t", names=["a"])


def test_photographs_alone_give_a_report_without_curves(evaluation):
    report = make_report(part(evaluation, evaluation.y_true == 0), title="t", record=RECORD)
    document = Document(report.to_html())
    assert report.headline.startswith("220 photographs from 2 sources. ")
    assert "proportion of them that are called generated, is 0" in document.text
    assert document.tags.count("svg") == 1
    assert "not defined" in document.text
    assert "nan" not in document.text.split()
    assert json.dumps(report.to_dict(), allow_nan=False)
    assert report.to_markdown()


def test_generated_images_alone_give_a_report_too(evaluation):
    report = make_report(part(evaluation, evaluation.y_true == 1), title="t", record=RECORD)
    assert "proportion of them that are found, is 0" in Document(report.to_html()).text


def test_scores_without_probabilities_are_enough(evaluation):
    report = make_report(replace(evaluation, probabilities=None), title="t")
    text = Document(report.to_html()).text
    assert "gives scores but no probabilities" in text
    assert "Brier" not in text
    assert "How many alarms are right?" in text
    assert report.to_dict()["reliability"] == []


def test_robustness_is_a_table(evaluation):
    scores = np.stack([evaluation.scores, evaluation.scores + 1])
    robustness = RobustnessReport(("clean", "<brighter>"), evaluation.y_true, scores, 0.5)
    report = make_report(evaluation, title="t", robustness=robustness)
    text = Document(report.to_html()).text
    assert report.headline.endswith(robustness.summary)
    assert text.count(robustness.summary) == 2  # also beside the table
    rate = robustness.rows[1].false_positive_rate
    assert f"<brighter> {rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})" in text
    assert report.to_dict()["robustness"] == robustness.to_dict()


def test_findings_of_an_audit_are_a_list_and_stay_text(evaluation, tmp_path):
    from detectorkit.datasets import audit

    paths = [tmp_path / f"{number} <b>|.png" for number in range(4)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    result = audit(paths, [0, 0, 1, 1])
    assert not result.passed  # all are copies of one picture
    report = make_report(evaluation, title="t", audit=result)
    text = Document(report.to_html()).text
    assert "The files fail the audit" in text
    for finding in result.findings:
        assert f"{finding.severity}: {finding.text}" in text
    assert report.to_dict()["audit"] == result.to_dict()
    assert r"&lt;b&gt;\|.png" in report.to_markdown()


def test_how_it_was_made_is_said(report):
    for text in (Document(report.to_html()).text, report.to_markdown()):
        assert "2026-01-02 03:04:05 UTC" in text
        assert "ab" * 32 in text
        assert "cd" * 32 in text
        assert "detectorkit report m.onnx data -o r.html" in text
        assert "scikit-learn" in text
        assert '"n_samples": 7' in text


def test_the_card_has_the_sections_of_a_model_card(report):
    text = report.to_markdown()
    assert text.startswith("---\nlibrary_name: detectorkit\n")
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == [
        "Model details",
        "Intended use and limits",
        "Training data",
        "Evaluation data",
        "Metrics",
        "Results",
        "Caveats",
        "How this was made",
        "The model's own record",
    ]


def test_json_comes_back_as_it_was(report, evaluation):
    content = report.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["schema"] == "detectorkit-report/1"
    assert content["evaluation"]["metrics"] == evaluation.to_dict()["metrics"]
    assert content["record"] == json.loads(RECORD.to_json())
    assert sum(content["score_histogram"]["real"]) == 220


def test_the_same_input_gives_the_same_report(report, evaluation):
    again = make_report(evaluation, title="A report", record=RECORD, notes=["A note"], date=DATE)
    twice = make_report(evaluation, title="A report", record=RECORD, notes=["A note"], date=DATE)
    assert again.to_html() == twice.to_html()
    assert again.to_markdown() == twice.to_markdown()
    assert again.to_dict() == twice.to_dict()


def test_hostile_names_stay_text_in_html(hostile_report):
    document = Document(hostile_report.to_html())
    check_self_contained(document)
    assert document.tags.count("h1") == 1
    for name in HOSTILE:
        assert " ".join(printable(name).split()) in document.text


def test_hostile_names_stay_text_in_markdown(hostile_report):
    card = hostile_report.to_markdown().partition("\n---\n")[2]
    document = Document(MarkdownIt("commonmark").enable("table").render(card))
    assert set(document.tags) <= {
        *("h1", "h2", "h3", "h4", "p", "ul", "li", "blockquote", "pre", "code", "table"),
        *("thead", "tbody", "tr", "th", "td"),
    }
    for name in HOSTILE:
        assert " ".join(printable(name).split()) in document.text


def test_hostile_names_come_back_from_json(hostile_report):
    content = json.loads(json.dumps(hostile_report.to_dict(), allow_nan=False))
    origins = {row["name"] for row in content["evaluation"]["origins"]}
    assert origins == {*HOSTILE, "plain"}
    assert content["notes"] == HOSTILE


def test_three_files_are_written_beside_each_other(report, tmp_path):
    written = report.write(tmp_path / "r.html")
    assert [path.name for path in written] == ["r.html", "r.json", "r.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.md"]
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report.to_html()
    assert json.loads((tmp_path / "r.json").read_text()) == report.to_dict()
    assert (tmp_path / "r.md").read_text(encoding="utf-8") == report.to_markdown()


def test_hostile_names_can_be_written(hostile_report, tmp_path):
    assert len(hostile_report.write(tmp_path / "r.html")) == 3


def test_the_place_of_the_page_is_checked(report, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.html"):
        report.write(tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_report_path(tmp_path / "none" / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_files_depends_on_their_contents_alone(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert hash_files([a, b]) == hash_files([b, c]) != hash_files([a, c])
    # printf 1 | sha256sum; printf 2 | sha256sum; sorted, one a line; sha256sum
    assert hash_files([a, b]) == "e7288ff80eff6cea59e0d4bcc00cca3290a943fe472721502a797b374446f592"
    with pytest.raises(FileNotFoundError):
        hash_files([tmp_path / "none"])


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    return found


WATCH = """
<title>waiting</title>
<iframe style="border:0;width:360px;height:800px" srcdoc="{page}"></iframe>
<iframe style="border:0;width:1200px;height:800px" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  const told = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument;
    const isSeen = element => element.getBoundingClientRect().width > 0;
    const lines = cell => {{
      const range = page.createRange();
      range.selectNodeContents(cell);
      return range.getClientRects().length;
    }};
    const cells = [...page.querySelectorAll("td")];
    const numbers = cells.filter(e => /^\\d\\.\\d+$/.test(e.textContent));
    const seen = [...page.querySelectorAll("img, svg")].filter(isSeen);
    return {{
      title: page.title,
      overflow: page.documentElement.scrollWidth - frame.clientWidth,
      body: page.body.scrollWidth - frame.clientWidth,
      pictures: seen.filter(e => e.tagName === "IMG" && e.naturalWidth).length,
      broken: seen.filter(e => e.tagName === "IMG" && !e.naturalWidth).length,
      charts: seen.filter(e => e.tagName === "svg").length,
      numbers: numbers.length,
      torn: numbers.filter(e => lines(e) > 1).length,
      tables: page.querySelectorAll(".scroll").length,
    }};
  }});
  document.title = JSON.stringify(told);
}};
</script>
"""


def test_a_browser_shows_it_on_a_phone_and_runs_nothing(browser, hostile_report, tmp_path):
    page = hostile_report.to_html()
    # Without the policy, so that it is the escaping that is tested.
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert bare != page
    (tmp_path / "watch.html").write_text(WATCH.format(page=escape(bare)), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,900"]
    done = subprocess.run(
        [browser, *flags, "--enable-logging=stderr", "--dump-dom", f"file://{tmp_path}/watch.html"],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert ":CONSOLE" not in done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    phone, desktop = json.loads(
        title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    for shown in (phone, desktop):
        assert shown["title"] == HOSTILE[10]
        assert shown["overflow"] <= 0
        assert shown["body"] <= 0
        assert shown["pictures"] == 24
        assert shown["broken"] == 0
        assert shown["charts"] == 6
        assert shown["tables"] > 5
        assert shown["numbers"] > 20
        assert shown["torn"] == 0
